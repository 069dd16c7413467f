"""Muon against singular values, against PyTorch's own, and a stack of matrices against each alone."""

import numpy as np
import pytest
import torch

from aqqua_science.pretraining import checkpoints
from aqqua_science.pretraining.orthogonal import COEFFICIENTS, ROUNDS, Muon, orthogonalise


def by_singular_values(matrix):
    """What the iteration does, written for singular values: the rest of the matrix stays."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.linalg.norm(matrix)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        s = a * s + b * s**3 + c * s**5
    return u @ np.diag(s) @ v, s


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (7, 7), (1, 4)])
def test_only_singular_values_change(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    expected, s = by_singular_values(matrix)
    assert np.allclose(orthogonalise(torch.from_numpy(matrix)).numpy(), expected, atol=1e-12)
    assert ((s > 0.65) & (s < 1.25)).all()


def test_a_stack_is_turned_as_each_alone():
    stack = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = orthogonalise(stack)
    assert all(torch.allclose(one, orthogonalise(matrix)) for one, matrix in zip(turned, stack, strict=True))


def test_nothing_moves_where_the_gradient_is_zero():
    assert orthogonalise(torch.zeros(2, 3, 4)).eq(0).all()


@pytest.mark.parametrize("shapes", [[(8, 24), (24, 8), (8, 24)], [(16, 16)]])
def test_steps_are_those_of_pytorch_but_for_half_precision(shapes):
    generator = torch.Generator().manual_seed(1)
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    gradients = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(4)]
    told, ends = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9}, []
    makers = [
        lambda m: Muon(m, **told),
        lambda m: Muon(m, **told, dtype=torch.bfloat16),
        lambda m: torch.optim.Muon(m, **told, adjust_lr_fn="match_rms_adamw"),
    ]
    for make in makers:
        matrices = [torch.nn.Parameter(m.clone()) for m in start]
        optimizer = make(matrices)
        for step in gradients:
            for matrix, gradient in zip(matrices, step, strict=True):
                matrix.grad = gradient.clone()
            optimizer.step()
        ends.append([m.detach() for m in matrices])
    exact, half, theirs = ends
    for k, began in enumerate(start):
        way = (theirs[k] - began).norm()
        assert (half[k] - theirs[k]).norm() < 0.05 * way
        assert (exact[k] - theirs[k]).norm() < 0.05 * way


def test_matrices_without_a_gradient_stay():
    matrix = torch.nn.Parameter(torch.ones(2, 3))
    Muon([matrix], lr=0.1).step()
    assert matrix.eq(1).all()


def test_a_checkpoint_brings_back_the_momentum(tmp_path):
    """Three steps at once, and two with a third after a checkpoint: the same bits."""
    generator = torch.Generator().manual_seed(2)
    batches = [torch.randn(5, 6, generator=generator) for _ in range(3)]

    def begun():
        torch.manual_seed(3)
        model = torch.nn.Linear(6, 4, bias=False)
        return model, Muon(model.parameters(), lr=0.05)

    def train(model, optimizer, some):
        for batch in some:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()

    whole, optimizer = begun()
    train(whole, optimizer, batches)
    stopped, optimizer = begun()
    train(stopped, optimizer, batches[:2])
    checkpoints.save(tmp_path, models={"student": stopped}, optimizers=[optimizer], state={"step": 2}, keep=1)
    again, optimizer = begun()
    checkpoints.restore(next(tmp_path.glob("step-*")), models={"student": again}, optimizers=[optimizer])
    train(again, optimizer, batches[2:])
    assert torch.equal(again.weight, whole.weight)
    assert not torch.equal(stopped.weight, whole.weight)


def test_a_closure_gives_gradients_and_the_loss():
    matrix = torch.nn.Parameter(torch.eye(3))
    optimizer = Muon([matrix], lr=0.1)

    def closure():
        loss = matrix.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert not matrix.equal(torch.eye(3))
