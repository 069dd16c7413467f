"""The network that learns, and how its teacher follows it."""

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.nn import functional

from aqqua_science.pretraining.losses import dino_loss, gram_loss, ibot_loss, koleo_loss, sinkhorn_knopp
from aqqua_science.pretraining.packing import image_of, join
from aqqua_science.pretraining.vit import ViT

BOTTLENECK = 64
WIDEST = 2_048


class Targets(NamedTuple):
    """
    What the teacher says of a batch.

    Attributes
    ----------
    cls : torch.Tensor or None, shape (2, image, prototype)
        Probabilities of both large views.
    patches : torch.Tensor or None, shape (masked patch, prototype)
    anchor : torch.Tensor or None, shape (token, feature)
        Patches as an earlier teacher saw them.
    """

    cls: torch.Tensor | None
    patches: torch.Tensor | None
    anchor: torch.Tensor | None


class Head(nn.Module):
    """
    From tokens to prototypes (Caron et al. 2021, arXiv 2104.14294).

    Parameters
    ----------
    width : int
    prototypes : int
    """

    def __init__(self, width, prototypes):
        super().__init__()
        hidden = min(WIDEST, 4 * width)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, BOTTLENECK)
        )
        self.prototypes = nn.Parameter(torch.empty(prototypes, BOTTLENECK))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=parameter.shape[1] ** -0.5)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x):
        """
        Compare tokens with the prototypes.

        Parameters
        ----------
        x : torch.Tensor, shape (row, width)

        Returns
        -------
        torch.Tensor, shape (row, prototype)
            Cosines.
        """
        x = functional.normalize(self.layers(x), dim=-1, eps=1e-6)
        return functional.linear(x, functional.normalize(self.prototypes.to(x.dtype), dim=-1, eps=1e-6))


def new_vit(config):
    """
    Make the ViT that a configuration asks for.

    Parameters
    ----------
    config : PretrainConfig

    Returns
    -------
    ViT
    """
    return ViT(
        config.vit,
        patch_size=config.patch_size,
        registers=config.registers,
        stem=config.stem,
        positions=config.positions,
        pixel_size_token=config.pixel_size_token,
        checkpoint_activations=config.checkpoint_activations,
    )


class Student(nn.Module):
    """
    A Vision Transformer with the heads that its losses need.

    Parameters
    ----------
    config : PretrainConfig
    guides : GuideHeads, optional
    """

    def __init__(self, config, *, guides=None):
        super().__init__()
        self.config = config
        self.vit = new_vit(config)
        self.dino = Head(self.vit.width, config.prototypes) if config.dino_weight else None
        self.ibot = Head(self.vit.width, config.prototypes) if config.ibot_weight else None
        self.guides = guides

    def forward(self, batch, targets=None, progress=0.0):
        """
        Learn from a batch, or, without targets, look at its large views as a teacher.

        Parameters
        ----------
        batch : Batch
        targets : Targets, optional
        progress : float
            Share of the run that is done.

        Returns
        -------
        dict of str to torch.Tensor, or (torch.Tensor or None, torch.Tensor or None)
            Each loss, summed over what `counts` counts; or the logits of the views, shape (2, image, prototype), and
            of the masked patches, shape (masked patch, prototype).
        """
        if targets is None:
            return self._look(batch)
        n_large, n_tokens = len(batch.large.lengths), len(batch.large.values)
        encoded = self.vit(join(batch.large, batch.small), mask=_extended(batch.mask, batch.small))
        large, patches = encoded.cls[:n_large][batch.large_place], encoded.patches[:n_tokens]
        losses = {}
        if self.dino:
            views = torch.cat([large, encoded.cls[n_large:][batch.small_place]])
            losses["dino"] = dino_loss(
                _each(self.dino, views), targets.cls, temperature=self.config.student_temperature
            )
        if self.ibot:
            losses["ibot"] = ibot_loss(
                self.ibot(patches[batch.mask]), targets.patches, image=image_of(batch.large.lengths)[batch.mask],
                n_images=n_large, temperature=self.config.student_temperature,
            )  # fmt: skip
        if self.config.koleo_weight:
            losses["koleo"] = torch.cat([koleo_loss(view) for view in large])
        if targets.anchor is not None:
            losses["gram"] = gram_loss(patches, targets.anchor, lengths=batch.large.lengths)
        if self.guides:
            guided = self.guides.losses(large.mean(0), self._guide_targets(batch), progress)
            losses |= {f"guide_{name}": loss for name, loss in guided.items()}
        return {name: loss.sum() for name, loss in losses.items()}

    def _look(self, batch):
        """Logits of the large views and of their masked patches, seen whole."""
        encoded = self.vit(batch.large)
        cls = _each(self.dino, encoded.cls[batch.large_place]) if self.dino else None
        return cls, self.ibot(encoded.patches[batch.mask]) if self.ibot else None

    def _guide_targets(self, batch):
        return {name: t.to(batch.mask.device) for name, t in self.guides.targets(batch.table).items()}

    def counts(self, batch):
        """
        Count what each loss of a batch is summed over.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        dict of str to float
        """
        image = image_of(batch.large.lengths)[batch.mask]
        found = {"dino": batch.n_images, "koleo": 2 * batch.n_images, "gram": 2 * batch.n_images}
        found["ibot"] = len(image.unique())
        if self.guides:
            known = self.guides.known(self._guide_targets(batch))
            found |= {f"guide_{name}": int(k.sum()) for name, k in known.items()}
        return {name: float(n) for name, n in found.items()}


