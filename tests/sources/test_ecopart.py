"""EcoPart: whole numbers of particles, spheres within their classes, and exports of one sample that must agree."""

import zipfile
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from aqqua_science.schema import SchemaError, check
from aqqua_science.sources.ecopart import read_particles, read_zooplankton
from aqqua_science.sources.uvp_sizes import CLASS_LIMITS_UM, depth_from_pressure

REFERENCE = "insitu/ecotaxa+ecopart/qa/data/ref_export"
UVP5 = "insitu/annarufas+matlab-GRL2024-scripts/data/raw/UVP5"
DETAILED = CLASS_LIMITS_UM.tolist()
REDUCED = [*(2.0**k for k in range(9)), 512.0, 1020.0, 2050.0, 4100.0, 8190.0, 16400.0, np.inf]
BIN = ["sample_id", "time", "depth"]


def class_text(low, high):
    """A size class as EcoPart names it."""
    if np.isinf(high):
        return f">{low / 1000:.4g} mm"
    return f"{low:.4g}-{high:.4g} µm" if high < 1000 else f"{low / 1000:.4g}-{high / 1000:.4g} mm"


def spectrum_rows(counts, limits, litres):
    """Concentrations and biovolumes of particles that are all as large as the middle of their finest class."""
    per_l = np.histogram(DETAILED_MIDDLES, limits, weights=counts)[0] / litres
    spheres = counts * np.pi / 6 * (DETAILED_MIDDLES / 1000) ** 3
    return [*per_l, *(np.histogram(DETAILED_MIDDLES, limits, weights=spheres)[0] / litres)]


DETAILED_MIDDLES = np.array([(a + min(b, 2 * a)) / 2 for a, b in pairwise(DETAILED)])
COUNTS = np.random.default_rng(1).poisson(3, size=(4, 45)).astype(float) * (DETAILED_MIDDLES > 100)


def columns(limits):
    texts = [class_text(a, b) for a, b in pairwise(limits)]
    return [f"LPM ({t}) [# l-1]" for t in texts] + [f"LPM biovolume ({t}) [mm3 l-1]" for t in texts]


def write_par(
    path, *, limits=DETAILED, profile="p1", raw="HDR20200707060638", litres=10.0, encoding="latin-1", rows=COUNTS
):
    lines = [
        "\t".join(["Profile", "Rawfilename", "yyyy-mm-dd hh:mm", "Depth [m]", "Sampled volume [L]", *columns(limits)])
    ]
    for i, counts in enumerate(rows):
        values = [profile, raw, "2020-07-07 06:06:38", 2.5 + 5 * i, litres, *spectrum_rows(counts, limits, litres)]
        lines.append("\t".join(map(str, values)))
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def summary_line(profile="p1", raw="HDR20200707060638", lat=43.7, lon=7.3, time="2020-07-07 06:06:38", **other):
    values = {"cruise": "c", "file": f"e_PAR_{profile}.tsv", "project": "P", "aa": 0.0032, "instrument": "uvp5"} | other
    first = [
        profile,
        values["cruise"],
        "s",
        "o",
        raw,
        values["instrument"],
        "x",
        time,
        lat,
        lon,
        values["aa"],
        1.1641,
        0.092,
    ]
    return "\t".join(map(str, [*first, values["file"], "no data available", values["project"]]))


def write_summary(folder, *lines):
    header = (
        "profile\tCruise\tSite\tDataOwner\tRawfilename\tInstrument\tCTDrosettefilename\tyyyy-mm-dd hh:mm\tLatitude "
    )
    header += "\tLongitude\taa\texp\tPixel size\tParticle filename\tPlankton filename\tProject"
    text = "\n".join([header, *(lines or [summary_line()])]) + "\n"
    (folder / "e_Export_metadata_summary.tsv").write_bytes(text.encode("latin-1"))


def export(folder, **options):
    folder.mkdir(exist_ok=True)
    write_summary(folder)
    write_par(folder / "e_PAR_p1.tsv", **options)
    return folder


