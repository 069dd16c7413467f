"""Many images in one sequence: what the network reads, without padding."""

from typing import NamedTuple

import numpy as np
import torch


class Packed(NamedTuple):
    """
    Patches of many images, one after another (Dehghani et al. 2023, arXiv 2307.06304).

    Attributes
    ----------
    values : torch.Tensor of float32, shape (token, patch_size ** 2)
        Intensities 0..1, 0 where nothing was seen.
    seen : torch.Tensor of bool, shape (token, patch_size ** 2)
    background : torch.Tensor of float32, shape (token,)
        Intensity around the object, of the patch's channel.
    position_um : torch.Tensor of float32, shape (token, 2)
        Centre of the patch, y and x from the centre of its image.
    channel : torch.Tensor of int64, shape (token,)
    pixel_size_um : torch.Tensor of float32, shape (image,)
    lengths : torch.Tensor of int64, shape (image,)
        Patches of each image.
    """

    values: torch.Tensor
    seen: torch.Tensor
    background: torch.Tensor
    position_um: torch.Tensor
    channel: torch.Tensor
    pixel_size_um: torch.Tensor
    lengths: torch.Tensor

    def to(self, *args, **kwargs):
        """Move every tensor to a device; see `torch.Tensor.to`."""
        return Packed(*(tensor.to(*args, **kwargs) for tensor in self))

    def cast(self, dtype):
        """Change the precision of everything that is not counted."""
        return Packed(*(t.to(dtype) if t.is_floating_point() else t for t in self))


def pack(images):
    """
    Put the patches of images one after another.

    Parameters
    ----------
    images : list of aqqua_science.images.patches.Patches

    Returns
    -------
    Packed
    """
    columns = [[getattr(p, name) for p in images] for name in Packed._fields[:5]]
    return Packed(
        *(torch.from_numpy(np.concatenate(parts)) for parts in columns),
        pixel_size_um=torch.tensor([p.pixel_size_um for p in images], dtype=torch.float32),
        lengths=torch.tensor([len(p.values) for p in images], dtype=torch.int64),
    )


def join(first, second):
    """
    Put one pack behind another.

    Parameters
    ----------
    first : Packed
    second : Packed or None

    Returns
    -------
    Packed
    """
    return first if second is None else Packed(*(torch.cat(pair) for pair in zip(first, second, strict=True)))


def boundaries(lengths):
    """
    Where each image begins, and where the last one ends.

    Parameters
    ----------
    lengths : torch.Tensor of int64, shape (image,)

    Returns
    -------
    torch.Tensor of int32, shape (image + 1,)
    """
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)


def image_of(lengths):
    """
    Tell which image each token belongs to.

    Parameters
    ----------
    lengths : torch.Tensor of int64, shape (image,)

    Returns
    -------
    torch.Tensor of int64, shape (token,)
    """
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def image_means(tokens, lengths):
    """
    Average the tokens of each image.

    Parameters
    ----------
    tokens : torch.Tensor, shape (token, feature)
    lengths : torch.Tensor of int64, shape (image,)

    Returns
    -------
    torch.Tensor, shape (image, feature)
    """
    sums = tokens.new_zeros(len(lengths), tokens.shape[1]).index_add_(0, image_of(lengths), tokens)
    return sums / lengths.clamp(min=1).unsqueeze(1)
