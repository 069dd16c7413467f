"""What a student is told by its teacher: losses of DINOv2's recipe, one value for each image."""

import functools

import torch
from torch import distributed
from torch.nn import functional

SMALLEST_DISTANCE = 1e-8
"""Keeps the logarithm of KoLeo finite where two embeddings coincide."""

GRAM_IMAGES = 32
"""Images whose similarity matrices are held at once."""


@torch.no_grad()
def sinkhorn_knopp(logits, *, temperature, iterations=3):
    """
    Share rows out evenly over prototypes: the centring of a teacher's outputs.

    Columns and rows of exp(logits / temperature) are brought to equal sums in turn, over all rows of all processes
    (Caron et al. 2020, doi:10.48550/arXiv.2006.09882; Cuturi 2013, doi:10.48550/arXiv.1306.0895).

    Parameters
    ----------
    logits : torch.Tensor, shape (row, prototype)
        Processes may hold different numbers of rows, also none.
    temperature : float
    iterations : int
        At least 1.

    Returns
    -------
    torch.Tensor, shape (row, prototype)
        Probabilities: each row sums to 1. Without gradient.
    """
    scores = _wide(logits) / temperature
    # The first round on logarithms: after it no column's sum, nor any row's, is small enough to vanish.
    shares = (scores - _logsumexp_of_columns(scores)).softmax(1)
    for _ in range(iterations - 1):
        shares /= _sum_over_all(shares.sum(0))
        shares /= shares.sum(1, keepdim=True)
    return shares


def _logsumexp_of_columns(values):
    """Logarithm of the summed exponentials of each column, over the rows of all processes."""
    own = values.logsumexp(0)
    if not _together():
        return own
    highest = own.clone()
    distributed.all_reduce(highest, op=distributed.ReduceOp.MAX)
    return highest + _sum_over_all((own - highest).exp()).log()


def _sum_over_all(tensor):
    """The sum over all processes, in the place of each one's own."""
    if _together():
        distributed.all_reduce(tensor)
    return tensor


def dino_loss(student, teacher, *, temperature):
    """
    Cross-entropy of each view's prototypes with those that the teacher sees in another view.

    It is averaged over all pairs of a student's view and a different view of the teacher (Caron et al. 2021,
    doi:10.48550/arXiv.2104.14294; Oquab et al. 2024, doi:10.48550/arXiv.2304.07193).

    Parameters
    ----------
    student : torch.Tensor, shape (view, image, prototype)
        Logits; views 0 and 1 are those that the teacher sees too.
    teacher : torch.Tensor, shape (2, image, prototype)
        Probabilities.
    temperature : float
        Of the student.

    Returns
    -------
    torch.Tensor, shape (image,)
    """
    n_views = student.shape[0]
    logarithms = (_wide(student) / temperature).log_softmax(-1)
    of_global = (teacher.flip(0) * logarithms[:2]).sum((0, 2))
    of_local = (teacher.sum(0) * logarithms[2:].sum(0)).sum(1)
    return -(of_global + of_local) / (2 * n_views - 2)


def ibot_loss(student, teacher, *, image, n_images, temperature):
    """
    Cross-entropy of masked patches with what the teacher, which sees them, makes of them.

    Zhou et al. 2022, doi:10.48550/arXiv.2111.07832.

    Parameters
    ----------
    student : torch.Tensor, shape (patch, prototype)
        Logits of the masked patches.
    teacher : torch.Tensor, shape (patch, prototype)
        Probabilities of the same patches.
    image : torch.Tensor of int64, shape (patch,)
        Which image each patch belongs to.
    n_images : int
    temperature : float
        Of the student.

    Returns
    -------
    torch.Tensor, shape (n_images,)
        Mean over the masked patches of an image; 0 where it has none.
    """
    entropies = -(teacher * (_wide(student) / temperature).log_softmax(1)).sum(1)
    sums = entropies.new_zeros(n_images).index_add(0, image, entropies)
    return sums / torch.bincount(image, minlength=n_images).clamp(min=1)


def _in_full(loss):
    """Keep a loss out of automatic half precision: its differences are small."""

    @functools.wraps(loss)
    def full(first, *rest, **named):
        with torch.autocast(first.device.type, enabled=False):
            return loss(first, *rest, **named)

    return full