def reasons(rejected):
    return sorted(rejected["reason"].str.split(": ").str[0])


# Real exports


@pytest.fixture(scope="module")
def uvp5(shared_data):
    return read_particles(shared_data / UVP5)


@pytest.fixture(scope="module")
def detailed(shared_data):
    return read_particles(shared_data / REFERENCE / "tsvagg_det_multi")


@pytest.fixture(scope="module")
def raw(shared_data):
    return read_particles(shared_data / REFERENCE / "raw_multi")


@pytest.mark.parametrize("name", ["uvp5", "detailed", "raw"])
def test_real_exports_hold_whole_particles(request, name):
    accepted, _ = request.getfixturevalue(name)
    particles = accepted["concentration_m3"] * accepted["volume_m3"]
    assert particles.max() > 10
    assert_allclose(particles, particles.round(), atol=1e-6)


@pytest.mark.parametrize("name", ["uvp5", "detailed", "raw"])
def test_particles_of_real_exports_are_spheres_of_their_class(request, name):
    accepted, _ = request.getfixturevalue(name)
    seen = accepted[accepted["concentration_m3"] > 0].dropna(subset="biovolume_mm3_m3")
    mean = seen["biovolume_mm3_m3"] / seen["concentration_m3"]
    low, high = (np.pi / 6 * (seen[bound] / 1000) ** 3 for bound in ("esd_min_um", "esd_max_um"))
    assert len(seen) > 1000
    assert ((mean >= low * (1 - 1e-9)) & (mean <= high * (1 + 1e-9))).all()


def test_97_profiles_are_read_and_those_that_are_listed_but_absent_are_named(uvp5, shared_data):
    accepted, rejected = uvp5
    tables = list((shared_data / UVP5).rglob("*_PAR_*.tsv"))
    lines = sum(len(table.read_bytes().splitlines()) - 1 for table in tables)
    assert accepted["sample_id"].nunique() == accepted["file"].nunique() == len(tables)
    assert len(accepted.drop_duplicates(BIN)) == lines
    assert set(reasons(rejected)) == {"listed in the metadata, but no table has it"}
    check(accepted, required=("latitude", "longitude", "time", "depth", "volume_m3"), unique=[*BIN, "esd_min_um"])


def test_a_line_of_a_real_table_by_hand(uvp5):
    accepted, _ = uvp5
    found = accepted[(accepted["sample_id"] == "msm93_030_1") & (accepted["depth"] == 2.5)]
    one = found[found["esd_min_um"] == 80.6].iloc[0]
    assert one["concentration_m3"] == pytest.approx(212042.50295159383)
    assert one["biovolume_mm3_m3"] == pytest.approx(96.86239802199276)
    assert (one["esd_max_um"], one["depth_min"], one["depth_max"]) == (102.0, 0.0, 5.0)
    assert (one["latitude"], one["longitude"], one["volume_m3"]) == (79.27438, 4.43425, 0.00847)
    assert (one["cruise"], one["instrument"], str(one["time"])) == ("sn203_2020_msm93", "UVP5", "2020-07-07 06:06:38")


@pytest.mark.parametrize(
    ("samples", "key"),
    [("brusample", "depth"), ("uvpappsample0", "depth"), ("uvpappsampleT", "time"), ("lambdasampleT", "time")],
)
def test_the_raw_export_gives_the_detailed_one(detailed, raw, samples, key):
    exports = (one[one["sample_id"].str.startswith(samples)] for one, _ in (detailed, raw))
    theirs, ours = exports
    both = theirs.merge(ours, on=["sample_id", key, "esd_min_um"], how="outer", suffixes=("", "_raw"), validate="1:1")
    assert len(both) > 100
    for name in ("volume_m3", "concentration_m3", "esd_max_um"):
        assert_allclose(both[f"{name}_raw"], both[name], rtol=1e-12)
    if "lambda" not in samples:
        assert_allclose(both["biovolume_mm3_m3_raw"], both["biovolume_mm3_m3"], rtol=1e-9)


