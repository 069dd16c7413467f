"""Pictures know the truth: areas and volumes are those of mathematics, masks are those of the areas."""

import itertools
import pickle

import numpy as np
import pytest
import shapely
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, norm, truncnorm

from aqqua_science.grids.land import land_mask
from aqqua_science.sources.record import Record
from aqqua_science.synthetic import images
from aqqua_science.synthetic.conversions import carbon_of
from aqqua_science.synthetic.optics import INSTRUMENTS
from aqqua_science.synthetic.organisms import ORGANISMS
from aqqua_science.synthetic.outlines import (
    cover,
    cover_together,
    curve,
    cylinder,
    ellipse,
    half_ellipse,
    polygon_area,
    ribbon,
    tube_volume,
    union_area,
)
from aqqua_science.synthetic.pictures import STATIONS

COLOUR = {"PlanktoScope", "FlowCam"}


@pytest.fixture(scope="module")
def pictures():
    return list(images(400, rng=11))


def _union(body):
    """Area by another library."""
    parts = [shapely.make_valid(shapely.Polygon(np.c_[p.real, p.imag])) for p in body.outline]
    return shapely.union_all(parts).area


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (7.0, 2.5), (0.3, 40.0)])
def test_ellipses_have_their_area_exactly(a, b):
    assert_allclose(polygon_area(ellipse(a, b, at=3 - 2j, angle=0.7, n=12)), np.pi * a * b, rtol=1e-12)
    assert_allclose(polygon_area(half_ellipse(a, b)), np.pi * a * b / 2, rtol=1e-12)


@pytest.mark.parametrize("tilt", [0.0, 0.4, 1.2, np.pi / 2])
def test_a_tilted_cylinder_shows_its_side_and_one_lid(tilt):
    expected = 10 * 3 * np.sin(tilt) + np.pi / 4 * 3**2 * np.cos(tilt)
    assert_allclose(polygon_area(cylinder(10, 3, tilt)), expected, rtol=1e-12)


def test_a_bent_tube_has_the_area_and_volume_of_a_piece_of_a_ring():
    """Pappus: a quarter of a ring of mean radius 5 and thickness 2."""
    line = 5 * np.exp(1j * np.linspace(0, np.pi / 2, 2001))
    radius = np.full(2001, 1.0)
    assert_allclose(abs(polygon_area(ribbon(line, radius))), np.pi / 4 * (6**2 - 4**2), rtol=1e-3)
    assert_allclose(tube_volume(line, radius), np.pi * 5 * np.pi / 2, rtol=1e-6)


def test_a_tapering_tube_has_the_volume_of_a_cone():
    line = curve(0, np.zeros(7), 9.0)
    assert_allclose(tube_volume(line, np.linspace(2, 0, 8)), np.pi * 2**2 * 9 / 3, rtol=1e-12)


def test_every_pixel_is_covered_by_its_exact_share():
    polygon = np.array([1.3 + 0.6j, 6.8 + 2.2j, 4.1 + 5.9j, 2.0 + 3.0j])
    shape = shapely.Polygon(np.c_[polygon.real, polygon.imag])
    expected = [[shape.intersection(shapely.box(x, y, x + 1, y + 1)).area for x in range(8)] for y in range(7)]
    for corners in (polygon, polygon[::-1]):
        assert_allclose(cover([corners], [1.0], (7, 8))[0], expected, atol=1e-12)


def test_cover_handles_edges_on_the_lines_between_pixels():
    square = np.array([1 + 1j, 3 + 1j, 3 + 3j, 1 + 3j])
    expected = np.zeros((4, 5))
    expected[1:3, 1:3] = 2.0
    assert_allclose(cover([square, square], [[0.5, 1.5]], (4, 5))[0], expected, atol=1e-12)


def test_shares_of_overlapping_polygons_do_not_add_up():
    square = np.array([1 + 1j, 3 + 1j, 3 + 3j, 1 + 3j])
    squares = [square, square + 1, square + 0.5j]
    together = cover_together(squares, (5, 6))
    assert_allclose(together.sum(), 4 + 2 + 1, rtol=1e-12)
    assert together.max() <= 1
    assert_allclose(union_area(squares), 4 + 2 + 1, rtol=0.005)


