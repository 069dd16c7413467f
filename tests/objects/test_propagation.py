"""Carbon of samples: sums of draws, their variance by theory, and the coverage of intervals."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from aqqua_science.objects.conversion import carbon
from aqqua_science.objects.perturbation import Errors
from aqqua_science.objects.propagation import sample_carbon, sample_draws
from aqqua_science.objects.relations import published
from aqqua_science.samples.aggregate import biomass
from aqqua_science.schema import SchemaError
from aqqua_science.synthetic.pictures import images

EXACT = Errors(pixel=0.0, outline=0.0)
LN10 = np.log(10)


def relations(scatter=0.0, systematic=0.0):
    return published().assign(scatter_log10=scatter, systematic_log10=systematic)


def many(n, taxon="Dinophyceae", sample="a", esd_um=20.0, **columns):
    return pd.DataFrame({"sample_id": sample, "taxon": taxon, "esd_um": esd_um, **columns}, index=range(n))


def lognormal_variation(deviation):
    """Coefficient of variation of exp(deviation * normal)."""
    return np.sqrt(np.expm1(deviation**2))


def variation(draws):
    return (draws.std(axis=1) / draws.mean(axis=1)).iloc[0]


@pytest.mark.parametrize("n", [1, 25, 400])
def test_independent_errors_cancel_out(n):
    draws = sample_draws(many(n), relations=relations(scatter=0.2), errors=EXACT, n_draws=4000)
    assert_allclose(variation(draws), lognormal_variation(0.2 * LN10) / np.sqrt(n), rtol=0.06)
    assert_allclose(draws.mean(axis=1), n * carbon(many(1))[0] * np.exp((0.2 * LN10) ** 2 / 2), rtol=0.03)


@pytest.mark.parametrize("n", [1, 400])
def test_common_errors_do_not(n):
    draws = sample_draws(many(n), relations=relations(systematic=0.1), errors=EXACT, n_draws=4000)
    assert_allclose(variation(draws), lognormal_variation(0.1 * LN10), rtol=0.05)


def test_the_pixel_size_is_common_to_an_instrument():
    errors, quiet = Errors(pixel=0.05, outline=0.0), relations()
    one = sample_draws(many(200, instrument="UVP6"), relations=quiet, errors=errors, n_draws=4000)
    assert_allclose(variation(one), lognormal_variation(0.05 * 3 * 0.819), rtol=0.05)
    two = pd.concat([many(100, instrument="UVP6"), many(100, instrument="IFCB")], ignore_index=True)
    half = sample_draws(two, relations=quiet, errors=errors, n_draws=4000)
    assert_allclose(variation(half), lognormal_variation(0.05 * 3 * 0.819) / np.sqrt(2), rtol=0.05)


def test_two_relations_err_apart():
    objects = pd.concat([many(50), many(50, taxon="Acantharea", esd_um=20.0)], ignore_index=True)
    parts = carbon(objects).groupby(objects["taxon"]).sum()
    expected = lognormal_variation(0.1 * LN10) * np.hypot(*parts) / parts.sum()
    draws = sample_draws(objects, relations=relations(systematic=0.1), errors=EXACT, n_draws=4000)
    assert_allclose(variation(draws), expected, rtol=0.05)


def test_counting_adds_the_variance_of_a_compound_poisson():
    """Of a sum over a Poisson number of objects it is the sum of squares."""
    objects = many(60, esd_um=np.linspace(10, 40, 60))
    draws = sample_draws(objects, relations=relations(), errors=EXACT, counting=True, n_draws=8000)
    single = carbon(objects)
    assert_allclose(draws.mean(axis=1), single.sum(), rtol=0.02)
    assert_allclose(draws.std(axis=1), np.sqrt((single**2).sum()), rtol=0.04)


def test_samples_add_up():
    """The draws of two samples add up to those of both together: the errors are the same ones."""
    objects = many(40, sample=["a", "b"] * 20, esd_um=np.linspace(10, 40, 40))
    parts = sample_draws(objects, counting=True, n_draws=50)
    whole = sample_draws(objects.assign(sample_id="both"), counting=True, n_draws=50)
    assert_allclose(parts.sum(axis=0), whole.loc["both"])


def test_without_errors_it_is_the_biomass_of_the_samples():
    objects = many(30, sample=["b", "a", "b"] * 10, esd_um=np.linspace(10, 40, 30))
    samples = pd.DataFrame({"sample_id": ["a", "empty", "b"], "volume_m3": [0.5, 1.0, 2.0]})
    found = sample_carbon(objects, samples, relations=relations(), errors=EXACT, counting=False, n_draws=3)
    expected = biomass(objects.assign(carbon_ug=carbon(objects)), samples)
    pd.testing.assert_frame_equal(found[list(expected)], expected)
    assert_allclose(found["carbon_mg_m3_low"], found["carbon_mg_m3_high"])
    assert found["carbon_mg_m3"][1] == 0


def test_an_object_that_cannot_be_converted_makes_its_sample_unknown():
    objects = pd.concat([many(2), many(1, taxon="Unheard", sample="b")], ignore_index=True)
    samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": 1.0})
    with pytest.warns(UserWarning, match="1 of 3 objects have no carbon, so that of 1 of 2 samples is NaN"):
        assert sample_carbon(objects, samples, n_draws=20)["carbon_mg_m3"].isna().tolist() == [False, True]
    found = sample_carbon(objects, samples, fallback="lehette_2009_mesozooplankton", n_draws=20)
    assert found["carbon_mg_m3_high"].notna().all()


@pytest.mark.parametrize("names_by", ["taxon", "probabilities"])
def test_one_warning_tells_what_lacks_carbon_and_what_to_do(names_by):
    """Warnings are errors here, so that whole samples without one show that there is none."""
    taxon = ["Dinophyceae", "bubble", "bubble", "bubble", "Unheard", "Chaetoceros"]
    esd_um = [20.0, 20.0, 20.0, 20.0, 20.0, np.nan]
    objects = pd.DataFrame({"sample_id": list("aabccd"), "taxon": taxon, "esd_um": esd_um}, index=[7] * 6)
    options = {"n_draws": 5}
    if names_by == "probabilities":
        options["probabilities"] = pd.get_dummies(objects["taxon"]).astype(float)
        objects = objects.drop(columns="taxon")
    with pytest.warns(UserWarning, match="have no carbon") as told:
        draws = sample_draws(objects, sample_ids=list("abcde"), **options)
    assert draws.isna().all(axis=1).tolist() == [True, True, True, True, False]
    (told,) = told
    for words in (
        "5 of 6 objects have no carbon, so that of 4 of 5 samples is NaN",
        "3 bubble (no relation for bubble, which does not live)",
        "1 Unheard (no relation for this taxon)",
        "1 Chaetoceros (size is missing or zero)",
        "Drop what does not live or has no size, and pass fallback= for taxa without a relation.",
    ):
        assert words in str(told.message)
    whole = np.array([True, False, False, False, False, False])
    options |= {"probabilities": options["probabilities"][whole]} if names_by == "probabilities" else {}
    assert sample_draws(objects[whole], **options).notna().all(axis=None)


def test_sizes_that_organisms_cannot_have_are_told():
    """A third of the volumes are in mm3; warnings are errors here, so that sound tables show that there is none."""
    volume = np.full(9, 4e8)
    volume[::3] *= 1e-9
    objects = pd.DataFrame({"sample_id": list("aaabbbccc"), "taxon": "Copepoda", "biovolume_um3": volume})
    samples = pd.DataFrame({"sample_id": list("abcd"), "volume_m3": 1.0})
    with pytest.warns(UserWarning, match="3 of 9 objects, in 3 of 4 samples, have sizes that") as told:
        assert sample_carbon(objects, samples, n_draws=5)["carbon_mg_m3"].notna().all()
    (told,) = told
    assert "3 Copepoda. Their carbon is summed, but is wrong if they are in mm" in str(told.message)
    mended = objects.assign(biovolume_um3=np.where(volume < 1, volume * 1e9, volume))
    assert sample_carbon(mended, samples, n_draws=5)["carbon_mg_m3"][:3].gt(0).all()


def test_the_carbon_of_water_has_the_error_of_counting():
    """Of n alike and exactly known objects the relative error is that of a Poisson number of them: 1 / sqrt(n)."""
    samples = pd.DataFrame({"sample_id": ["a"], "volume_m3": [2.0]})
    options = {"relations": relations(), "errors": EXACT, "level": 0.6826895, "n_draws": 4000}
    row = sample_carbon(many(400), samples, **options).iloc[0]
    assert_allclose(row["carbon_mg_m3"], 400 * carbon(many(1))[0] / 2000, rtol=0.01)
    half = (row["carbon_mg_m3_high"] - row["carbon_mg_m3_low"]) / 2
    assert_allclose(half / row["carbon_mg_m3"], 1 / np.sqrt(400), rtol=0.08)


def test_detritus_is_summed_too():
    objects = many(2, taxon=["Copepoda", "detritus"], esd_um=900.0)
    samples = pd.DataFrame({"sample_id": ["a"], "volume_m3": [1.0]})
    options = {"relations": relations(), "errors": EXACT, "counting": False, "n_draws": 2}
    both, plankton = (sample_carbon(some, samples, **options)["carbon_mg_m3"][0] for some in (objects, objects[:1]))
    assert_allclose((both - plankton) * 1000, 0.99 * (np.pi / 6 * 0.9**3) ** 0.52)


def world(rng, *, counting=False, n_samples=6, n=40):
    """
    Pictures of a world whose relation, pixel size, outlines and organisms err as they may.

    The truth, ug per sample, is of the very objects; or, with Poisson numbers of them, of the water: `n` organisms of
    the mean carbon, that of lognormal sizes and masses.
    """
    numbers = rng.poisson(n, n_samples) if counting else np.full(n_samples, n)
    sample, taxon = np.repeat(range(n_samples), numbers), rng.integers(2, size=numbers.sum())
    exponent, off = np.array([0.819, 0.939]), 0.1 * rng.standard_normal(2)
    constant = np.array([0.760, 10**-0.665]) * 1e-6 * (np.pi / 6) ** exponent * 10**off
    esd = np.exp(rng.normal(np.log(25), 0.3, len(taxon)))
    carbon_ug = constant[taxon] * esd ** (3 * exponent[taxon]) * 10 ** (0.2 * rng.standard_normal(len(taxon)))
    seen = esd * np.exp(0.02 * rng.standard_normal() + 0.05 * rng.standard_normal(len(taxon)))
    names = np.array(["Dinophyceae", "Acantharea"])[taxon]
    objects = pd.DataFrame({"sample_id": sample, "taxon": names, "esd_um": seen})
    mean = constant * 25 ** (3 * exponent) * np.exp(((3 * exponent * 0.3) ** 2 + (0.2 * LN10) ** 2) / 2)
    return objects, np.full(n_samples, n * mean.mean()) if counting else np.bincount(sample, carbon_ug)


@pytest.mark.parametrize("counting", [False, True])
def test_intervals_of_90_percent_hold_90_percent_of_the_samples(counting):
    """80 worlds of their own errors, 6 samples in each; samples of a world share errors, so the worlds count."""
    samples, hits = pd.DataFrame({"sample_id": range(6), "volume_m3": 2.0}), []
    options = {"relations": relations(0.2, 0.1), "errors": Errors(pixel=0.02, outline=0.05), "n_draws": 200}
    for seed in range(80):
        objects, truth_ug = world(np.random.default_rng(seed), counting=counting)
        table = sample_carbon(objects, samples, counting=counting, rng=seed, **options)
        truth = truth_ug / 1000 / 2.0
        hits.append(table["carbon_mg_m3_low"].lt(truth) & table["carbon_mg_m3_high"].gt(truth))
    assert 0.85 < np.mean(hits) < 0.95


def test_without_counting_errors_fewer_intervals_hold_the_carbon_of_the_water():
    samples, hits = pd.DataFrame({"sample_id": range(6), "volume_m3": 2.0}), []
    options = {"relations": relations(0.2, 0.1), "errors": Errors(pixel=0.02, outline=0.05), "n_draws": 200}
    for seed in range(30):
        objects, truth_ug = world(np.random.default_rng(seed), counting=True)
        table = sample_carbon(objects, samples, counting=False, rng=seed, **options)
        hits.append(table["carbon_mg_m3_low"].lt(truth_ug / 2000) & table["carbon_mg_m3_high"].gt(truth_ug / 2000))
    assert np.mean(hits) < 0.85


def test_the_mean_of_draws_is_right_where_the_sum_of_relations_is_too_low():
    found = []
    for seed in range(30):
        objects, truth_ug = world(np.random.default_rng(seed))
        draws = sample_draws(objects, relations=relations(0.2, 0.1), n_draws=100, rng=seed)
        found.append([draws.mean(axis=1).sum(), carbon(objects).sum(), truth_ug.sum()])
    mean, middle, truth = np.sum(found, axis=0)
    assert abs(mean / truth - 1) < 0.06
    assert middle / truth < 0.94


def test_samples_of_virtual_pictures_hold_their_carbon():
    """
    Pictures of known carbon, measured with errors, by the relations of this package; some are other papers' than those
    that made them. Faecal pellets have no relation and are left out.
    """
    errors, rng = Errors(pixel=0.02, outline=0.05), np.random.default_rng(2)
    pictures = [picture for picture in images(240, rng=2) if picture.truth["taxon"] != "faecal pellet"]
    objects = pd.DataFrame([picture.metadata | picture.truth for picture in pictures])
    blown = 1 + 0.05 * rng.standard_normal(len(objects))
    seen = objects.assign(esd_um=objects["esd_um"] * blown, biovolume_um3=objects["biovolume_um3"] * blown**3)
    samples = objects.groupby("sample_id", as_index=False)["volume_m3"].first()
    found = sample_carbon(seen.drop(columns="carbon_ug"), samples, errors=errors, counting=False, n_draws=400)
    truth = biomass(objects, samples)["carbon_mg_m3"]
    inside = found["carbon_mg_m3_low"].lt(truth) & found["carbon_mg_m3_high"].gt(truth)
    assert len(samples) > 50
    assert inside.mean() > 0.85


@pytest.mark.slow
def test_counting_intervals_hold_the_carbon_of_the_water():
    """Samples of a water with 30 organisms per sample on average, of lognormal sizes."""
    rng, hits = np.random.default_rng(3), []
    expected = 30 * 0.760e-6 * (np.pi / 6) ** 0.819 * np.exp(3 * 0.819 * np.log(25) + (3 * 0.819 * 0.2) ** 2 / 2)
    for seed in range(400):
        esd = np.exp(rng.normal(np.log(25), 0.2, rng.poisson(30)))
        objects = many(len(esd), esd_um=esd)
        draws = sample_draws(objects, relations=relations(), errors=EXACT, counting=True, n_draws=400, rng=seed)
        low, high = np.quantile(draws, [0.05, 0.95])
        hits.append(low < expected < high)
    assert 0.84 < np.mean(hits) < 0.95


def test_blocks_do_not_show(monkeypatch):
    objects = many(50, esd_um=np.linspace(10, 40, 50))
    whole = sample_draws(objects, n_draws=20)
    monkeypatch.setattr("aqqua_science.objects.perturbation._BLOCK", 20 * 7)
    assert_allclose(sample_draws(objects, n_draws=20), whole)


def test_same_seed_same_bytes_and_other_seed_other():
    first, again, other = (sample_draws(many(5), rng=rng, n_draws=20) for rng in (4, 4, 5))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("objects", "samples", "message"),
    [
        (many(1).drop(columns="sample_id"), {"sample_id": ["a"], "volume_m3": [1.0]}, "no column 'sample_id'"),
        (many(1), {"sample_id": ["b"], "volume_m3": [1.0]}, "belong to a sample"),
        (many(1), {"sample_id": ["a", "a"], "volume_m3": [1.0, 1.0]}, "must be unique"),
        (many(1), {"sample_id": ["a"], "volume_m3": [0.0]}, "volume"),
        (many(1), {"sample_id": ["a"]}, "no column 'volume_m3'"),
    ],
)
def test_bad_tables(objects, samples, message):
    with pytest.raises(SchemaError, match=message):
        sample_carbon(objects, pd.DataFrame(samples), n_draws=5)


@pytest.mark.parametrize("sample_ids", [None, ["a"], ["a", np.nan]])
def test_an_object_without_a_sample_is_refused(sample_ids):
    objects = many(3).assign(sample_id=["a", np.nan, None])
    with pytest.raises(SchemaError, match="2 of 3 have no sample_id"):
        sample_draws(objects, sample_ids=sample_ids, n_draws=5)


def test_a_volume_that_is_not_known_gives_nan():
    samples = pd.DataFrame({"sample_id": ["a"], "volume_m3": [np.nan]})
    assert sample_carbon(many(1), samples, n_draws=5)[["carbon_mg_m3", "carbon_mg_m3_low"]].isna().all(axis=None)


def test_no_objects_at_all():
    samples = pd.DataFrame({"sample_id": ["a", "b"], "volume_m3": 1.0})
    assert (sample_carbon(many(1).iloc[:0], samples, n_draws=5)["carbon_mg_m3_high"] == 0).all()
