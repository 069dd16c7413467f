"""How the pixels of a patch become a token: one matrix, or a few convolutions."""

import math

from torch import nn

CHANNELS = (32, 64)


class Convolutions(nn.Module):
    """
    A small convolutional network within each patch, and one matrix after it.

    Convolutions share their weights over the patch, which is why they learn edges and textures from few images, where
    one matrix over all pixels needs many (Xiao et al. 2021, arXiv 2106.14881). Patches stay independent, so that images
    of any size can be packed.

    Parameters
    ----------
    patch_size : int
    width : int
        Features of a token.
    """

    def __init__(self, patch_size, width):
        super().__init__()
        few, many = CHANNELS
        self.shape = (1, patch_size, patch_size)
        self.layers = nn.Sequential(
            nn.Conv2d(1, few, 3, stride=2, padding=1), nn.GELU(),
            nn.Conv2d(few, many, 3, stride=2, padding=1), nn.GELU(),
            nn.Flatten(), nn.Linear(many * side_after(patch_size) ** 2, width),
        )  # fmt: skip

    def initialise(self):
        """Keep the spread of what passes; the last matrix begins like that of a linear stem on smooth patches."""
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
            elif isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.5 / math.sqrt(layer.in_features))

    def forward(self, values):
        """
        Make tokens of patches.

        Parameters
        ----------
        values : torch.Tensor, shape (..., patch_size ** 2)

        Returns
        -------
        torch.Tensor, shape (..., width)
        """
        return self.layers(values.reshape(-1, *self.shape)).reshape(*values.shape[:-1], -1)


def side_after(patch_size):
    """
    Tell how many cells a side of a patch has left after the convolutions.

    Parameters
    ----------
    patch_size : int

    Returns
    -------
    int

    Examples
    --------
    >>> side_after(14)
    4
    """
    return math.ceil(patch_size / 4)
