"""Losses against slow references written from the formulas, and two processes against one."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from aqqua_science.pretraining.losses import (
    SMALLEST_DISTANCE,
    dino_loss,
    gather_rows,
    gram_loss,
    ibot_loss,
    koleo_loss,
    sinkhorn_knopp,
)

SPLITS = [(5, 2), (2, 5), (7, 0), (0, 7)]
"""Rows of the first and the second process."""


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def probabilities(*shape, seed=1):
    return random(*shape, seed=seed).softmax(-1)


def cross_entropy(logits, wanted, temperature):
    """Of one row, number by number."""
    scaled = [float(x) / temperature for x in logits]
    logarithm = math.log(sum(math.exp(x) for x in scaled))
    return -sum(float(p) * (x - logarithm) for p, x in zip(wanted, scaled, strict=True))


class TestSinkhorn:
    def test_the_algorithm_of_the_paper(self):
        logits = random(7, 5)
        q = np.exp(logits.numpy() / 0.5)
        q /= q.sum()
        for _ in range(3):
            q /= 5 * q.sum(axis=0, keepdims=True)
            q /= 7 * q.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(sinkhorn_knopp(logits, temperature=0.5), q * 7, rtol=1e-12)

    def test_with_patience_every_prototype_gets_its_share(self):
        shares = sinkhorn_knopp(random(40, 8), temperature=0.3, iterations=300)
        np.testing.assert_allclose(shares.sum(0), 40 / 8, rtol=1e-9)
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-12)

    @pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3, 1e6])
    def test_no_temperature_overflows_in_single_precision(self, spread):
        shares = sinkhorn_knopp(random(30, 6).float() * spread, temperature=0.04)
        assert shares.dtype == torch.float32
        assert torch.isfinite(shares).all()
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)

    def test_half_precision_is_widened(self):
        assert sinkhorn_knopp(random(4, 3).bfloat16(), temperature=0.1).dtype == torch.float32

    def test_nothing_in_nothing_out_and_no_gradient(self):
        assert sinkhorn_knopp(random(0, 5), temperature=0.1).shape == (0, 5)
        assert not sinkhorn_knopp(random(3, 5).requires_grad_(), temperature=0.1).requires_grad

    def test_neither_the_order_of_rows_nor_a_constant_matters(self):
        logits, order = random(9, 4), torch.randperm(9, generator=torch.Generator().manual_seed(0))
        expected = sinkhorn_knopp(logits, temperature=0.2)
        torch.testing.assert_close(sinkhorn_knopp(logits[order], temperature=0.2), expected[order])
        torch.testing.assert_close(sinkhorn_knopp(logits + 100, temperature=0.2), expected)


class TestDino:
    @pytest.mark.parametrize("n_views", [2, 3, 6])
    def test_mean_over_all_pairs_of_different_views(self, n_views):
        student, teacher = random(n_views, 4, 5), probabilities(2, 4, 5)
        for image, loss in enumerate(dino_loss(student, teacher, temperature=0.3)):
            pairs = [(s, t) for s in range(n_views) for t in range(2) if s != t]
            terms = [cross_entropy(student[s, image], teacher[t, image], 0.3) for s, t in pairs]
            assert float(loss) == pytest.approx(np.mean(terms), rel=1e-12)

    def test_a_student_that_agrees_has_the_entropy_of_the_teacher(self):
        one = probabilities(1, 3, 6)
        loss = dino_loss(0.1 * one.log().repeat(4, 1, 1), one.repeat(2, 1, 1), temperature=0.1)
        torch.testing.assert_close(loss, -(one * one.log()).sum(-1)[0])

    def test_gradient(self):
        teacher = probabilities(2, 2, 3)
        assert torch.autograd.gradcheck(
            lambda x: dino_loss(x, teacher, temperature=0.5), random(3, 2, 3).requires_grad_()
        )

    def test_images_do_not_see_each_other(self):
        student, teacher, order = random(3, 5, 4), probabilities(2, 5, 4), torch.tensor([3, 1, 4, 0, 2])
        moved = dino_loss(student[:, order], teacher[:, order], temperature=0.1)
        torch.testing.assert_close(moved, dino_loss(student, teacher, temperature=0.1)[order])


class TestIbot:
    image = torch.tensor([2, 0, 0, 2, 2, 3])

    def test_mean_over_the_masked_patches_of_each_image(self):
        student, teacher = random(6, 5), probabilities(6, 5)
        losses = ibot_loss(student, teacher, image=self.image, n_images=5, temperature=0.2)
        terms = [cross_entropy(s, t, 0.2) for s, t in zip(student, teacher, strict=True)]
        expected = [np.mean([terms[i] for i in np.flatnonzero(self.image == k)] or [0]) for k in range(5)]
        np.testing.assert_allclose(losses, expected, rtol=1e-12)

    def test_the_order_of_patches_does_not_matter(self):
        student, teacher, order = random(6, 5), probabilities(6, 5), torch.tensor([5, 3, 1, 0, 2, 4])
        whole = ibot_loss(student, teacher, image=self.image, n_images=4, temperature=0.2)
        moved = ibot_loss(student[order], teacher[order], image=self.image[order], n_images=4, temperature=0.2)
        torch.testing.assert_close(moved, whole)

    def test_no_masked_patch_at_all(self):
        student = random(0, 5).requires_grad_()
        loss = ibot_loss(student, random(0, 5), image=torch.zeros(0, dtype=torch.int64), n_images=3, temperature=0.1)
        assert loss.tolist() == [0, 0, 0]
        loss.sum().backward()

    def test_gradient(self):
        teacher = probabilities(6, 3)
        assert torch.autograd.gradcheck(
            lambda x: ibot_loss(x, teacher, image=self.image, n_images=4, temperature=0.5),
            random(6, 3).requires_grad_(),
        )


class TestKoleo:
    def test_minus_the_logarithm_of_the_distance_to_the_nearest(self):
        rows = random(8, 3)
        unit = [row / math.sqrt(sum(x * x for x in row)) for row in rows.numpy()]
        for i, loss in enumerate(koleo_loss(rows)):
            nearest = min(math.dist(unit[i], unit[j]) for j in range(8) if j != i)
            assert float(loss) == pytest.approx(-math.log(nearest + SMALLEST_DISTANCE), rel=1e-9)

    def test_known_geometry(self):
        corners = torch.tensor([[2.0, 0], [0, 3], [-1, 0], [0, -5]], dtype=torch.float64)
        np.testing.assert_allclose(koleo_loss(corners), -math.log(math.sqrt(2)), rtol=1e-7)

    def test_coinciding_rows_stay_finite(self):
        rows = torch.ones(3, 4, requires_grad=True)
        loss = koleo_loss(rows)
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert torch.isfinite(rows.grad).all()

    @pytest.mark.parametrize("n", [0, 1])
    def test_alone_there_is_no_neighbour(self, n):
        rows = random(n, 3).requires_grad_()
        loss = koleo_loss(rows)
        assert loss.tolist() == [0] * n
        loss.sum().backward()
        assert rows.grad.abs().sum() == 0

    def test_gradient_flows_to_both_rows_of_a_pair(self):
        assert torch.autograd.gradcheck(koleo_loss, random(6, 3).requires_grad_())
        rows = random(6, 3).requires_grad_()
        unit = torch.nn.functional.normalize(rows.detach(), dim=1)
        nearest = int((unit @ unit[0]).argsort()[-2])
        koleo_loss(rows)[0].backward()
        assert set(torch.nonzero(rows.grad.abs().sum(1))[:, 0].tolist()) == {0, nearest}

    def test_the_order_of_rows_does_not_matter(self):
        rows, order = random(6, 3), torch.tensor([5, 3, 1, 0, 2, 4])
        torch.testing.assert_close(koleo_loss(rows[order]), koleo_loss(rows)[order])


class TestGram:
    lengths = torch.tensor([3, 1, 0, 5, 2])

    def test_mean_squared_difference_of_the_cosines(self):
        student, anchor = random(11, 4), random(11, 6, seed=1)
        losses, start = gram_loss(student, anchor, lengths=self.lengths), 0
        for loss, n in zip(losses, self.lengths.tolist(), strict=True):
            ours, theirs = (x[start : start + n].numpy() for x in (student, anchor))
            terms = [(cosine(ours[i], ours[j]) - cosine(theirs[i], theirs[j])) ** 2 for i in range(n) for j in range(n)]
            assert float(loss) == pytest.approx(np.mean(terms or [0]), rel=1e-9, abs=1e-15)
            start += n

    def test_as_many_images_as_need_several_helpings(self):
        lengths = torch.arange(100) % 4
        student, anchor = random(int(lengths.sum()), 4), random(int(lengths.sum()), 4, seed=1)
        parts = zip(student.split(lengths.tolist()), anchor.split(lengths.tolist()), lengths, strict=True)
        alone = torch.cat([gram_loss(s, a, lengths=n[None]) for s, a, n in parts])
        torch.testing.assert_close(gram_loss(student, anchor, lengths=lengths), alone)

    def test_no_image(self):
        assert gram_loss(random(0, 4), random(0, 4), lengths=torch.zeros(0, dtype=torch.int64)).shape == (0,)

    def test_turned_patches_are_as_similar_as_before(self):
        turn = torch.linalg.qr(random(4, 4, seed=3)).Q
        student = random(11, 4)
        assert gram_loss(3 * student @ turn, student, lengths=self.lengths).abs().max() < 1e-28

    def test_gradient_for_the_student_alone(self):
        anchor = random(11, 3, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: gram_loss(x, anchor, lengths=self.lengths), random(11, 3).requires_grad_()
        )
        gram_loss(random(11, 3).requires_grad_(), anchor, lengths=self.lengths).sum().backward()
        assert anchor.grad is None


def cosine(a, b):
    return sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))


PROCESS = """
import sys
import torch
from torch import distributed
from aqqua_science.pretraining.losses import gather_rows, koleo_loss, sinkhorn_knopp