@_in_full
def koleo_loss(embeddings):
    """
    Push each embedding away from its nearest neighbour, so that all spread over the sphere.

    Minus the logarithm of the distance to the nearest other row of any process (Sablayrolles et al. 2019,
    doi:10.48550/arXiv.1806.03198). Every process must call it, and go back through it, together with the others.

    Parameters
    ----------
    embeddings : torch.Tensor, shape (image, dimension)
        Rows of any length; they are brought to length 1.

    Returns
    -------
    torch.Tensor, shape (image,)
        0 where there is one row in all.
    """
    own = functional.normalize(_wide(embeddings), dim=1)
    counts = _row_counts(own)
    if sum(counts) < 2:
        return own.sum(1) * 0
    everyone = gather_rows(own)
    neighbours = everyone[_nearest(own.detach(), everyone.detach(), sum(counts[: _rank()]))]
    return -(torch.linalg.vector_norm(own - neighbours, dim=1) + SMALLEST_DISTANCE).log()


def _nearest(own, everyone, start):
    """Which row of all is nearest to each own one, itself excepted."""
    similarity = own @ everyone.T
    rows = torch.arange(len(own), device=own.device)
    similarity[rows, start + rows] = -torch.inf
    return similarity.argmax(1)


@_in_full
def gram_loss(student, anchor, *, lengths):
    """
    Hold the similarities between the patches of an image where an earlier teacher had them.

    Mean squared difference of the matrices of cosine similarities (Siméoni et al. 2025,
    doi:10.48550/arXiv.2508.10104).

    Parameters
    ----------
    student : torch.Tensor, shape (patch, dimension)
        Patches of packed images, one image after another.
    anchor : torch.Tensor, shape (patch, any dimension)
        The same patches as the earlier teacher has them; without gradient.
    lengths : torch.Tensor of int64, shape (image,)
        Patches of each image.

    Returns
    -------
    torch.Tensor, shape (image,)
    """
    student, anchor = (functional.normalize(_wide(x), dim=1) for x in (student, anchor.detach()))
    starts, order = lengths.cumsum(0) - lengths, lengths.argsort()
    losses = student.new_zeros(len(lengths))
    for images in order.split(GRAM_IMAGES):
        offsets = torch.arange(max(lengths[images].tolist(), default=0), device=lengths.device)
        inside = offsets < lengths[images, None]
        patches = torch.where(inside, starts[images, None] + offsets, 0)
        difference = _gram(student, patches, inside) - _gram(anchor, patches, inside)
        losses = losses.index_add(0, images, difference.square().sum((1, 2)) / lengths[images].clamp(min=1).square())
    return losses


def _gram(vectors, patches, inside):
    """Inner products between the patches of each image, 0 where an image has fewer."""
    padded = vectors[patches] * inside[..., None]
    return padded @ padded.mT


def gather_rows(tensor):
    """
    Bring the rows of all processes together, so that gradients find their way back.

    Parameters
    ----------
    tensor : torch.Tensor, shape (row, ...)
        Processes may hold different numbers of rows, also none; the other dimensions agree.

    Returns
    -------
    torch.Tensor, shape (row of any process, ...)
        In the order of the processes. The gradient of a row is the sum of what all processes make of it.
    """
    return _Gathering.apply(tensor, _row_counts(tensor)) if _together() else tensor


class _Gathering(torch.autograd.Function):
    """All-gather of different numbers of rows."""

    @staticmethod
    def forward(ctx, tensor, counts):
        ctx.rows = slice(sum(counts[: _rank()]), sum(counts[: _rank() + 1]))
        padded = tensor.new_zeros(max(1, *counts), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx, gradient):
        return _sum_over_all(gradient.clone(memory_format=torch.contiguous_format))[ctx.rows], None


def _row_counts(tensor):
    """Rows that each process holds."""
    if not _together():
        return [len(tensor)]
    own = torch.tensor([len(tensor)], device=tensor.device)
    counts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(counts, own)
    return torch.cat(counts).tolist()


def _together():
    """Whether other processes train along."""
    return distributed.is_available() and distributed.is_initialized()


def _rank():
    """Number of this process."""
    return distributed.get_rank() if _together() else 0


def _wide(tensor):
    """At least single precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
