"""PlanktoScope: its own columns and the water at sea they stand for."""

import numpy as np
import pytest

from aqqua_science.sources import planktoscope
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.tree import Tree

VALUES = {
    "img_file_name": "a.png",
    "object_id": "a",
    "acq_instrument": "PlanktoScope v2.1",
    "process_pixel": "0.75",
    "acq_imaged_volume": "2.5",
    "sample_concentrated_sample_volume": "50",
    "sample_total_volume": "400",
}


def only_record(folder, **changes):
    values = {**VALUES, **changes}
    lines = [values.keys(), ["[t]"] * len(values), values.values()]
    (folder / "ecotaxa_a.tsv").write_text("\n".join("\t".join(line) for line in lines), encoding="utf-8")
    (folder / "a.png").write_bytes(encode_png(np.arange(6, dtype=np.uint8).reshape(2, 3)))
    tree = Tree(folder)
    (part,) = planktoscope.parts(tree)
    (record,) = planktoscope.read(tree, part)
    return tree, record


def test_volume_at_sea_is_the_share_of_the_filtered_water(tmp_path):
    tree, record = only_record(tmp_path)
    assert record.metadata["instrument"] == "PlanktoScope"
    assert record.metadata["pixel_size_um"] == 0.75
    # A twentieth of what 400 litres were concentrated to was imaged: 20 litres.
    assert record.metadata["volume_m3"] == pytest.approx(0.020)
    np.testing.assert_array_equal(record.pixels(), [[0, 1, 2], [3, 4, 5]])
    assert planktoscope.recognise(tree) == "1 table ecotaxa*.tsv of a PlanktoScope"


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_total_volume": ""},
        {"acq_imaged_volume": "nan"},
        {"sample_dilution_factor": "2"},
        {"sample_total_volume": "99999"},
    ],
)
def test_volume_is_unknown_where_a_piece_is(tmp_path, changes):
    assert "volume_m3" not in only_record(tmp_path, **changes)[1].metadata


def test_another_instrument_is_not_recognised(tmp_path):
    assert not planktoscope.recognise(only_record(tmp_path, acq_instrument="uvp5")[0])
    assert planktoscope.recognise(only_record(tmp_path, acq_instrument="")[0])
