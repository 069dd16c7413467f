"""DINOv2's recipe as its papers tell it, with loops: what our training step is measured against."""

import copy

import torch

from aqqua_science.pretraining import schedules
from aqqua_science.pretraining.packing import Packed
from aqqua_science.pretraining.views import N_LARGE


def views_of(batch):
    """
    Take a batch apart.

    Parameters
    ----------
    batch : Batch
        With small views.

    Returns
    -------
    views : list of list of Packed
        Of each image, the large ones first.
    masks : list of list of torch.Tensor
        Of the large ones.
    """
    large, masks = _apart(batch.large), batch.mask.split(batch.large.lengths.tolist())
    small = _apart(batch.small)
    views = [
        [large[i] for i in first] + [small[i] for i in rest]
        for first, rest in zip(batch.large_place.T.tolist(), batch.small_place.T.tolist(), strict=True)
    ]
    return views, [[masks[i] for i in places] for places in batch.large_place.T.tolist()]


def _apart(packed):
    lengths = packed.lengths.tolist()
    columns = [tensor.split(lengths) for tensor in packed[:4]] + [tensor.split(1) for tensor in packed[4:]]
    return [Packed(*parts) for parts in zip(*columns, strict=True)]


class PlainTrainer:
    """
    DINOv2's recipe as it is told: each view by itself, each pair of views by itself.

    Parameters
    ----------
    student : Student
        What student and teacher begin as.
    config : PretrainConfig
    """

    def __init__(self, student, config):
        self.config, self.student = config, copy.deepcopy(student)
        self.teacher = copy.deepcopy(student).requires_grad_(False)
        groups = [{"params": [p], "weight_decay": 0.04 * (p.ndim > 1)} for p in self.student.parameters()]
        self.optimizer = torch.optim.AdamW(groups)

    def step(self, views, masks, number):
        """
        Learn from the views of some images.

        Parameters
        ----------
        views : list of list of Packed
            The large ones of an image first.
        masks : list of list of torch.Tensor
            Of the large ones.
        number : int
            Of the step.

        Returns
        -------
        dict of str to float
            Losses, and norm of the gradient.
        """
        config = self.config
        targets = self.look(views, masks, schedules.teacher_temperature(number, config))
        losses = self.losses(views, masks, *targets)
        loss = sum(getattr(config, f"{name}_weight") * value for name, value in losses.items())
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = schedules.learning_rate(number, config)
        self.optimizer.step()
        with torch.no_grad():
            for mine, its in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mine.mul_(config.momentum[0]).add_(its, alpha=1 - config.momentum[0])
        found = losses | {"loss": loss, "gradient_norm": norm}
        return {name: float(value.detach()) for name, value in found.items()}

    @torch.no_grad()
    def look(self, views, masks, temperature):
        """
        Ask the teacher what the large views are, and their masked patches.

        Parameters
        ----------
        views, masks : list of list
        temperature : float

        Returns
        -------
        cls : torch.Tensor, shape (image, view, prototype)
        patches : sequence of torch.Tensor, shape (masked patch, prototype)
            View by view.
        """
        cls, patches, counts = [], [], []
        for of_image, masks_of_image in zip(views, masks, strict=True):
            for view, mask in zip(of_image[:N_LARGE], masks_of_image, strict=True):
                encoded = self.teacher.vit(view)
                cls.append(self.teacher.dino(encoded.cls))
                patches.append(self.teacher.ibot(encoded.patches[mask]))
                counts.append(int(mask.sum()))
        shares = (_sinkhorn(torch.cat(rows), temperature) for rows in (cls, patches))
        return next(shares).unflatten(0, (-1, N_LARGE)), next(shares).split(counts)

    def losses(self, views, masks, cls_targets, patch_targets):
        """
        Compare the student with the teacher, pair by pair.

        Parameters
        ----------
        views, masks : list of list
        cls_targets, patch_targets
            As `look` gives them.

        Returns
        -------
        dict of str to torch.Tensor
            Means over the images, over the masked views and over the large views.
        """
        dino, ibot, large = [], [], []
        patch_targets = iter(patch_targets)
        for of_image, masks_of_image, targets in zip(views, masks, cls_targets, strict=True):
            cls = []
            for v, view in enumerate(of_image):
                mask = masks_of_image[v] if v < N_LARGE else None
                encoded = self.student.vit(view, mask=mask)
                cls.append(encoded.cls)
                if mask is None:
                    continue
                wanted = next(patch_targets)
                if len(wanted):
                    ibot.append(self._entropies(self.student.ibot(encoded.patches[mask]), wanted).mean())
            large.append(cls[:N_LARGE])
            logits = [self.student.dino(token) for token in cls]
            pairs = [(s, t) for t in range(N_LARGE) for s in range(len(logits)) if s != t]
            dino.append(torch.stack([self._entropies(logits[s][0], targets[t]) for s, t in pairs]).mean())
        koleo = [_distance(v, i, large) for v in range(N_LARGE) for i in range(len(large))]
        found = {"dino": dino, "ibot": ibot, "koleo": koleo}
        return {name: torch.stack(values).mean() for name, values in found.items()}

    def _entropies(self, logits, wanted):
        return -(wanted * (logits / self.config.student_temperature).log_softmax(-1)).sum(-1)


def _sinkhorn(logits, temperature, *, iterations=3):
    shares = (logits / temperature).exp()
    for _ in range(iterations):
        shares = shares / shares.sum(0, keepdim=True)
        shares = shares / shares.sum(1, keepdim=True)
    return shares


def _distance(view, image, large):
    """KoLeo of one image: minus the logarithm of how far the nearest other one is."""
    own, *others = (
        torch.nn.functional.normalize(large[i][view][0], dim=0)
        for i in [image, *(i for i in range(len(large)) if i != image)]
    )
    return -(torch.stack([(own - other).norm() for other in others]).min() + 1e-8).log()