torch.set_num_threads(1)
folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
given, results = torch.load(f"{folder}/given.pt"), []
for split in given["splits"]:
    own = given["rows"].split(split)[rank]
    weights, rows = given["weights"].clone().requires_grad_(), own.clone().requires_grad_()
    losses = koleo_loss(rows @ weights)
    losses.sum().backward()
    found = {"koleo": losses.detach(), "koleo_rows": rows.grad, "koleo_weights": weights.grad}
    rows = own.clone().requires_grad_()
    everyone = gather_rows(rows)
    ((rank + 1) * everyone.pow(3) * given["importance"]).sum().backward()
    found |= {"gathered": everyone.detach(), "gathered_rows": rows.grad}
    found["sinkhorn"] = sinkhorn_knopp(own, temperature=0.3)
    results.append(found)
nobody, single = given["rows"][:0], given["rows"][rank:1]
found = {"empty": sinkhorn_knopp(nobody, temperature=0.3)}
results.append(found | {"no_pair": koleo_loss(nobody), "one": koleo_loss(single)})
torch.save(results, f"{folder}/found-{rank}.pt")
distributed.barrier()
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes find for each way of sharing seven rows out."""
    folder = tmp_path_factory.mktemp("two")
    given = {"rows": random(7, 4), "weights": random(4, 3, seed=1), "importance": random(7, 4, seed=2)}
    torch.save({**given, "splits": SPLITS}, folder / "given.pt")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROCESS, str(folder)]
    running = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    complaints = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], complaints
    return given, [torch.load(folder / f"found-{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("case", range(len(SPLITS)), ids=str)
class TestTwoProcesses:
    def joined(self, two_processes, case, name):
        return torch.cat([found[case][name] for found in two_processes[1]])

    def test_koleo(self, two_processes, case):
        given, found = two_processes
        rows, weights = (given[name].clone().requires_grad_() for name in ("rows", "weights"))
        losses = koleo_loss(rows @ weights)
        losses.sum().backward()
        np.testing.assert_allclose(self.joined(two_processes, case, "koleo"), losses.detach(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(self.joined(two_processes, case, "koleo_rows"), rows.grad, rtol=0, atol=1e-12)
        summed = sum(process[case]["koleo_weights"] for process in found)
        np.testing.assert_allclose(summed, weights.grad, rtol=0, atol=1e-12)

    def test_gathered_rows(self, two_processes, case):
        given, found = two_processes
        for process in found:
            np.testing.assert_array_equal(process[case]["gathered"], given["rows"])
        expected = 3 * 3 * given["rows"].square() * given["importance"]
        np.testing.assert_allclose(self.joined(two_processes, case, "gathered_rows"), expected, rtol=0, atol=1e-12)

    def test_sinkhorn(self, two_processes, case):
        expected = sinkhorn_knopp(two_processes[0]["rows"], temperature=0.3)
        np.testing.assert_allclose(self.joined(two_processes, case, "sinkhorn"), expected, rtol=0, atol=1e-12)


def test_two_processes_with_hardly_anything(two_processes):
    for rank, found in enumerate(two_processes[1]):
        assert found[-1]["empty"].shape == (0, 4)
        assert found[-1]["no_pair"].shape == (0,)
        assert found[-1]["one"].tolist() == [0][rank:]


def test_alone_nothing_is_gathered():
    rows = random(3, 2)
    assert gather_rows(rows) is rows