def test_raw_time_series_have_ecoparts_depth_but_for_the_pressure(detailed, raw):
    exports = [one[one["sample_id"] == "lambdasampleT1"].drop_duplicates("time") for one, _ in (detailed, raw)]
    theirs, ours = (one.sort_values("time")["depth"].to_numpy() for one in exports)
    assert_allclose(ours, depth_from_pressure(theirs - 1.0, 44.09) + 1.0, atol=0.11)
    assert np.isnan(exports[1]["depth_min"]).all()


def test_zooplankton_of_a_real_export(shared_data):
    accepted, _ = read_zooplankton(shared_data / REFERENCE / "tsvagg_det_multi")
    organisms = accepted["concentration_m3"] * accepted["volume_m3"]
    assert_allclose(organisms, organisms.round(), atol=1e-9)
    first = accepted[(accepted["sample_id"] == "brusample01") & (accepted["depth"] == 2.5)].set_index("lineage")
    assert first.loc["living>Eukaryota>Harosa", "concentration_m3"] == 7079.646017699116
    assert first.loc["not-living", "biovolume_mm3_m3"] == pytest.approx(10199.213156684603)
    assert first.loc["living", "esd_um"] == pytest.approx(1807.81553053872)
    assert first.loc["not-living>plastic>fiber", "taxon"] == "fiber"


def test_in_a_detailed_export_a_taxon_is_the_sum_of_those_below_it(shared_data):
    accepted, _ = read_zooplankton(shared_data / REFERENCE / "tsvagg_det_multi")
    table = accepted.pivot_table(index=BIN, columns="lineage", values="concentration_m3")
    below = table[["living>Eukaryota>Harosa>Rhizaria>Retaria>Acantharea"]].sum(axis=1)
    below += table["living>Eukaryota>Harosa>Rhizaria>Retaria>Polycystinea"]
    assert_allclose(table["living>Eukaryota>Harosa>Rhizaria>Retaria"], below, rtol=1e-12)


# Exports that agree because they are of the same water


def test_detailed_and_reduced_exports_agree(tmp_path):
    fine, _ = read_particles(export(tmp_path / "fine"))
    coarse, _ = read_particles(export(tmp_path / "coarse", limits=REDUCED))
    for name in ("concentration_m3", "biovolume_mm3_m3"):
        found = np.histogram(fine["esd_min_um"], REDUCED, weights=fine[name])[0]
        expected = np.histogram(coarse["esd_min_um"], REDUCED, weights=coarse[name])[0]
        assert_allclose(found, expected, rtol=1e-9)
    assert_allclose((fine["concentration_m3"] * fine["volume_m3"]).sum(), COUNTS.sum(), rtol=1e-12)


def test_the_same_water_in_two_exports_counts_once(tmp_path):
    export(tmp_path / "a")
    export(tmp_path / "b", limits=REDUCED)
    accepted, rejected = read_particles(tmp_path)
    assert accepted["file"].unique().tolist() == ["a/e_PAR_p1.tsv"]
    assert len(rejected) == len(COUNTS)
    assert rejected["reason"].str.startswith("duplicate of an earlier row").all()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16"])
def test_encodings_do_not_matter(tmp_path, encoding):
    expected, _ = read_particles(export(tmp_path / "a"))
    found, _ = read_particles(export(tmp_path / "b", encoding=encoding))
    pd.testing.assert_frame_equal(found, expected)


def test_a_micro_sign_that_was_lost_is_still_a_micrometre(tmp_path):
    expected, _ = read_particles(export(tmp_path))
    path = tmp_path / "e_PAR_p1.tsv"
    path.write_bytes(path.read_bytes().replace(b"\xb5", b"?"))
    pd.testing.assert_frame_equal(read_particles(tmp_path)[0], expected)


def test_decimal_commas_are_numbers(tmp_path):
    expected, _ = read_particles(export(tmp_path))
    path = tmp_path / "e_PAR_p1.tsv"
    header, _, rows = path.read_bytes().partition(b"\n")
    path.write_bytes(header + b"\n" + rows.replace(b".", b","))
    pd.testing.assert_frame_equal(read_particles(tmp_path)[0], expected)


