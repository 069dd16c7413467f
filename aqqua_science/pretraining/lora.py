"""Low-rank additions to the matrices of an encoder: few numbers that adapt it, and that merge into it without trace."""

import copy

import torch
from torch import nn

from aqqua_science.schema import SchemaError

MATRICES = ("qkv", "out")
"""Those of a block that get an addition: its attention, not its perceptron, as in section 4.2 of the paper."""
ALPHA = 8
"""An addition is scaled by this over its rank, so that one learning rate suits all ranks."""


class LowRank(nn.Module):
    """
    A linear layer that stays as it is, plus the product of two thin matrices that learn (Hu et al. 2021).

    The first matrix is drawn, the second is zero: at the start nothing is added.

    Parameters
    ----------
    linear : torch.nn.Linear
        Frozen from now on.
    rank : int
    """

    def __init__(self, linear, rank):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = ALPHA / rank
        self.first = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.second = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.normal_(self.first, std=linear.in_features**-0.5)

    def forward(self, x):
        """
        Pass tokens through the layer.

        Parameters
        ----------
        x : torch.Tensor, shape (..., feature)

        Returns
        -------
        torch.Tensor, shape (..., feature)
        """
        return self.linear(x) + self.scale * nn.functional.linear(nn.functional.linear(x, self.first), self.second)

    def merged(self):
        """
        Add the product to the layer's own matrix.

        Returns
        -------
        torch.nn.Linear
            One of its own.
        """
        linear = copy.deepcopy(self.linear)
        with torch.no_grad():
            linear.weight += (self.scale * (self.second.double() @ self.first.double())).to(linear.weight.dtype)
        return linear


def adapt(vit, rank, *, seed=0):
    """
    Freeze an encoder, and give the attention of each block low-rank additions that learn.

    Parameters
    ----------
    vit : ViT
        Changed in place.
    rank : int
        A block of width w then trains 6 * rank * w numbers instead of 4 * w ** 2 and more.
    seed : int

    Raises
    ------
    SchemaError
        If the rank is not between 1 and the encoder's width.

    References
    ----------
    Hu et al. 2021, LoRA: low-rank adaptation of large language models, arXiv 2106.09685.
    """
    if not 1 <= rank <= vit.width:
        msg = f"rank must lie between 1 and the encoder's width, {vit.width}; got {rank}. Pass 8."
        raise SchemaError(msg)
    vit.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for block in vit.blocks:
            for name in MATRICES:
                setattr(block, name, LowRank(getattr(block, name), rank))


def merge(vit):
    """
    Get the ordinary encoder that sees as an adapted one does.

    Parameters
    ----------
    vit : ViT
        With additions or without; it stays as it is.

    Returns
    -------
    ViT
    """
    vit = copy.deepcopy(vit)
    for block in vit.blocks:
        for name, layer in list(block.named_children()):
            if isinstance(layer, LowRank):
                setattr(block, name, layer.merged())
    return vit
