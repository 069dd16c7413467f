"""Muon: matrices that change by orthogonal steps, those of one shape together, in a precision that is told."""

import math

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial that brings singular values near 1 fastest (Jordan et al. 2024)."""
ROUNDS = 5
SMALLEST = 1e-7


def orthogonalise(matrices, *, dtype=None):
    """
    Bring the singular values of matrices near 1 (0.7 to 1.2), by Newton-Schulz iteration.

    Parameters
    ----------
    matrices : torch.Tensor, shape (..., row, column)
    dtype : torch.dtype, optional
        To compute in; that of `matrices` by default.

    Returns
    -------
    torch.Tensor, shape (..., row, column)

    Notes
    -----
    Singular values beyond a thousandth of the largest get there; smaller ones are raised, but stay below.

    References
    ----------
    Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    """
    x = matrices.to(dtype or matrices.dtype)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=SMALLEST)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """
    Change matrices by orthogonal steps along the momentum of their gradients (Nesterov's), as large as AdamW's.

    PyTorch's own computes in bfloat16 whatever the device, which processors without it emulate: there a step of a
    small network took three times as long as all else.

    Parameters
    ----------
    params : iterable of torch.Tensor or dict
        Matrices, or groups of them.
    lr : float
    weight_decay : float
        Share of a matrix that a step of rate 1 takes off.
    momentum : float
    dtype : torch.dtype, optional
        To turn matrices in; their own by default.

    References
    ----------
    Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks. Liu et al. 2025, Muon is scalable for
    LLM training, arXiv 2502.16982 (size of the steps, decay).
    """

    def __init__(self, params, *, lr=1e-3, weight_decay=0.1, momentum=0.95, dtype=None):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure=None):
        """
        Change all matrices that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Works out gradients and returns the loss, as PyTorch's optimisers take it; PyTorch passes None when it
            restores a checkpoint.

        Returns
        -------
        torch.Tensor or None
            The loss, if `closure` is given.
        """
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            alike = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault((matrix.shape, matrix.device), []).append(matrix)
            for (shape, _), matrices in alike.items():
                turned = orthogonalise(torch.stack([self._direction(m, group) for m in matrices]), dtype=self.dtype)
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(turned), alpha=-group["lr"] * 0.2 * math.sqrt(max(shape)))
        return loss

    def _direction(self, matrix, group):
        """Momentum, looked at one step ahead."""
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
        return matrix.grad.lerp(state["momentum_buffer"], group["momentum"])