def test_a_zip_a_folder_and_a_table_by_itself_are_the_same(tmp_path):
    expected, _ = read_particles(export(tmp_path / "a"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted((tmp_path / "a").iterdir()):
            archive.write(path, path.name)
    for path in (tmp_path / "a.zip", tmp_path / "a" / "e_PAR_p1.tsv"):
        pd.testing.assert_frame_equal(read_particles(path)[0], expected)


def test_an_odv_export_agrees_with_the_text_tables(tmp_path):
    expected, _ = read_particles(export(tmp_path / "a"))
    kept = ["Cruise", "Site", "Station", "DataOwner", "Rawfilename", "Instrument", "SN", "CTDrosettefilename"]
    kept.append("yyyy-mm-dd hh:mm")
    header = ";".join(f"{name}:METAVAR:TEXT:20" for name in kept)
    header += (
        ";Latitude [degrees_north]:METAVAR:DOUBLE;Longitude [degrees_east]:METAVAR:DOUBLE;Depth [m]:PRIMARYVAR:DOUBLE"
    )
    lines = ["//<Creator>me (me@example.org)</Creator>", "//<DataField>Ocean</DataField>"]
    lines.append(";".join([header, "Sampled volume [L]", *columns(DETAILED)]))
    about = ["c", "s", "p1", "o", "HDR20200707060638", "uvp5", "sn1", "x", "2020-07-07 06:06:38", "43.7", "7.3"]
    for i, counts in enumerate(COUNTS):
        known = about if i == 0 else [""] * 8 + about[8:9] + [""] * 2
        lines.append(";".join(map(str, [*known, 2.5 + 5 * i, 10.0, *spectrum_rows(counts, DETAILED, 10.0)])))
    (tmp_path / "x_PAR_odv.txt").write_bytes("\n".join(lines).encode("latin-1"))
    found, rejected = read_particles(tmp_path / "x_PAR_odv.txt")
    assert rejected.empty
    merged = expected.merge(
        found, on=[*BIN, "latitude", "longitude", "cruise", "instrument", "esd_min_um"], suffixes=("", "2")
    )
    assert len(merged) == len(expected)
    assert_allclose(merged["concentration_m32"], merged["concentration_m3"], rtol=1e-12)
    beyond = found[~found["esd_min_um"].isin(expected["esd_min_um"])]
    assert (beyond["concentration_m3"] == 0).all()


# What cannot be used is told apart from the rest


def test_volumes_of_nothing_are_rejected_and_blanks_are_no_zeros(tmp_path):
    export(tmp_path)
    path = tmp_path / "e_PAR_p1.tsv"
    lines = path.read_text("latin-1").split("\n")
    fields = [line.split("\t") for line in lines[:5]]
    fields[1][4], fields[2][4] = "0", ""
    fields[3][5:] = [""] * 90
    path.write_text("\n".join("\t".join(one) for one in fields), "latin-1")
    accepted, rejected = read_particles(tmp_path)
    assert reasons(rejected) == ["volume_m3 0 is not above 0 m3", "volume_m3 is missing"]
    assert rejected["line"].tolist() == [2, 3]
    assert accepted["depth"].unique().tolist() == [17.5]


def test_classes_below_one_pixel_are_not_zeros(tmp_path):
    accepted, _ = read_particles(export(tmp_path))
    pixel_um = 2000 * np.sqrt(0.0032 / np.pi)
    assert accepted["esd_max_um"].min() > pixel_um
    assert accepted["esd_min_um"].min() < pixel_um


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (30, "x", "a count is not a number"),
        (30, "-1", "a count is negative"),
        (3, "x", "depth inf is not finite"),
        (80, "inf", "a biovolume is not a number"),
    ],
)
def test_one_bad_number_costs_its_bin_only(tmp_path, field, value, reason):
    path = export(tmp_path) / "e_PAR_p1.tsv"
    lines = path.read_text("latin-1").split("\n")
    fields = lines[1].split("\t")
    fields[field] = value
    path.write_text("\n".join([lines[0], "\t".join(fields), *lines[2:]]), "latin-1")
    accepted, rejected = read_particles(tmp_path)
    assert rejected["reason"].tolist() == [reason]
    assert accepted["depth"].nunique() == len(COUNTS) - 1


