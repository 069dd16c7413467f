"""One optimiser step, on one device or many."""

import contextlib
import os
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from aqqua_science.pretraining import checkpoints, schedules
from aqqua_science.pretraining.encoders import begin_from
from aqqua_science.pretraining.orthogonal import Muon
from aqqua_science.pretraining.student import Student, Teacher, weights

DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}


class Diverged(FloatingPointError):
    """A loss or a gradient is not finite."""


class Trainer:
    """
    Student, teacher and optimiser of a run.

    Parameters
    ----------
    config : PretrainConfig
    guides : GuideHeads, optional
    device : torch.device
    begin : bool
        Whether to read the weights of `config.start`; a checkpoint that follows makes them needless.
    """

    def __init__(self, config, *, guides, device, begin=True):
        self.config, self.device = config, device
        self.rank, self.world = rank_and_world()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.student = Student(config, guides=guides).to(device, DTYPES[config.precision])
        if config.start and begin:
            begin_from(self.student.vit, config.start)
        self.teacher = Teacher(self.student)
        self._spread()
        self.optimizers = optimizers(self.student, config)
        self.weights = weights(config)

    def _spread(self):
        """Over the devices: copies with averaged gradients, or a shard of every tensor on each."""
        self.parallel = self.student
        if self.config.compile:
            for block in [*self.student.vit.blocks, *self.teacher.model.vit.blocks]:
                block.compile_parts()
        if self.world == 1:
            return
        if self.config.strategy == "ddp":
            self.parallel = DistributedDataParallel(self.student)
            return
        for model in (self.student, self.teacher.model):
            shard(model)

    @property
    def models(self):
        """What a checkpoint holds, the student first."""
        found = {"student": self.student, "teacher": self.teacher.model}
        return found | ({"anchor": self.teacher.anchor} if self.teacher.anchor else {})

    def step(self, share):
        """
        Learn from one share of a batch.

        Parameters
        ----------
        share : Share

        Returns
        -------
        dict of str to float
            The losses over all devices, learning rate and norm of the gradient.

        Raises
        ------
        Diverged
            If the loss or the gradient is not finite; the weights are those from before the step.
        """
        config, number = self.config, share.number
        self._anchor(number)
        batches = [batch.to(self.device, DTYPES[config.precision]) for batch in share.batches]
        rate = self._schedule(number)
        with self._precision():
            targets = self.teacher.targets(batches, temperature=schedules.teacher_temperature(number, config))
        counts = self._totals([self.student.counts(batch) for batch in batches])
        sums = [self._learn(*pair, counts, last=pair[0] is batches[-1]) for pair in zip(batches, targets, strict=True)]
        norm = float(self._clip())
        losses = {name: value / max(1.0, counts[name]) for name, value in self._totals(sums).items()}
        losses["loss"] = sum(self.weights[name] * value for name, value in losses.items())
        found = {"loss": losses.pop("loss")} | losses | {"learning_rate": rate, "gradient_norm": norm}
        if not (torch.isfinite(torch.tensor([found["loss"], norm])).all()):
            msg = f"loss {found['loss']}, gradient {norm}"
            raise Diverged(msg)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.teacher.follow(self.student, schedules.cosine(number, config.steps, config.momentum))
        return found

    def _learn(self, batch, targets, counts, *, last):
        """Gradients of one piece; its losses, summed over its images."""
        waits = self.config.accumulate > 1 and not last and isinstance(self.parallel, DistributedDataParallel)
        with self.parallel.no_sync() if waits else contextlib.nullcontext():
            with self._precision():
                sums = self.parallel(batch, targets, self.progress)
            # Devices average their gradients; each divides by what all of them count.
            loss = sum(
                self.weights[name] * value * (self.world / max(1.0, counts[name])) for name, value in sums.items()
            )
            loss.backward()
        return {name: float(value.detach()) for name, value in sums.items()}

    def losses(self, batch, number):
        """
        Add up the weighted losses of one batch, alone.

        Parameters
        ----------
        batch : Batch
        number : int
            Of the step.

        Returns
        -------
        torch.Tensor, shape ()
        """
        with self._precision():
            targets = self.teacher.targets([batch], temperature=schedules.teacher_temperature(number, self.config))[0]
            sums = self.student(batch, targets, self.progress)
        counts = self.student.counts(batch)
        return sum(self.weights[name] * value / max(1.0, counts[name]) for name, value in sums.items())

    def _anchor(self, number):
        config = self.config
        self.progress = number / config.steps
        if config.gram_weight and self.teacher.anchor is None and self.progress >= config.gram_after:
            self.teacher.set_anchor()

    def _schedule(self, number):
        rate = schedules.learning_rate(number, self.config)
        decay = schedules.cosine(number, self.config.steps, self.config.weight_decay)
        for group in [group for optimizer in self.optimizers for group in optimizer.param_groups]:
            group["lr"] = rate
            group["weight_decay"] = decay if group["decays"] else 0.0
        return rate

    def _precision(self):
        if self.config.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _totals(self, parts):
        """Sums of named numbers over the pieces of all devices."""
        names = sorted(parts[0])
        totals = torch.tensor([sum(part[name] for part in parts) for name in names], dtype=torch.float64)
        if self.world > 1:
            totals = totals.to(self.device)
            distributed.all_reduce(totals)
        return dict(zip(names, totals.tolist(), strict=True))

    def _clip(self):
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.config.clip)
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

    def save(self, folder, state):
        """
        Write a checkpoint; see `checkpoints.save`.

        Parameters
        ----------
        folder : pathlib.Path
        state : dict
        """
        checkpoints.save(
            folder, models=self.models, optimizers=self.optimizers, state=state | {"anchor": bool(self.teacher.anchor)},
            keep=self.config.keep_checkpoints, rank=self.rank,
        )  # fmt: skip

    def restore(self, checkpoint):
        """
        Go back to a checkpoint.

        Parameters
        ----------
        checkpoint : pathlib.Path

        Returns
        -------
        dict
            Its state.
        """
        state = checkpoints.read_state(checkpoint)
        if state["anchor"]:
            self.teacher.set_anchor()
        checkpoints.restore(checkpoint, models=self.models, optimizers=self.optimizers)
        return state

    def encoder(self):
        """
        Gather the teacher's ViT; every process must call it.

        Returns
        -------
        ViT
            On the CPU.
        """
        return self.teacher.whole_vit().to("cpu").eval()