def test_areas_are_those_of_the_united_outlines(pictures):
    for picture in pictures:
        assert_allclose(picture.truth["area_um2"], _union(picture.mask.__self__.body), rtol=0.012)


def test_masks_cover_the_area(pictures):
    """A pixel that outlines cut can be wrong by half of itself, all others are right."""
    for picture in pictures:
        scene = picture.mask.__self__
        share = cover_together(scene._scale(scene.body.outline), scene.shape)
        cut = ((share > 1e-9) & (share < 1 - 1e-9)).sum()
        mask = picture.mask()
        area = picture.truth["area_um2"] / picture.metadata["pixel_size_um"] ** 2
        assert mask.any()
        assert abs(mask.sum() - area) <= cut / 2 + 0.012 * area


@pytest.mark.parametrize("taxon", ["Dinophyceae", "faecal pellet"])
def test_masks_of_simple_bodies_have_the_diameter(pictures, taxon):
    large = [p for p in pictures if p.truth["taxon"] == taxon and p.mask().sum() > 1000]
    assert len(large) > 10
    for p in large:
        measured = 2 * np.sqrt(p.mask().sum() / np.pi) * p.metadata["pixel_size_um"]
        assert_allclose(measured, p.truth["esd_um"], rtol=0.01)


def test_outlines_stay_within_the_image(pictures):
    for picture in pictures:
        mask = picture.mask()
        assert mask.sum() == mask[1:-1, 1:-1].sum()


def test_esd_is_the_diameter_of_the_disc_of_the_area(pictures):
    for truth in (picture.truth for picture in pictures):
        assert_allclose(np.pi / 4 * truth["esd_um"] ** 2, truth["area_um2"], rtol=1e-12)


def test_a_spheroid_seen_at_any_tilt_is_no_larger_than_its_side_nor_smaller_than_its_end():
    """The shadow of a prolate spheroid, semi-axes a > b = c, lies between pi b^2 and pi a b."""
    for seed in range(50):
        body = ORGANISMS["Dinophyceae"].build(40.0, np.random.default_rng(seed))
        b = np.sqrt(body.volume_um3 / (4 / 3 * np.pi * 20.0))
        assert np.pi * b**2 * (1 - 1e-9) <= abs(polygon_area(body.outline[0])) <= np.pi * 20 * b * (1 + 1e-9)


def test_the_mean_shadow_of_a_pellet_is_a_quarter_of_its_surface():
    """Cauchy's formula for convex bodies in random attitudes; scaled, since the slimness is random too."""
    ratios = []
    for seed in range(3000):
        body = ORGANISMS["faecal pellet"].build(100.0, np.random.default_rng(seed))
        diameter = body.width
        surface = np.pi * diameter * 100 + np.pi / 2 * diameter**2
        ratios.append(abs(polygon_area(body.outline[0])) / (surface / 4))
        assert_allclose(body.volume_um3, np.pi / 4 * diameter**2 * 100, rtol=1e-12)
    assert abs(np.mean(ratios) - 1) < 4 * np.std(ratios) / np.sqrt(len(ratios))


def test_a_copepod_has_the_volume_of_its_profile_turned_round():
    body = ORGANISMS["Copepoda"].build(1000.0, np.random.default_rng(4))
    profile = body.outline[0]
    upper = profile[profile.imag >= -1e-9]
    order = np.argsort(upper.real, kind="stable")
    x, r = upper.real[order], upper.imag[order]
    frusta = np.pi / 3 * np.diff(x) * (r[1:] ** 2 + r[1:] * r[:-1] + r[:-1] ** 2)
    assert_allclose(body.volume_um3, frusta.sum(), rtol=0.01)


def test_a_chain_has_the_volume_of_its_cylinders():
    body = ORGANISMS["Chaetoceros"].build(90.0, np.random.default_rng(8))
    cells = body.outline[: body.cells]
    sides = [np.sort(np.abs(np.diff(c))[:2]) for c in cells]
    assert_allclose(sides, [sides[0]] * body.cells, rtol=1e-9)
    along, across = abs(cells[0][0] - cells[0][1]), abs(cells[0][1] - cells[0][2])
    assert_allclose(body.volume_um3, body.cells * np.pi / 4 * across**2 * along, rtol=1e-9)


