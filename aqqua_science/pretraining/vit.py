"""A Vision Transformer that sees every image at its own size, and knows how large a pixel is."""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from aqqua_science.images.patches import CHANNELS
from aqqua_science.pretraining.kernels import attention, masked
from aqqua_science.pretraining.packing import boundaries
from aqqua_science.pretraining.stems import Convolutions

SIZES = {
    "pico": (96, 3, 3),
    "nano": (192, 8, 3),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""Name -> width, depth, heads."""

BANDS = 64
"""Wavelengths of the position codes."""
SHORTEST_UM, LONGEST_UM = 2.0, 2e5
"""From a cell to a jellyfish."""
GREY_MEAN, GREY_SPREAD = 0.5, 0.25
LAYER_SCALE = 1.0


class Encoded(NamedTuple):
    """
    What the network makes of a pack.

    Attributes
    ----------
    cls : torch.Tensor, shape (image, feature)
    patches : torch.Tensor, shape (token, feature)
    """

    cls: torch.Tensor
    patches: torch.Tensor


class ViT(nn.Module):
    """
    Vision Transformer with registers, on packed images of any size, pixel size and number of channels.

    Dosovitskiy et al. 2021 (arXiv 2010.11929); registers: Darcet et al. 2024 (arXiv 2309.16588); packing: Dehghani et
    al. 2023 (arXiv 2307.06304); one token per patch and channel: Bao et al. 2024 (arXiv 2309.16108); the idea of
    positions on the ground rather than in pixels: Reed et al. 2023 (arXiv 2212.14532).

    Parameters
    ----------
    vit : {"pico", "nano", "tiny", "small", "base", "large"}
    patch_size : int
        Pixels along a side.
    registers : int
    stem : {"convolution", "linear"}
        How pixels become tokens: by a few convolutions within each patch, or by one matrix.
    positions : {"micrometres", "grid"}
        Where a patch is: in micrometres from the image's centre, or in patches from it.
    pixel_size_token : bool
        Whether a token tells how large a pixel is.
    checkpoint_activations : bool
        Recompute each block in the backward pass, for less memory.
    """

    def __init__(
        self, vit, *, patch_size=14, registers=4, stem="convolution", positions="micrometres", pixel_size_token=True,
        checkpoint_activations=False,
    ):  # fmt: skip
        super().__init__()
        width, depth, heads = SIZES[vit]
        self.settings = {"vit": vit, "patch_size": patch_size, "registers": registers, "stem": stem}
        self.settings |= {"positions": positions, "pixel_size_token": pixel_size_token}
        self.width = width
        self.checkpoint_activations = checkpoint_activations
        self.patch = Convolutions(patch_size, width) if stem == "convolution" else nn.Linear(patch_size**2, width)
        self.unseen = nn.Linear(patch_size**2, width, bias=False)
        self.level = nn.Linear(1, width, bias=False)
        self.channel = nn.Embedding(CHANNELS, width)
        self.position = nn.Linear(4 * BANDS, width, bias=False)
        self.pixel_size = nn.Linear(2 * len(SCALE_PERIODS) + 1, width) if pixel_size_token else None
        self.cls = nn.Parameter(torch.zeros(width))
        self.register = nn.Parameter(torch.zeros(registers, width))
        self.mask = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self._initialise()

    def _initialise(self):
        for name, parameter in self.named_parameters():
            if name.endswith("scale"):
                continue
            if name.endswith(("norm1.weight", "norm2.weight", "norm.weight")):
                nn.init.ones_(parameter)
            elif parameter.ndim < 2 and name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.trunc_normal_(parameter, std=0.02)
        nn.init.zeros_(self.unseen.weight)
        if self.settings["stem"] == "convolution":
            self.patch.initialise()

    @property
    def n_special(self):
        """Tokens of an image that are no patches."""
        return 1 + len(self.register) + (self.pixel_size is not None)

    def forward(self, packed, *, mask=None):
        """
        Encode a pack.

        Parameters
        ----------
        packed : Packed
        mask : torch.Tensor of bool, shape (token,), optional
            Patches that are hidden from the network.

        Returns
        -------
        Encoded
        """
        pitch = torch.repeat_interleave(packed.pixel_size_um, packed.lengths)
        patches = self._embed(packed, pitch, mask)
        special = self._special(packed.pixel_size_um)
        lengths = packed.lengths + self.n_special
        edges = boundaries(lengths)
        starts = edges[:-1].to(torch.int64)
        place = torch.cat([
            (starts[:, None] + torch.arange(self.n_special, device=starts.device)).flatten(),
            torch.arange(len(patches), device=starts.device)
            + torch.repeat_interleave(
                self.n_special * torch.arange(1, len(lengths) + 1, device=starts.device), packed.lengths
            ),
        ])  # fmt: skip
        x = torch.cat([special.flatten(0, 1), patches])[place.argsort()]
        x = self._transform(x, partial(attention, cu_seqlens=edges))
        return Encoded(x[starts], x[place[len(starts) * self.n_special :]])

    def padded(self, packed, *, keep):
        """
        Encode images that are padded to one length: what is exported, and the slow way that packing must equal.

        Parameters
        ----------
        packed : Packed
            Its first five tensors have shape (image, token, ...); `lengths` is not used.
        keep : torch.Tensor of bool, shape (image, token)
            False for padding.

        Returns
        -------
        Encoded
            `patches` has shape (image, token, feature); what stands at padding has no meaning.
        """
        pitch = packed.pixel_size_um[:, None].expand(packed.channel.shape)
        patches = self._embed(packed, pitch, None)
        special = self._special(packed.pixel_size_um)
        keep = torch.cat([keep.new_ones(special.shape[:2]), keep], dim=1)
        x = self._transform(torch.cat([special, patches], dim=1), partial(masked, keep=keep))
        return Encoded(x[:, 0], x[:, self.n_special :])

    def _embed(self, packed, pixel_size_um, mask):
        """Patch tokens: what stands out from the background, how bright that is, of which channel, where."""
        values, seen, background, position_um, channel = packed[:5]
        seen, background = seen.to(values.dtype), background.unsqueeze(-1)
        x = self.patch((values - background) / GREY_SPREAD * seen) + self.unseen(1 - seen)
        x = x + self.level((background - GREY_MEAN) / GREY_SPREAD)
        if mask is not None:
            x = torch.where(mask.unsqueeze(-1), self.mask.to(x.dtype), x)
        pitch = pixel_size_um.unsqueeze(-1) * self.settings["patch_size"]
        if self.settings["positions"] == "micrometres":
            codes = position_codes(position_um, pitch, shortest=SHORTEST_UM, longest=LONGEST_UM)
        else:
            codes = position_codes(position_um / pitch, torch.ones_like(pitch), shortest=2.0, longest=512.0)
        return x + self.channel(channel) + self.position(codes.to(x.dtype))

    def _special(self, pixel_size_um):
        """Class token, registers and the token of the pixel's size, for each image."""
        n = pixel_size_um.shape[0]
        tokens = [self.cls.expand(n, 1, -1), self.register.expand(n, -1, -1)]
        if self.pixel_size is not None:
            tokens.append(self.pixel_size(scale_codes(pixel_size_um).to(self.cls.dtype)).unsqueeze(1))
        return torch.cat([t.to(self.cls.dtype) for t in tokens], dim=1)

    def _transform(self, x, attend):
        for block in self.blocks:
            if self.checkpoint_activations and self.training:
                x = checkpoint(block, x, attend, use_reentrant=False)
            else:
                x = block(x, attend)
        return self.norm(x)


class Block(nn.Module):
    """
    A transformer block with LayerScale (Touvron et al. 2021, arXiv 2103.17239).

    Parameters
    ----------
    width : int
    heads : int
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.scale1 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.scale2 = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x, attend):
        """
        Pass tokens through the block.

        Parameters
        ----------
        x : torch.Tensor, shape (..., token, width)
        attend : callable
            Takes queries, keys and values of shape (..., token, head, feature).

        Returns
        -------
        torch.Tensor, shape (..., token, width)
        """
        return self.add(x, attend(*self.ask(x)))

    def ask(self, x):
        """
        Make queries, keys and values.

        Parameters
        ----------
        x : torch.Tensor, shape (..., token, width)

        Returns
        -------
        tuple of torch.Tensor, shape (..., token, head, feature)
        """
        return self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)

    def add(self, x, found):
        """
        Add to the tokens what they found in others, and what they make of it.

        Parameters
        ----------
        x : torch.Tensor, shape (..., token, width)
        found : torch.Tensor, shape (..., token, head, feature)

        Returns
        -------
        torch.Tensor, shape (..., token, width)
        """
        x = x + self.scale1 * self.out(found.flatten(-2))
        return x + self.scale2 * self.down(nn.functional.gelu(self.up(self.norm2(x))))

    def compile_parts(self):
        """Let PyTorch compile all but the attention, whose sequences differ from batch to batch."""
        self.ask, self.add = (torch.compile(part, dynamic=True) for part in (self.ask, self.add))


def position_codes(position, extent, *, shortest, longest):
    """
    Sines and cosines of positions at log-spaced wavelengths, averaged over the patch.

    The mean of a wave of wavelength w over an extent e is the wave at its centre times sinc(e / w): waves that a patch
    cannot resolve fade out instead of aliasing, so that one place has one code at every sampling rate.

    Parameters
    ----------
    position : torch.Tensor, shape (..., 2)
    extent : torch.Tensor, shape (..., 1)
        Side of the patch, in the unit of `position`.
    shortest, longest : float
        Wavelengths, in the unit of `position`.

    Returns
    -------
    torch.Tensor, shape (..., 4 * BANDS)
    """
    exponents = torch.linspace(0, 1, BANDS, dtype=position.dtype, device=position.device)
    wavelengths = shortest * (longest / shortest) ** exponents
    phases = 2 * math.pi * position.unsqueeze(-1) / wavelengths
    fade = torch.sinc(extent / wavelengths).unsqueeze(-2)
    return torch.cat([phases.sin() * fade, phases.cos() * fade], dim=-1).flatten(-2)


SCALE_PERIODS = (8.0, 4.0, 2.0, 1.0)
"""Decades of pixel size after which a wave of the scale code returns."""


def scale_codes(pixel_size_um):
    """
    Code the size of a pixel: its logarithm, and waves of it.

    Parameters
    ----------
    pixel_size_um : torch.Tensor, shape (image,)

    Returns
    -------
    torch.Tensor, shape (image, 2 * len(SCALE_PERIODS) + 1)
    """
    decades = torch.log10(pixel_size_um).unsqueeze(-1)
    phases = 2 * math.pi * decades / decades.new_tensor(SCALE_PERIODS)
    return torch.cat([decades / 3, phases.sin(), phases.cos()], dim=-1)
