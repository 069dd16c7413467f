"""Attention within each image of a packed sequence, behind one interface for every device."""

import functools

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.weak import WeakTensorKeyDictionary

HALF = (torch.float16, torch.bfloat16)


def attention(q, k, v, cu_seqlens):
    """
    Let the tokens of each sequence attend to one another, and to no others.

    On the CPU, neighbouring sequences of one length are worked on together, so that packs sorted by length need few
    calls; on a GPU it is one call of PyTorch's variable-length kernel in half precision, else of FlexAttention.

    Parameters
    ----------
    q, k, v : torch.Tensor, shape (token, head, feature)
    cu_seqlens : torch.Tensor of int32, shape (sequence + 1,)
        Where each sequence begins, and where the last one ends.

    Returns
    -------
    torch.Tensor, shape (token, head, feature)
    """
    if q.is_cuda and q.dtype in HALF and _has_varlen(q.device):
        longest = int(cu_seqlens.diff().max())
        return _varlen()(q, k, v, cu_seqlens, cu_seqlens, longest, longest)
    if q.is_cuda:
        return flex(q, k, v, cu_seqlens)
    return by_length(q, k, v, cu_seqlens)


def by_length(q, k, v, cu_seqlens):
    """
    Attend run by run: a run is neighbouring sequences of one length.

    Half precision is computed in single: CPUs have no fast kernel for it.

    Parameters
    ----------
    q, k, v : torch.Tensor, shape (token, head, feature)
    cu_seqlens : torch.Tensor of int32, shape (sequence + 1,)

    Returns
    -------
    torch.Tensor, shape (token, head, feature)
    """
    with torch.autocast(q.device.type, enabled=False):
        found = _by_length(*(t.float() if t.dtype in HALF else t for t in (q, k, v)), cu_seqlens)
    return found.to(q.dtype)


def _by_length(q, k, v, cu_seqlens):
    lengths, repeats = torch.unique_consecutive(cu_seqlens.diff(), return_counts=True)
    sizes = (lengths * repeats).tolist()
    parts = []
    # One split for all runs: its gradient is one concatenation, where a slice each would fill a whole tensor each.
    for length, *run in zip(lengths.tolist(), *(t.split(sizes) for t in (q, k, v)), strict=True):
        batch = [t.unflatten(0, (-1, length)).transpose(1, 2) for t in run] if length else run
        parts.append(scaled_dot_product_attention(*batch).transpose(1, 2).flatten(0, 1) if length else run[0])
    return torch.cat(parts) if parts else v


def flex(q, k, v, cu_seqlens):
    """
    Attend by FlexAttention with a mask of blocks: any precision, compiled where there is a GPU.

    Parameters
    ----------
    q, k, v : torch.Tensor, shape (token, head, feature)
    cu_seqlens : torch.Tensor of int32, shape (sequence + 1,)

    Returns
    -------
    torch.Tensor, shape (token, head, feature)
    """
    mask = _masks.get(cu_seqlens)
    if mask is None:
        mask = _masks[cu_seqlens] = _block_mask(cu_seqlens, q.shape[0])
    q, k, v = (t.transpose(0, 1).unsqueeze(0) for t in (q, k, v))
    return _flex_kernel(q.is_cuda)(q, k, v, block_mask=mask).squeeze(0).transpose(0, 1)


_masks = WeakTensorKeyDictionary()
"""The mask of each pack for as long as its `cu_seqlens` lives: all layers of a network share it."""


def _block_mask(cu_seqlens, n):
    from torch.nn.attention.flex_attention import create_block_mask

    device = cu_seqlens.device
    sequence = torch.bucketize(torch.arange(n, device=device), cu_seqlens[1:].to(torch.int64), right=True)
    return create_block_mask(lambda b, h, i, j: sequence[i] == sequence[j], None, None, n, n, device=device)


@functools.cache
def _flex_kernel(compiled):
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention


@functools.cache
def _has_varlen(device):
    """Whether a GPU is new enough for the kernel (Ampere), and PyTorch has it."""
    return torch.cuda.get_device_capability(device) >= (8, 0) and _varlen() is not None


@functools.cache
def _varlen():
    """PyTorch's variable-length kernel (2.10 and later), or None."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def masked(q, k, v, keep):
    """
    Attend within padded rows.

    Parameters
    ----------
    q, k, v : torch.Tensor, shape (image, token, head, feature)
    keep : torch.Tensor of bool, shape (image, token)
        False for padding.

    Returns
    -------
    torch.Tensor, shape (image, token, head, feature)
    """
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=keep[:, None, None, :]).transpose(1, 2)