def test_spheres_of_marine_snow_are_as_large_as_their_circles():
    body = ORGANISMS["detritus"].build(2000.0, np.random.default_rng(6))
    radii = np.sqrt([abs(polygon_area(p)) / np.pi for p in body.outline])
    assert_allclose(body.volume_um3, (4 / 3 * np.pi * radii**3).sum(), rtol=1e-9)
    corners = np.concatenate(body.outline)
    assert_allclose(max(np.ptp(corners.real), np.ptp(corners.imag)), 2000, rtol=0.03)


def test_spines_of_acantharians_obey_mueller():
    """Twenty spines in opposite pairs: what is seen of them is symmetric about the centre."""
    body = ORGANISMS["Acantharea"].build(300.0, np.random.default_rng(2))
    tips = np.array([p[3:5].mean() for p in body.outline[1:]])
    assert 10 <= len(tips) <= 20
    assert all(np.abs(tips + tip).min() < 1e-6 for tip in tips)
    assert np.abs(tips).max() <= 150


@pytest.mark.parametrize(
    ("taxon", "volume", "cells", "expected"),
    [
        ("Chaetoceros", 1000.0, 1, 0.288 * 1000**0.811 * 1e-6),
        ("Chaetoceros", 4000.0, 4, 4 * 0.288 * 1000**0.811 * 1e-6),
        ("Chaetoceros", 10_000.0, 1, 0.117 * 10_000**0.881 * 1e-6),
        ("Dinophyceae", 10_000.0, 1, 0.760 * 10_000**0.819 * 1e-6),
        ("Acantharea", 1e6, 1, 0.216 * 1e6**0.939 * 1e-6),
        ("Copepoda", 1e8, 1, 10.1),
        ("detritus", 1e9, 1, 0.99),
        ("faecal pellet", 1e6, 1, 0.057),
    ],
)
def test_carbon_is_that_of_the_papers(taxon, volume, cells, expected):
    assert_allclose(carbon_of(taxon, volume, cells=cells), expected, rtol=0.005)


def test_carbon_follows_from_the_truth(pictures):
    for truth in (picture.truth for picture in pictures):
        sphere = np.pi / 6 * truth["esd_um"] ** 3
        volume = sphere if truth["taxon"] == "detritus" else truth["biovolume_um3"]
        assert_allclose(truth["carbon_ug"], carbon_of(truth["taxon"], volume, cells=truth["n_cells"]), rtol=1e-12)
        assert truth["biovolume_um3"] > 0


def test_same_seed_same_bytes_whatever_the_number():
    few, many = list(images(5, rng=3)), list(images(12, rng=3))
    for one, other in zip(few, many[:5], strict=True):
        assert one.metadata == other.metadata
        assert one.truth == other.truth
        assert_array_equal(one.pixels(), other.pixels())
        assert_array_equal(one.pixels(), one.pixels())
        assert_array_equal(one.mask(), other.mask())


def test_other_seeds_and_generators():
    (zero,), (one,) = images(1, rng=0), images(1, rng=1)
    assert zero.truth != one.truth
    (again,) = images(1, rng=np.random.default_rng(1))
    assert_array_equal(again.pixels(), one.pixels())


def test_pictures_come_one_by_one():
    assert len(list(itertools.islice(images(10**9, rng=0), 3))) == 3


def test_pictures_travel_between_processes(pictures):
    copy = pickle.loads(pickle.dumps(pictures[0]))
    assert_array_equal(copy.pixels(), pictures[0].pixels())


def test_pixels_have_the_format_of_the_instrument(pictures):
    seen = set()
    for picture in pictures[:150]:
        name = picture.metadata["instrument"]
        pixels, mask = picture.pixels(), picture.mask()
        seen.add(name)
        assert pixels.shape[:2] == mask.shape
        assert pixels.shape[2:] == ((3,) if name in COLOUR else ())
        assert pixels.dtype == (np.uint16 if name == "LOKI" else np.uint8)
        assert picture.metadata["bit_depth"] == (12 if name == "LOKI" else 8)
        assert pixels.max() < 2 ** picture.metadata["bit_depth"]
    assert seen == set(INSTRUMENTS)