def _extended(mask, small):
    """A mask of the large views, for the small ones too: they are seen whole."""
    return mask if small is None else torch.cat([mask, mask.new_zeros(len(small.values))])


def _each(head, views):
    """A head's answers, shape (view, image, prototype)."""
    return head(views.flatten(0, 1)).unflatten(0, views.shape[:2])


def weights(config):
    """
    How much each loss counts.

    Parameters
    ----------
    config : PretrainConfig

    Returns
    -------
    dict of str to float
    """
    losses = {name: getattr(config, f"{name}_weight") for name in ("dino", "ibot", "koleo", "gram")}
    return losses | {f"guide_{name}": guide.weight for name, guide in config.guides.items()}


class Teacher:
    """
    A student's slowly moving average, which sees whole views and gives the targets.

    Parameters
    ----------
    student : Student
        What it begins as.
    """

    def __init__(self, student):
        self.config = student.config
        self.model = copy.deepcopy(student).requires_grad_(False).eval()
        self.model.guides = None
        self.anchor = None

    @torch.no_grad()
    def follow(self, student, momentum):
        """
        Move a little towards the student.

        Parameters
        ----------
        student : Student
        momentum : float
            Share of itself that the teacher keeps.
        """
        own = dict(self.model.named_parameters())
        for name, parameter in student.named_parameters():
            if name in own:
                own[name].lerp_(parameter, 1 - momentum)

    def set_anchor(self):
        """Keep what the teacher is now, for Gram anchoring; every process must call it."""
        self.anchor = self.whole_vit()

    def whole_vit(self):
        """
        Copy the teacher's ViT, whole on every process, however it is spread; every process must call it.

        Returns
        -------
        ViT
            Without gradient.
        """
        tensors = get_model_state_dict(self.model, options=StateDictOptions(full_state_dict=True))
        mine = {name.removeprefix("vit."): t for name, t in tensors.items() if name.startswith("vit.")}
        like = next(iter(mine.values()))
        vit = new_vit(self.config).to(like.device, like.dtype)
        vit.load_state_dict(mine)
        return vit.requires_grad_(False).eval()

    @torch.no_grad()
    def targets(self, batches, *, temperature):
        """
        Tell what the student shall see, centred over all batches of all processes.

        Parameters
        ----------
        batches : list of Batch
        temperature : float

        Returns
        -------
        list of Targets
        """
        logits = [self.model(batch) for batch in batches]
        cls = _centred([cls for cls, _ in logits], temperature, along=1)
        patches = _centred([patches for _, patches in logits], temperature, along=0)
        anchors = [self.anchor and self.anchor(batch.large).patches for batch in batches]
        return [Targets(*parts) for parts in zip(cls, patches, anchors, strict=True)]


def _centred(logits, temperature, *, along):
    """Sinkhorn-Knopp over the logits of all batches, given back batch by batch."""
    if logits[0] is None:
        return logits
    sizes = [part.shape[along] for part in logits]
    whole = torch.cat(logits, dim=along)
    rows = sinkhorn_knopp(whole.flatten(0, -2), temperature=temperature)
    return rows.view(whole.shape).split(sizes, dim=along)