def optimizers(student, config):
    """
    Make what changes the weights.

    Muon (Jordan et al. 2024; scaled to AdamW's steps as in Liu et al. 2025, arXiv 2502.16982) turns the matrices of the
    transformer's blocks by orthogonal steps; all else, and everything without it, is AdamW's.

    Parameters
    ----------
    student : Student
    config : PretrainConfig

    Returns
    -------
    list of torch.optim.Optimizer
    """
    groups, rate = parameter_groups(student, config.weight_decay[0]), config.learning_rate
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(groups, lr=rate)]
    inner = {id(p) for p in student.vit.blocks.parameters() if p.ndim == 2}
    matrices = [p for p in groups[0]["params"] if id(p) in inner]
    groups[0]["params"] = [p for p in groups[0]["params"] if id(p) not in inner]
    half = torch.bfloat16 if config.precision == "bfloat16" else None
    muon = Muon([groups[0] | {"params": matrices}], lr=rate, dtype=half)
    return [muon, torch.optim.AdamW(groups, lr=rate)]


def parameter_groups(model, decay):
    """
    Part what an optimiser shrinks, matrices, from what it does not: biases, norms, single tokens.

    Parameters
    ----------
    model : torch.nn.Module
    decay : float

    Returns
    -------
    list of dict
        For the optimiser; `decays` tells which is which.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    parts = [[p for p in parameters if (p.ndim > 1) is large] for large in (True, False)]
    return [
        {"params": params, "weight_decay": decay * large, "decays": bool(large)}
        for params, large in zip(parts, (1, 0), strict=True)
    ]


def shard(model):
    """
    Spread a model's tensors over the devices, block by block (FSDP2).

    Parameters
    ----------
    model : Student
    """
    from torch.distributed.fsdp import fully_shard

    # The teacher never goes backward: without this, its tensors would stay whole after their first use.
    for block in model.vit.blocks:
        fully_shard(block, reshard_after_forward=True)
    fully_shard(model, reshard_after_forward=True)


def rank_and_world():
    """
    Tell which of how many processes this is.

    Returns
    -------
    rank, world : int
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


@contextlib.contextmanager
def processes(device):
    """
    Join the processes that torchrun started, if it did, and leave them at the end.

    Parameters
    ----------
    device : torch.device

    Yields
    ------
    None
    """
    joins = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized()
    if joins:
        # One process evaluates while the others wait.
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=1))
    yield
    # Not after an error: a process that failed alone would wait here for those that wait for it.
    if joins:
        distributed.barrier()
        distributed.destroy_process_group()