def test_the_twelve_bits_are_used():
    brightest = max(int(p.pixels().max()) for p in images(20, rng=1, instruments=["LOKI"]))
    assert 255 < brightest <= 4095


def test_organisms_stand_out_against_their_background(pictures):
    for picture in pictures[:150]:
        pixels, mask = picture.pixels().astype(float), picture.mask()
        pixels = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
        difference = pixels[mask].mean() - pixels[~mask].mean()
        is_dark_field = INSTRUMENTS[picture.metadata["instrument"]].dark_field
        assert difference > 0 if is_dark_field else difference < 0
        assert abs(difference) > pixels[[0, -1]].std()


def test_organisms_fit_the_instruments(pictures):
    assert {p.truth["taxon"] for p in pictures} == set(ORGANISMS)
    small = {p.truth["taxon"] for p in pictures if p.metadata["instrument"] == "IFCB"}
    large = {p.truth["taxon"] for p in pictures if p.metadata["instrument"] == "ISIIS"}
    assert {"Dinophyceae", "Chaetoceros"} <= small
    assert not small & {"Copepoda", "Hydrozoa", "Chaetognatha"}
    assert not large & {"Dinophyceae", "Chaetoceros"}


def test_lengths_are_log_normal_between_the_limits():
    """The diameter of a bell is twice what its body calls its width."""
    organism, rng = ORGANISMS["Hydrozoa"], np.random.default_rng(5)
    low, high = np.log(np.array([2000.0, 9000.0]) / organism.median_um) / organism.spread
    lengths = [2 * organism.draw((2000.0, 9000.0), rng).width for _ in range(400)]
    scores = np.log(np.array(lengths) / organism.median_um) / organism.spread
    assert kstest(scores, truncnorm(low, high).cdf).pvalue > 0.001
    assert_allclose(organism.share((2000.0, 9000.0)), norm.cdf(high) - norm.cdf(low), rtol=1e-9)


def test_records_are_complete(pictures):
    ids = [p.metadata["object_id"] for p in pictures]
    assert len(set(ids)) == len(ids)
    for p in pictures:
        assert isinstance(p, Record)
        assert p.fault == ""
        assert p.metadata["taxon"] == p.truth["taxon"]
        assert p.metadata["licence"] == "CC0-1.0"
        assert p.metadata["taxon_status"] == "validated"
        assert p.metadata["volume_m3"] > 0
        assert not {"esd_um", "carbon_ug", "biovolume_um3"} & p.metadata.keys()
        assert all(isinstance(text, str) for text in p.raw.values())
        assert float(p.raw["true_esd_um"]) == p.truth["esd_um"]


def test_a_sample_is_one_place_time_depth_instrument_and_volume(pictures):
    keys = ("time", "latitude", "longitude", "depth", "instrument", "volume_m3")
    facts = {}
    for metadata in (p.metadata for p in pictures):
        facts.setdefault(metadata["sample_id"], set()).add(tuple(metadata[key] for key in keys))
    assert all(len(found) == 1 for found in facts.values())
    assert len({*facts}) > 8


def test_stations_are_at_sea():
    for _, latitude, longitude in STATIONS.values():
        grid = xr.Dataset(coords={"latitude": [latitude - 1, latitude, latitude + 1], "longitude": [longitude]})
        assert not land_mask(grid).any()


def test_chosen_instruments_only():
    assert {p.metadata["instrument"] for p in images(20, instruments=["UVP6", "IFCB"])} == {"UVP6", "IFCB"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "at least 0; got -1"),
        ({"n": 1, "instruments": ["UVP"]}, "no virtual instrument 'UVP'. Did you mean 'UVP6'"),
        ({"n": 1, "instruments": []}, "instruments is empty"),
    ],
)
def test_mistakes_are_told_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        images(**arguments)
