"""From a bundle into a store and back: pixels, every original value and what was made of them are the same."""

import contextlib
import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.images import ingest
from aqqua_science.sources import ecotaxa
from aqqua_science.sources.pictures import encode_png
from aqqua_science.synthetic import images

GIVEN = {"licence": "CC BY 4.0", "pixel_size_um": 73, "instrument": "UVP6"}

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30).map(str.strip)
NUMBER = st.floats(-1e6, 1e6).map(repr) | st.integers(-99, 99).map(str) | st.just("")
ROWS = st.lists(
    st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 6000), TEXT, NUMBER, TEXT, st.booleans()),
    min_size=1,
    max_size=6,
)


def table_of(rows):
    """An EcoTaxa table of objects with two images where asked for, in two samples."""
    header = "img_file_name img_rank object_id object_lat object_lon object_date object_time object_depth_min "
    header += "object_depth_max object_annotation_category object_annotation_status object_free object_number "
    header += "sample_id sample_note acq_id acq_instrument"
    numeric = {"img_rank", "object_lat", "object_lon", "object_depth_min", "object_depth_max", "object_number"}
    names = header.split()
    lines = [names, ["[f]" if name in numeric else "[t]" for name in names]]
    for i, (latitude, longitude, depth, free, number, _, twice) in enumerate(rows):
        for rank in range(1 + twice):
            position = [repr(latitude), repr(longitude), "20240501", "093000", repr(depth), repr(depth)]
            named = ["Copepoda<Crustacea", "validated"] if i % 2 else ["", ""]
            sample = f"s{i % 2}"
            facts = [free, number, sample, rows[i % 2][5], f"a_{sample}", "uvp6"]
            lines.append([f"{i}_{rank}.png", str(rank), f"o{i}", *position, *named, *facts])
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(lines)
    return stream.getvalue()


def write_bundle(folder, rows):
    folder.mkdir()
    (folder / "ecotaxa_made.tsv").write_text(table_of(rows), encoding="utf-8-sig", newline="")
    for i, row in enumerate(rows):
        for rank in range(1 + row[-1]):
            pixels = np.arange(6 * (i + 1), dtype=np.uint8).reshape(2, -1) + 31 * rank
            (folder / f"{i}_{rank}.png").write_bytes(encode_png(pixels))


def facts_of(store):
    """All that a store holds, by object and image, whatever the order; where it was read is its own."""
    table = store.table.drop(columns=["origin", "source"]).assign(pixels=[image.tobytes() for image in store[:]])
    raw = store.raw().drop(columns=[c for c in ("img_file_name",) if c in store.raw()])
    together = pd.concat([table, raw.add_prefix("raw_")], axis=1).sort_values(["object_id", "image_rank"])
    return together.reset_index(drop=True)


@settings(max_examples=25)
@given(ROWS)
def test_a_bundle_comes_back_whole(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("round")
    write_bundle(folder / "bundle", rows)
    assert ecotaxa.validate(folder / "bundle").empty
    first = ingest(folder / "bundle", folder / "first", defaults=GIVEN)
    assert first.rejected.empty
    written = ecotaxa.write(first.table, first, folder / "again.zip")
    assert written["remarks"].item() == []
    assert ecotaxa.validate(folder / "again.zip").empty
    second = ingest(folder / "again.zip", folder / "second", defaults=GIVEN)
    pd.testing.assert_frame_equal(facts_of(first), facts_of(second)[facts_of(first).columns])


@pytest.mark.parametrize(("name", "left_out"), [("import_test", None), ("ref_exports/tsv_by_taxon", "hierarchy")])
def test_real_bundles_come_back_whole(shared_data, tmp_path, name, left_out):
    """But for the hierarchy of an export, which EcoTaxa does not import: it is left out, and that is said."""
    path = shared_data / "images/ecotaxa+ecotaxa_back/QA/py/data" / name
    given = {"licence": "CC BY 4.0", "pixel_size_um": 10.6, "instrument": "ZooScan"}
    first = ingest(path, tmp_path / "first", defaults=given)
    with pytest.warns(UserWarning, match=left_out) if left_out else contextlib.nullcontext():
        ecotaxa.write(first.table, first, tmp_path / "again.zip")
    second = ingest(tmp_path / "again.zip", tmp_path / "second", defaults=given)
    before, after = (facts_of(store).astype(object).fillna("") for store in (first, second))
    kept = [c for c in before if not (left_out and left_out in c) and (before[c] != "").any()]
    pd.testing.assert_frame_equal(before[kept], after[kept])


def test_pictures_of_every_instrument_keep_their_place_and_scale(tmp_path):
    """What a store that never was a bundle holds comes back from EcoTaxa's columns."""
    drawn = ingest(images(40, rng=5), tmp_path / "drawn")
    ecotaxa.write(drawn.table, drawn, tmp_path / "bundle.zip")
    again = ingest(tmp_path / "bundle.zip", tmp_path / "again")
    names = [
        "latitude",
        "longitude",
        "depth",
        "pixel_size_um",
        "instrument",
        "taxon",
        "taxon_status",
        "volume_m3",
        "time",
    ]
    before, after = (s.table.set_index("object_id")[names].sort_index() for s in (drawn, again))
    pd.testing.assert_frame_equal(before, after, rtol=1e-6)


def test_predictions_whose_rows_were_lost_are_refused(tmp_path):
    drawn = ingest(images(6, rng=5), tmp_path / "drawn")
    mixed = drawn.table.sort_values("object_id", ascending=False).reset_index(drop=True)
    with pytest.raises(ValueError, match="A merge loses the index"):
        ecotaxa.write(mixed, drawn, tmp_path / "bundle.zip")
