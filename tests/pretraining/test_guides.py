"""Heads on metadata: planted columns are learned, or forgotten."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from aqqua_science.pretraining.config import Guide
from aqqua_science.pretraining.guides import GuideHeads, reverse_gradient
from aqqua_science.schema import SchemaError

LEARN, FORGET = Guide(kind="auxiliary"), Guide(kind="adversarial")


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "instrument": ["UVP6", "IFCB", None, "IFCB", "UVP6", "LOKI"],
            "esd_um": [10.0, 100, np.nan, 1000, 100, 10],
            "temperature": [-1.0, 0, 1, 2, np.inf, 3],
            "time": pd.to_datetime(["2020-01-01", "2020-01-03", None, "2020-01-01", "2020-01-03", "2020-01-01"]),
            "living": [True, False, True, True, False, False],
            "channels": np.array([1, 3, 1, 1, 3, 1], np.int16),
        },
        index=pd.Index(range(6), name="row"),
    )


def heads_for(table, dim=4, **guides):
    torch.manual_seed(0)
    return GuideHeads(table, guides, dim=dim)


class TestReversal:
    @pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
    def test_the_gradient_is_turned_exactly(self, scale):
        x = torch.randn(5, dtype=torch.float64, requires_grad=True)
        y = reverse_gradient(x, scale)
        assert torch.equal(y, x)
        (straight,) = torch.autograd.grad(x.pow(3).sum(), x)
        (turned,) = torch.autograd.grad(y.pow(3).sum(), x)
        assert torch.equal(turned, -scale * straight)

    @pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
    def test_an_adversary_acts_as_ganin_and_lempitsky_schedule_it(self, table, progress):
        """The head learns as if it stood alone; what lies before it gets the gradient reversed."""
        x = torch.randn(6, 4, requires_grad=True)
        heads = heads_for(table, instrument=FORGET)
        target = heads.targets(table)["instrument"]
        loss = heads.losses(x, {"instrument": target}, progress)["instrument"]
        plain = heads.columns["instrument"].loss(heads.heads[0](x), target)
        assert torch.equal(loss, plain)
        of_forgetting, of_learning = (
            torch.autograd.grad(found.sum(), [x, *heads.parameters()]) for found in (loss, plain)
        )
        strength = 2 / (1 + math.exp(-10 * progress)) - 1
        torch.testing.assert_close(of_forgetting[0], -strength * of_learning[0])
        for a, b in zip(of_learning[1:], of_forgetting[1:], strict=True):
            assert torch.equal(a, b)

    def test_what_is_taught_is_a_linear_function_of_the_normalised_embedding(self, table):
        """Least squares on the normalised embedding leaves nothing of an auxiliary head, and much of an adversary."""
        x = torch.randn(200, 4)
        known = torch.cat([torch.nn.functional.layer_norm(x, (4,)), torch.ones(200, 1)], dim=1)
        left = []
        for guide in (LEARN, FORGET):
            answer = heads_for(table, instrument=guide).heads[0](x).detach()
            fitted = known @ torch.linalg.lstsq(known, answer, driver="gelsd").solution
            left.append(float((answer - fitted).var() / answer.var()))
        assert left[0] < 1e-6
        assert left[1] > 1e-3


class TestTargets:
    def test_names_become_classes_in_order_and_rare_ones_are_missing(self, table):
        found = heads_for(table, instrument=LEARN, living=FORGET).targets(table)
        assert found["instrument"].tolist() == [1, 0, -1, 0, 1, -1]
        assert found["living"].tolist() == [1, 0, 1, 1, 0, 0]
        assert found["instrument"].dtype == torch.int64

    def test_categories_and_new_strings_count_as_names(self, table):
        expected = heads_for(table, instrument=LEARN).targets(table)["instrument"]
        for dtype in ("category", "string"):
            other = table.astype({"instrument": dtype})
            assert torch.equal(heads_for(other, instrument=LEARN).targets(other)["instrument"], expected)

    def test_positive_numbers_are_standardised_as_logarithms(self, table):
        found = heads_for(table, esd_um=LEARN).targets(table)["esd_um"].numpy()
        known = np.array([1, 2, 3, 2, 1])
        np.testing.assert_allclose(np.delete(found, 2), (known - known.mean()) / known.std(), rtol=1e-6)
        assert np.isnan(found[2])

    def test_other_numbers_are_standardised_as_they_are(self, table):
        found = heads_for(table, temperature=LEARN).targets(table)["temperature"].numpy()
        known = np.array([-1, 0, 1, 2, 3])
        np.testing.assert_allclose(np.delete(found, 4), (known - known.mean()) / known.std(), rtol=1e-6)
        assert np.isnan(found[4])

    def test_times_are_numbers(self, table):
        found = heads_for(table, time=LEARN).targets(table)["time"].numpy()
        known = np.array([0, 2, 0, 2, 0])
        np.testing.assert_allclose(np.delete(found, 2), (known - known.mean()) / known.std(), rtol=1e-6)

    def test_rows_that_were_not_trained_on(self, table):
        heads = heads_for(table, instrument=LEARN, esd_um=LEARN, channels=LEARN)
        new = pd.DataFrame({"instrument": ["IFCB", "Loki", None], "esd_um": [100.0, 0, -5], "channels": [1, 2, 3]})
        found = heads.targets(new)
        assert found["instrument"].tolist() == [0, -1, -1]
        assert found["esd_um"].isnan().tolist() == [False, True, True]
        assert heads.known(found)["esd_um"].tolist() == [True, False, False]
        assert torch.isfinite(found["channels"]).all()

    @pytest.mark.parametrize(
        ("column", "complaint"),
        [
            ("instrumnt", "no column of the store. Did you mean 'instrument'"),
            ("same", "holds only 'UVP6'"),
            ("flat", "holds only 3.0"),
            ("alone", "no value that two rows share"),
            ("empty", "holds no value"),
        ],
    )
    def test_columns_that_teach_nothing_are_refused(self, table, column, complaint):
        table = table.assign(same=["UVP6"] * 5 + ["LOKI"], flat=3.0, alone=list("abcdef"), empty=np.nan)
        with pytest.raises(SchemaError, match=complaint):
            heads_for(table, **{column: LEARN})

    def test_the_description_fits_into_a_file(self, table):
        told = json.loads(json.dumps(heads_for(table, instrument=LEARN, esd_um=FORGET, time=LEARN).describe()))
        assert told["instrument"] == {
            "kind": "auxiliary",
            "weight": 0.1,
            "task": "classification",
            "classes": ["IFCB", "UVP6"],
        }
        assert told["esd_um"]["kind"] == "adversarial"
        assert told["esd_um"]["logarithm"]
        assert told["esd_um"]["mean"] == pytest.approx(1.8)


class TestLosses:
    def test_missing_values_contribute_nothing(self, table):
        heads = heads_for(table, instrument=LEARN, esd_um=FORGET)
        x = torch.randn(6, 4, requires_grad=True)
        targets = heads.targets(table)
        for name, loss in heads.losses(x, targets, 1.0).items():
            known = heads.known(targets)[name]
            assert (loss[~known] == 0).all()
            assert (loss[known] > 0).all()
            (gradient,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
            assert torch.isfinite(gradient).all()
            assert ((gradient != 0).any(1) == known).all()

    def test_nothing_known_at_all(self, table):
        heads = heads_for(table, instrument=LEARN, esd_um=FORGET)
        losses = heads.losses(torch.randn(1, 4), heads.targets(table.iloc[[2]]), 1.0)
        sum(x.sum() for x in losses.values()).backward()
        assert all(p.grad.abs().sum() == 0 for p in heads.parameters())

    def test_chance_is_one(self, table):
        heads = heads_for(table, instrument=LEARN, esd_um=LEARN)
        for parameter in heads.parameters():
            torch.nn.init.zeros_(parameter)
        targets = heads.targets(table)
        losses = heads.losses(torch.randn(6, 4), targets, 0.0)
        np.testing.assert_allclose(losses["instrument"][heads.known(targets)["instrument"]].detach(), 1, rtol=1e-6)
        assert float(losses["esd_um"].detach().sum()) / 5 == pytest.approx(1)

    def test_half_precision_embeddings_give_single_precision_losses(self, table):
        heads = heads_for(table, instrument=LEARN, esd_um=FORGET).bfloat16()
        losses = heads.losses(torch.randn(6, 4).bfloat16(), heads.targets(table), 0.5)
        assert {loss.dtype for loss in losses.values()} == {torch.float32}


class TestPlantedColumns:
    """A toy: six mixed signals, one of them the instrument, one the taxon, one the size."""

    n = 600

    @pytest.fixture
    def toy(self):
        rng = np.random.default_rng(0)
        signals = rng.normal(size=(self.n, 6))
        signals[:, 0] = rng.integers(0, 2, self.n) * 2 - 1 + rng.normal(0, 0.1, self.n)
        signals[:, 1] = rng.integers(0, 2, self.n) * 2 - 1 + rng.normal(0, 0.1, self.n)
        table = pd.DataFrame(
            {
                "instrument": np.where(signals[:, 0] > 0, "UVP6", "IFCB"),
                "taxon": np.where(signals[:, 1] > 0, "Copepoda", "Rhizaria"),
                "esd_um": 10 ** (2 + signals[:, 2]),
            }
        )
        table.loc[::7, "taxon"] = None
        mixing = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        return torch.from_numpy(signals @ mixing).float(), table, signals

    def train(self, toy, steps=400, **guides):
        """A linear encoder, and the embeddings it ends with."""
        x, table, _ = toy
        heads = heads_for(table, dim=4, **guides)
        encoder = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.LayerNorm(4, elementwise_affine=False))
        targets = heads.targets(table)
        optimiser = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], 5e-3)
        for step in range(steps):
            losses = heads.losses(encoder(x), targets, step / steps)
            optimiser.zero_grad()
            sum(loss.mean() for loss in losses.values()).backward()
            optimiser.step()
        return encoder(x).detach().numpy(), {name: float(loss.detach().mean()) for name, loss in losses.items()}

    def decoded(self, embedding, truth):
        """Share of held-out rows that a fresh probe tells apart."""
        from sklearn.linear_model import LogisticRegression

        half = self.n // 2
        probe = LogisticRegression().fit(embedding[:half], truth[:half] > 0)
        return probe.score(embedding[half:], truth[half:] > 0)

    def test_an_auxiliary_head_learns_its_column(self, toy):
        _, losses = self.train(toy, taxon=LEARN, esd_um=LEARN)
        assert losses["taxon"] < 0.05
        assert losses["esd_um"] < 0.1

    @pytest.mark.parametrize("nuisance", ["instrument", "esd_um"])
    def test_an_adversarial_head_makes_its_column_unreadable(self, toy, nuisance):
        signals = toy[2]
        unwanted = signals[:, 0 if nuisance == "instrument" else 2]
        kept, _ = self.train(toy, taxon=LEARN, **{nuisance: LEARN})
        cleaned, losses = self.train(toy, taxon=LEARN, **{nuisance: FORGET})
        assert self.decoded(kept, unwanted) > 0.9
        assert self.decoded(cleaned, unwanted) < 0.6
        assert self.decoded(cleaned, signals[:, 1]) > 0.95
        assert losses[nuisance] > 0.9