def test_ragged_and_damaged_lines(tmp_path):
    path = export(tmp_path) / "e_PAR_p1.tsv"
    path.write_bytes(path.read_bytes() + b"p1\tHDR\n" + b"\0" * 5 + b"\t" * 94 + b"\n\n")
    accepted, rejected = read_particles(tmp_path)
    assert reasons(rejected) == ["NUL characters", "a ragged line"]
    assert rejected["line"].tolist() == [6, 7]
    assert accepted["depth"].nunique() == len(COUNTS)


def test_a_bad_file_does_not_stop_the_rest(tmp_path):
    export(tmp_path)
    (tmp_path / "e_PAR_p2.tsv").write_bytes(b"")
    (tmp_path / "e_PAR_p3.tsv").write_bytes(b"Depth [m]\tDepth [m]\n")
    (tmp_path / "e_PAR_p4.tsv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    accepted, rejected = read_particles(tmp_path)
    assert accepted["depth"].nunique() == len(COUNTS)
    assert reasons(rejected) == ["an unreadable table"] * 3


def test_profiles_that_the_metadata_do_not_know_or_know_otherwise(tmp_path):
    write_summary(tmp_path, summary_line("p1", raw="HDR1"), summary_line("p3", raw="HDR3"))
    write_par(tmp_path / "e_PAR_p1.tsv", profile="p1", raw="HDR2", rows=COUNTS[:1])
    write_par(tmp_path / "e_PAR_p2.tsv", profile="p2", rows=COUNTS[:1])
    accepted, rejected = read_particles(tmp_path)
    assert accepted.empty
    assert reasons(rejected) == [
        "listed in the metadata, but no table has it",
        "listed in the metadata, but no table has it",
        "the metadata do not name this profile",
        "the metadata name another raw file for this profile",
    ]


def test_a_profile_of_two_projects_has_what_they_agree_on(tmp_path):
    other = summary_line(lat=43.70003, project="Q", aa=0.025)
    write_summary(tmp_path, summary_line(), other)
    write_par(tmp_path / "e_PAR_p1.tsv", rows=COUNTS[:1])
    accepted, rejected = read_particles(tmp_path)
    assert rejected.empty
    assert accepted["latitude"].unique().tolist() == [43.7]
    assert accepted["cruise"].unique().tolist() == ["c"]
    assert accepted["project"].unique().tolist() == [""]
    write_summary(tmp_path, summary_line(), summary_line(lat=44.7, project="Q"))
    assert reasons(read_particles(tmp_path)[1]) == ["latitude is missing"]


def test_profiles_of_one_name_are_told_apart(tmp_path):
    write_summary(tmp_path, summary_line("001", raw="HDR1"), summary_line("001", raw="HDR2", lat=10))
    write_par(tmp_path / "a_PAR_001.tsv", profile="001", raw="HDR1", rows=COUNTS[:1])
    write_par(tmp_path / "b_PAR_001.tsv", profile="001", raw="HDR2", rows=COUNTS[:1])
    accepted, _ = read_particles(tmp_path)
    assert accepted.groupby("sample_id")["latitude"].first().to_dict() == {"001 HDR1": 43.7, "001 HDR2": 10.0}


def test_a_clock_that_nobody_set(tmp_path):
    write_summary(tmp_path, summary_line(time="1987-01-01 00:00:00"))
    path = write_par(tmp_path / "e_PAR_p1.tsv", rows=COUNTS[:1])
    path.write_bytes(path.read_bytes().replace(b"2020-07-07", b"1987-01-01"))
    accepted, rejected = read_particles(tmp_path)
    assert accepted.empty
    assert rejected["reason"].tolist() == ["time 1987-01-01 is before the first UVP5"]


def test_nothing_of_the_kind_is_an_error_that_helps(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(SchemaError, match=r"a\.csv.*Looked for"):
        read_particles(tmp_path)
    with pytest.raises(SchemaError, match="no file or folder"):
        read_zooplankton(tmp_path / "none")


def test_blank_counts_of_organisms_are_zeros_and_their_size_is_not(tmp_path):
    write_summary(tmp_path)
    (tmp_path / "e_ZOO_p1.tsv").write_text(
        "Profile\tRawfilename\tyyyy-mm-dd hh:mm\tDepth [m]\tSampled volume [L]\tliving>A [# m-3]\tliving>B [# m-3]\t"
        "living>A biovolume [mm3 l-1]\tliving>B biovolume [mm3 l-1]\tliving>A avgesd [mm]\tliving>B avgesd [mm]\n"
        "p1\tHDR20200707060638\t2020-07-07 06:06:38\t2.5\t10\t100.0\t\t0.5\t\t1.25\t\n"
    )
    accepted, rejected = read_zooplankton(tmp_path)
    found = accepted[["taxon", "concentration_m3", "biovolume_mm3_m3", "esd_um"]].to_numpy().tolist()
    assert rejected.empty
    assert found[0] == ["A", 100.0, 500.0, 1250.0]
    assert found[1][:3] == ["B", 0.0, 0.0]
    assert np.isnan(found[1][3])


# The raw archive of the new EcoPart


SAMPLES = {
    "ecopart_project_id": "7",
    "sample_name": "s1",
    "sample_type": "Depth",
    "sampling_utc_date_time": "2022-05-18T04:21:27.000Z",
    "sample_latitude": "43.8",
    "sample_longitude": "9.5",
    "instrument_settings_aa": "2300",
    "instrument_settings_exp": "1.136",
    "instrument_settings_image_volume_l": "0.5",
    "instrument_settings_depth_offset_m": "1",
    "visual_qc_status": "VALIDATED",
}
FRAMES = """HW_CONF,000125HF,1;
20220518-042127-284,1.0,31.75,0:1,2005,31.0,9.6;
20220518-042127-468,1.0,31.75,1:100,3,31.8,10.4;101,1,30,9;
20220518-042127-507,2.0,31.75,1:EMPTY_IMAGE
20220518-042127-547,2.0,31.75,1:OVER_EXPOSED,22.2%
20220518-042127-600,8.0,31.75,1:100,1,31.8,10.4;
20220518-042127-700,nan,31.75,1:100,50,31.8,10.4;
"""


def write_raw(path, *, samples=SAMPLES, frames=FRAMES, with_lists=True):
    inner = path.parent / "s1_Particule.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(
            "metadata.ini", "[HW_CONF]\nAa=1000\nExp=1.0\nImage_volume=9\n[sample_metadata]\nprofileid=s1\n"
        )
        archive.writestr("particules.csv", frames)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.md", "# EcoPart raw data export")
        archive.write(inner, "lpm/7/s1/s1_Particule.zip")
        if with_lists:
            archive.writestr("metadata/samples.tsv", "\t".join(samples) + "\n" + "\t".join(samples.values()) + "\n")
            archive.writestr(
                "metadata/projects.tsv",
                "ecopart_project_id\tecopart_project_title\tproject_instrument_model_name\tproject_cruise_wmo\n7\tT\tUVP6LP\tC\n",
            )
    return path


def test_a_raw_archive_by_hand(tmp_path):
    accepted, rejected = read_particles(write_raw(tmp_path / "ecopart_export_raw_3.zip"))
    assert rejected.empty
    top = accepted[accepted["depth"] == 2.5]
    seen = top[top["concentration_m3"] > 0]
    esd_um = 2000 * np.sqrt(0.0023 * np.array([100.0, 101.0]) ** 1.136 / np.pi)
    # Two frames of half a litre: the lit one and the empty one. The black and the over-exposed one saw no water.
    assert top["volume_m3"].unique().tolist() == [0.001]
    assert seen["concentration_m3"].tolist() == [4000.0]
    assert seen["esd_min_um"].item() <= esd_um.min() < esd_um.max() < seen["esd_max_um"].item()
    assert_allclose(
        seen["biovolume_mm3_m3"], (np.array([3, 1]) * np.pi / 6 * (esd_um / 1000) ** 3).sum() / 0.001, rtol=1e-12
    )
    assert accepted["depth"].unique().tolist() == [2.5, 7.5]
    about = accepted[["sample_id", "instrument", "cruise", "project", "latitude", "longitude"]].drop_duplicates()
    assert about.to_numpy().tolist() == [["s1", "UVP6", "C", "T", 43.8, 9.5]]


def test_a_rejected_sample_of_a_raw_archive(tmp_path):
    path = write_raw(tmp_path / "e.zip", samples=SAMPLES | {"visual_qc_status": "REJECTED"})
    accepted, rejected = read_particles(path)
    assert accepted.empty
    assert set(reasons(rejected)) == {"rejected by visual quality control"}


def test_a_raw_archive_without_lists_has_no_position(tmp_path):
    accepted, rejected = read_particles(write_raw(tmp_path / "e.zip", with_lists=False))
    assert accepted.empty
    assert set(reasons(rejected)) == {"there is no list of profiles"}


def test_a_damaged_frame_or_no_light_is_told(tmp_path):
    for i, frames in enumerate([FRAMES.replace("101,1", "101,x"), FRAMES.split("\n")[1]]):
        accepted, rejected = read_particles(write_raw(tmp_path / f"e{i}.zip", frames=frames))
        assert accepted.empty
        assert reasons(rejected)[0] == "an unreadable table"


def test_samples_of_one_name_in_two_projects_keep_their_own_places(tmp_path):
    first = SAMPLES | {"filename": "20220518-042127"}
    second = first | {"ecopart_project_id": "8", "sample_latitude": "-10", "filename": "20230518-042127"}
    lines = ["\t".join(first), "\t".join(first.values()), "\t".join(second.values())]
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("metadata/samples.tsv", "\n".join(lines) + "\n")
        for project, year in (("7", "2022"), ("8", "2023")):
            write_raw(tmp_path / "e.zip", frames=FRAMES.replace("\n2022", f"\n{year}"))
            archive.write(tmp_path / "s1_Particule.zip", f"lpm/{project}/s1/s1_Particule.zip")
    accepted, _ = read_particles(tmp_path / "two.zip")
    places = accepted.groupby("sample_id")[["latitude", "time"]].first()
    assert places["latitude"].to_dict() == {"s1 20220518-042127": 43.8, "s1 20230518-042127": -10.0}
    assert places["time"].dt.year.tolist() == [2022, 2023]


def test_a_time_series_is_summed_by_the_hour(tmp_path):
    later = FRAMES.replace("20220518-04", "20220518-05")
    path = write_raw(tmp_path / "e.zip", samples=SAMPLES | {"sample_type": "Time"}, frames=FRAMES + later)
    accepted, rejected = read_particles(path)
    assert rejected.empty
    hours = accepted.drop_duplicates("time")
    assert hours["time"].astype(str).tolist() == ["2022-05-18 04:30:00", "2022-05-18 05:30:00"]
    # Lit frames that were not over-exposed: at 1, 2 and 8 dbar, and one without pressure; the water is 1 m below.
    assert hours["volume_m3"].tolist() == [0.002, 0.002]
    assert_allclose(hours["depth"], depth_from_pressure(np.array([1.0, 2.0, 8.0]), 43.8).mean() + 1, rtol=1e-9)
    assert hours["depth_min"].isna().all()
    assert_allclose((accepted["concentration_m3"] * accepted["volume_m3"]).sum(), 2 * (3 + 1 + 1 + 50), rtol=1e-12)


def test_what_lacks_its_companion_or_is_not_read_is_told(tmp_path):
    (tmp_path / "particules.csv").write_text(FRAMES)
    with zipfile.ZipFile(tmp_path / "s2_work.zip", "w") as archive:
        archive.writestr("s2.bru", "1;1;1;1")
    accepted, rejected = read_particles(tmp_path)
    assert accepted.empty
    assert list(accepted.columns)[-5:] == [
        *("esd_min_um", "esd_max_um", "concentration_m3", "biovolume_mm3_m3", "file"),
    ]
    assert rejected["reason"].str.contains("needs metadata.ini beside it|raw files of a UVP5").all()
    assert len(rejected) == 2


FUZZED = {
    "particules.csv": FRAMES,
    "LPM.txt": "DATE_TIME\tPRES_decibar\tLATITUDE_decimal_degree\tLONGITUDE_decimal_degree\tIMAGE_NUMBER_PARTICLES\t"
    "NB_SIZE_SPECTRA_PARTICLES_class_1\n20191121T010000\t2.5\t44.0\t7.5\t1\t400\n",
    "x_PAR_raw_y.tsv": "depth\timgcount\tarea\tnbr\tdatetime\n2\t1\t7\t400\t20191121010000\n",
    "e_PAR_p1.tsv": "Profile\tRawfilename\tyyyy-mm-dd hh:mm\tDepth [m]\tSampled volume [L]\tLPM (813-1020 µm) [# l-1]\n"
    "p1\tHDR1\t2020-07-07 06:06\t2.5\t8.0\t0.25\n",
    "e_PAR_odv.txt": "//<Creator>\nStation:METAVAR:TEXT:20;Depth [m]:PRIMARYVAR:DOUBLE;Sampled volume [L];"
    "LPM (>26 mm) [# l-1]\np1;2.5;1;1\n;7.5;1;1\n",
}
FUZZED["e_ZOO_p1.tsv"] = FUZZED["e_PAR_p1.tsv"].replace("LPM (813-1020 µm) [# l-1]", "living>A [# m-3]")
BESIDE = {
    "particules.csv": ("metadata.ini", "[HW_CONF]\nAa=1000\nExp=1\nImage_volume=9\n[sample_metadata]\nprofileid=p1\n"),
    "LPM.txt": ("META.txt", "Image_volume\t1.13\nLower_limit_size_class_1\t40.3\n"),
}
SUMMARY = (
    "psampleid\tprofileid\tfilename\tlatitude\tlongitude\torganizedbydeepth\tsampledate\tacq_aa\tacq_exp\tacq_volimage\t"
    'Particle filename\n1\t"p1"\t"1"\t44\t7\tTrue\t2019-11-21 01:00:00\t0.0002\t1.02\t1.13\tx_PAR_raw_y.tsv\n'
)


@settings(max_examples=120)
@given(data=st.data())
def test_whatever_the_files_hold_tables_come_back(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    name = data.draw(st.sampled_from(sorted(FUZZED)))
    files = {name: FUZZED[name], "e_Export_metadata_summary.tsv": SUMMARY} | dict(
        [BESIDE[name]] if name in BESIDE else []
    )
    files = {path: text.encode("latin-1") for path, text in files.items()}
    changed = data.draw(st.sampled_from(sorted(files)))
    content = files[changed]
    at = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(at, min(len(content), at + 60)))
    strange = st.sampled_from([b"1e999", b"-1", b"9" * 30, b"\t", b"\n", b"", b"nan", b"0", b"\0"])
    files[changed] = content[:at] + data.draw(st.one_of(st.binary(max_size=20), strange)) + content[end:]
    for path, text in files.items():
        (folder / path).write_bytes(text)
    accepted, rejected = (read_zooplankton if "ZOO" in name else read_particles)(folder)
    assert (accepted["volume_m3"] > 0).all()
    assert (accepted["concentration_m3"] >= 0).all()
    assert (rejected["reason"] != "").all()
