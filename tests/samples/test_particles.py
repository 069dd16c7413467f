"""Size spectra and carbon flux, held to known truth, to published fluxes and to real exports."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aqqua_science.samples import sinking_flux, size_spectrum
from aqqua_science.samples.spectra import geometric_edges
from aqqua_science.samples.windows import within
from aqqua_science.schema import SchemaError
from aqqua_science.sources import ecopart

# Particles per litre from 0.102 mm up (classes of EcoPart), and the flux that was published with them, mg C m-2 d-1, of
# which the class from 0.102 to 0.128 mm is no part: float 6903095, 2021-09-05, 7.5, 37.5 and 67.5 dbar
# (github.com/rkiko/AC_Agulhas_eddy_2021, Data/Ecopart_processed_data_356.tsv and Ecopart_diagnostics_data_356.tsv).
LIMITS_MM = [0.102, 0.128, 0.161, 0.203, 0.256, 0.323, 0.406, 0.512, 0.645, 0.813, 1.02, 1.29, 1.63, 2.05, 2.58]
PUBLISHED = [
    (
        [22.0, 17.815, 13.815, 4.1111, 1.4815, 0.85185, 0.25926, 0.11111, 0.037037, 0.11111, 0.074074, 0.037037, 0, 0],
        21.17,
    ),
    (
        [20.365, 17.76, 12.5, 3.2812, 1.4062, 0.67708, 0.20833, 0.20833, 0.10417, 0, 0.052083, 0.052083, 0.052083, 0],
        22.644,
    ),
    (
        [21.432, 17.292, 11.432, 3.2292, 1.1458, 0.52083, 0.20833, 0.078125, 0.15625, 0.052083, 0, 0, 0, 0.026042],
        18.217,
    ),
]


def classes(per_litre, *, volume_m3=0.02, sample="a", limits_mm=LIMITS_MM):
    limits = np.array(limits_mm) * 1000
    return pd.DataFrame(
        {
            "sample_id": sample,
            "volume_m3": volume_m3,
            "esd_min_um": limits[:-1],
            "esd_max_um": limits[1:],
            "concentration_m3": np.array(per_litre) * 1000,
        }
    )


@pytest.fixture
def samples():
    return pd.DataFrame({"sample_id": ["b", "a"], "volume_m3": [2.0, 0.5]})


@pytest.fixture
def objects():
    return pd.DataFrame({"sample_id": ["a"] * 4, "esd_um": [110.0, 150.0, 210.0, 399.0]})


def test_number_times_width_times_volume_is_the_count(objects, samples):
    spectrum = size_spectrum(objects, samples, edges_um=[100, 200, 400])
    assert spectrum["count"].values.tolist() == [[0, 0], [2, 2]]
    assert_allclose(spectrum["number"], [[0, 0], [2 / (0.5 * 100), 2 / (0.5 * 200)]])
    assert spectrum["sample_id"].values.tolist() == ["b", "a"]


def test_biovolume_is_that_of_the_spheres(objects, samples):
    spectrum = size_spectrum(objects, samples, edges_um=[100, 200, 400])
    shell = np.pi / 6 * np.diff(np.array([0.1, 0.2, 0.4]) ** 3)
    total = (spectrum["biovolume"].values[1] * shell * 0.5).sum()
    assert_allclose(total, (np.pi / 6 * (objects["esd_um"] / 1000) ** 3).sum())


def test_objects_and_their_classes_make_one_spectrum():
    rng = np.random.default_rng(1)
    edges = geometric_edges(100, 3200)
    objects = pd.DataFrame(
        {"sample_id": rng.integers(0, 5, 20_000), "esd_um": 100 * rng.uniform(size=20_000) ** (-1 / 3)}
    )
    samples = pd.DataFrame({"sample_id": range(5), "volume_m3": [1.0, 2.0, 3.0, 0.1, 0.5]})
    direct = size_spectrum(objects, samples, edges_um=edges)
    rows = [
        classes(direct["count"].values[i] / 1000 / v, volume_m3=v, sample=i, limits_mm=edges / 1000)
        for i, v in enumerate(samples["volume_m3"])
    ]
    through = size_spectrum(pd.concat(rows))
    for name in ("number", "slope", "slope_se", "intercept"):
        assert_allclose(through[name], direct[name], rtol=1e-9)


@pytest.mark.parametrize("fit", ["weighted", "poisson"])
def test_a_known_slope_is_found(fit):
    rng = np.random.default_rng(2)
    objects = pd.DataFrame({"sample_id": "a", "esd_um": 100 * rng.uniform(size=300_000) ** (-1 / 3)})
    samples = pd.DataFrame({"sample_id": ["a"], "volume_m3": [1.0]})
    found = size_spectrum(objects, samples, window=(100, 2000), fit=fit)
    assert abs(found["slope"].item() + 4) < 0.02
    assert abs(found["biovolume_slope"].item() + 1) < 0.01
    # 300 000 = n0 / 3 * 100 ** -3, as good as all are below 2000 um.
    assert abs(found["intercept"].item() - np.log10(9e11)) < 0.05


def test_classes_chosen_for_a_window_lie_in_it_and_what_does_not_is_counted(objects, samples):
    spectrum = size_spectrum(objects, samples, window=(100, 300))
    assert_allclose(spectrum["esd_max_um"].values[-1], 100 * 2 ** (4 / 3))
    assert spectrum.attrs["size_window"] == "ESD 100 to 252 um; 1 of 4 objects lie outside"


def test_a_split_sample_holds_more(objects, samples):
    whole = size_spectrum(objects, samples, edges_um=[100, 200, 400])
    split = size_spectrum(objects, samples.assign(subsample_fraction=0.25), edges_um=[100, 200, 400])
    assert_allclose(split["number"], whole["number"] * 4)
    assert_allclose(split["volume_m3"], whole["volume_m3"] / 4)


def test_only_classes_within_the_window_are_used_and_it_is_said():
    spectrum = size_spectrum(classes(PUBLISHED[0][0]), window=(200, 700))
    assert spectrum["esd_min_um"].values.tolist() == [203, 256, 323, 406, 512]
    assert spectrum.attrs["size_window"] == "ESD 203 to 645 um"


def test_objects_cut_by_a_window_keep_their_slope():
    """Classes begin and end with the window; a class that is cut through would bend the line."""
    rng = np.random.default_rng(0)
    esd = 100 * rng.random(200_000) ** (-1 / 3)
    objects, samples = (
        pd.DataFrame({"sample_id": "a", "esd_um": esd}),
        pd.DataFrame({"sample_id": ["a"], "volume_m3": 1}),
    )
    kept = within(objects, (150, 2000))
    assert size_spectrum(kept, samples)["slope"].item() == pytest.approx(-4, abs=0.05)
    assert size_spectrum(kept, samples).equals(size_spectrum(kept, samples, window=(150, 2000)))


def test_what_the_window_leaves_out_is_counted():
    objects = pd.DataFrame({"sample_id": "a", "esd_um": [110.0, 150, 250, 500, 900]})
    samples = pd.DataFrame({"sample_id": ["a"], "volume_m3": [1.0]})
    found = size_spectrum(objects, samples, edges_um=[100, 200, 400, 800], window=(200, 400))
    assert found["count"].sum() == 1
    assert "4 of 5 objects lie outside" in found.attrs["size_window"]


def test_fractions_of_objects_are_not_forgotten(objects, samples):
    with pytest.raises(SchemaError, match="which only by_group reads"):
        size_spectrum(objects.assign(subsample_fraction=0.5), samples)


def test_an_instrument_without_a_window_gets_a_remedy_that_works(objects, samples):
    with pytest.raises(ValueError, match=r"window=common_window\(samples, windows="):
        size_spectrum(objects, samples.assign(instrument="nowhere"), window="common")


def test_the_common_window_of_instruments():
    table = classes(PUBLISHED[0][0]).assign(instrument="UVP5")
    assert size_spectrum(table, window="common").sizes["size"] == 14
    with pytest.raises(ValueError, match="no size window of particles is known for 'X'"):
        size_spectrum(table.assign(instrument="X"), window="common")


def test_the_open_class_is_left_out_and_it_is_said():
    table = pd.concat([classes(PUBLISHED[0][0]), classes([0.1], limits_mm=[2.58, np.inf])])
    spectrum = size_spectrum(table)
    assert spectrum.sizes["size"] == 14
    assert "without an upper bound (1 rows) are left out" in spectrum.attrs["size_window"]


def test_a_class_without_a_row_was_not_looked_at():
    spectrum = size_spectrum(pd.concat([classes(PUBLISHED[0][0]), classes(PUBLISHED[1][0], sample="b").iloc[3:]]))
    assert np.isnan(spectrum["count"].values[1, :3]).all()
    assert not np.isnan(spectrum["count"].values[0]).any()
    assert spectrum["sample_id"].values.tolist() == ["a", "b"]


def test_measured_biovolume_is_kept():
    table = classes(PUBLISHED[0][0])
    spectrum = size_spectrum(table.assign(biovolume_mm3_m3=5.0))
    limits = np.array(LIMITS_MM)
    assert_allclose(spectrum["biovolume"].values[0], 5.0 / (np.pi / 6 * np.diff(limits**3)))


def test_layers_of_one_profile_are_samples_of_their_own():
    table = pd.concat([classes(PUBLISHED[i][0]).assign(depth=depth) for i, depth in enumerate([7.5, 37.5, 67.5])])
    assert size_spectrum(table)["depth"].values.tolist() == [7.5, 37.5, 67.5]


def test_bad_tables_are_refused(objects, samples):
    table = classes(PUBLISHED[0][0])
    with pytest.raises(SchemaError, match="14 rows double"):
        size_spectrum(pd.concat([table, table], ignore_index=True))
    with pytest.raises(SchemaError, match="not be negative; 1 of 14"):
        size_spectrum(table.assign(concentration_m3=[-1.0, *table["concentration_m3"][1:]]))
    with pytest.raises(SchemaError, match="one volume_m3"):
        size_spectrum(table.assign(volume_m3=[1.0, *table["volume_m3"][1:]]))
    with pytest.raises(SchemaError, match="seen nothing"):
        size_spectrum(table.assign(volume_m3=0.0))
    with pytest.raises(SchemaError, match="overlap"):
        size_spectrum(pd.concat([table, classes([1.0], sample="b", limits_mm=[0.11, 0.5])]))
    with pytest.raises(SchemaError, match="objects need samples"):
        size_spectrum(objects)
    with pytest.raises(SchemaError, match="Measure or drop"):
        size_spectrum(objects.assign(esd_um=[1.0, 2.0, np.nan, 4.0]), samples)
    with pytest.raises(SchemaError, match="duplicate"):
        size_spectrum(objects, samples.assign(sample_id="a"))
    with pytest.raises(SchemaError, match="seen nothing"):
        size_spectrum(objects, samples.assign(volume_m3=0.0))
    with pytest.raises(ValueError, match="no size class lies within"):
        size_spectrum(table, window=(1, 2))
    with pytest.raises(ValueError, match="fit must be"):
        size_spectrum(table, fit="median")
    with pytest.raises(ValueError, match="'common' or None"):
        size_spectrum(table, window="all")


def test_an_unknown_volume_makes_an_unknown_spectrum(objects, samples):
    spectrum = size_spectrum(objects, samples.assign(volume_m3=[2.0, np.nan]), edges_um=[100, 200, 400])
    assert np.isnan(spectrum["number"].values[1]).all()
    assert np.isnan(spectrum["slope"].values[1])


def test_fluxes_are_those_that_were_published():
    """By the same law, whose constants are published rounded: within 1 %."""
    table = pd.concat([classes(n, sample=str(i)) for i, (n, _) in enumerate(PUBLISHED)])
    flux = sinking_flux(size_spectrum(table), laws=["kriest2002_fast"])
    assert_allclose(flux["kriest2002_fast_mg_m2_d"], [f for _, f in PUBLISHED], rtol=0.01)


def test_guidi_s_law_by_hand_over_classes_25_to_32():
    """A = 12.5, B = 3.81, d in mm, particles per litre: classes 25 to 32 of EcoPart are 0.256 to 1.63 mm."""
    per_litre, _ = PUBLISHED[0]
    middle = np.sqrt(np.array(LIMITS_MM[1:]) * LIMITS_MM[:-1])
    truth = sum(n * 12.5 * d**3.81 for n, d in list(zip(per_litre, middle, strict=True))[4:12])
    flux = sinking_flux(size_spectrum(classes(per_litre)))
    assert_allclose(flux["guidi2008_mg_m2_d"], truth)
    assert flux.attrs["sizes_mm"]["guidi2008"] == "0.256 to 1.63"


def test_the_ensemble_is_the_median_and_the_extremes_of_its_laws():
    flux = sinking_flux(size_spectrum(classes(PUBLISHED[0][0])))
    each = flux[[f"{law}_mg_m2_d" for law in ("guidi2008", "kriest2002", "kriest2002_fast", "bisson2022")]].iloc[0]
    assert_allclose(flux["flux_mg_m2_d"], np.median(each))
    assert_allclose([flux["flux_low_mg_m2_d"].item(), flux["flux_high_mg_m2_d"].item()], [each.min(), each.max()])


def test_counting_errors_are_those_of_repetition():
    rng = np.random.default_rng(5)
    mean = np.array(PUBLISHED[0][0]) * 20
    counts = rng.poisson(mean, size=(4000, 14)).astype(float)
    limits = np.array(LIMITS_MM) * 1000
    spectrum = xr.Dataset(
        {"count": (("sample", "size"), counts), "volume_m3": ("sample", np.full(4000, 0.02))},
        {
            "esd_um": ("size", np.sqrt(limits[1:] * limits[:-1])),
            "esd_min_um": ("size", limits[:-1]),
            "esd_max_um": ("size", limits[1:]),
        },
    )
    flux = sinking_flux(spectrum)
    for law in ("guidi2008", "bisson2022"):
        error = np.sqrt((flux[f"{law}_se_mg_m2_d"] ** 2).mean())
        assert_allclose(error, flux[f"{law}_mg_m2_d"].std(), rtol=0.06)


def test_a_law_does_not_speak_where_none_of_its_sizes_was_looked_at():
    table = pd.concat([classes(PUBLISHED[0][0]), classes(PUBLISHED[0][0], sample="b").iloc[:3]])
    flux = sinking_flux(size_spectrum(table))
    assert flux["guidi2008_mg_m2_d"].isna().tolist() == [False, True]
    assert_allclose(
        flux["flux_mg_m2_d"][1],
        np.median(flux.loc[1, ["kriest2002_mg_m2_d", "kriest2002_fast_mg_m2_d", "bisson2022_mg_m2_d"]].astype(float)),
    )
    with pytest.raises(ValueError, match="sizes of guidi2008"):
        sinking_flux(size_spectrum(table, window=(100, 210)))


def test_a_law_of_depth_joins_the_ensemble():
    nodes = pd.DataFrame({"depth": [20.0, 2000.0], "a": [30.0, 30.0], "b": [2.0, 2.0]})
    table = pd.concat([classes(PUBLISHED[0][0]).assign(depth=depth) for depth in (100.0, 5000.0)])
    flux = sinking_flux(size_spectrum(table), laws=["guidi2008"], depth_law=nodes)
    middle = np.sqrt(np.array(LIMITS_MM[1:]) * LIMITS_MM[:-1])
    truth = (np.array(PUBLISHED[0][0]) * 1000 * 30 * (middle / 10) ** 2).sum()
    assert_allclose(flux["depth_law_mg_m2_d"], [truth, np.nan])
    assert_allclose(flux["flux_mg_m2_d"], [(truth + flux["guidi2008_mg_m2_d"][0]) / 2, flux["guidi2008_mg_m2_d"][1]])
    with pytest.raises(ValueError, match="needs the depth"):
        sinking_flux(size_spectrum(classes(PUBLISHED[0][0])), depth_law=nodes)


def test_an_unknown_law_gets_the_right_name():
    with pytest.raises(ValueError, match="Did you mean 'guidi2008'"):
        sinking_flux(size_spectrum(classes(PUBLISHED[0][0])), laws=["guidi2009"])


def test_real_profiles_of_a_uvp5(shared_data):
    folder = shared_data / "insitu" / "annarufas+matlab-GRL2024-scripts" / "data" / "raw" / "UVP5"
    path = sorted((folder / "export_detailed_20240422_HOTALOHA").glob("*_PAR_*.tsv"))[0]
    accepted, _ = ecopart.read_particles(path)
    spectrum = size_spectrum(accepted, window="common", fit="poisson")
    assert (spectrum["count"] >= -1e-9).all()
    near = np.abs(spectrum["count"] - spectrum["count"].round())
    # Concentrations times volumes are counts.
    assert float((near < 0.02 * np.maximum(spectrum["count"], 1)).mean()) > 0.99
    assert 1 < -float(spectrum["slope"].median()) < 6
    flux = sinking_flux(spectrum)
    assert flux["depth"].tolist() == accepted.drop_duplicates("depth")["depth"].tolist()
    assert flux[["flux_low_mg_m2_d", "flux_mg_m2_d", "flux_high_mg_m2_d"]].notna().all(axis=None)
    assert (flux["flux_low_mg_m2_d"] <= flux["flux_mg_m2_d"]).all()
