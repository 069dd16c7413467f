"""FlowCam: runs built line by line, and real ones whose masks and exported images tell what is right."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources import flowcam
from aqqua_science.sources.pictures import decode, encode_png
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree

COLUMNS = ("id", "image_x", "image_y", "image_w", "image_h", "cal_const", "ch1_peak", "ch2_peak", "collage_file")
HEADER = f"017\nnum-fields|{len(COLUMNS)}\n" + "".join(f"{name}|string\n" for name in COLUMNS)
ROWS = (
    "1|0|0|3|2|0.5|7.5|0.0|run_000001.tif\n2|3|1|2|4|0.25|0.0|0.0|run_000001.tif\n3|0|0|3\n"
    "4|9|0|2|2|0.5|0|0|run_000001.tif\n5|0|0|1|1|0.5|0|0|run_000002.tif\n2|0|0|1|1|0.5|0|0|run_000001.tif\n"
    "6|-1|0|1|1|0.5|0|0|run_000001.tif\n7|0|0|0|1|0.5|0|0|run_000001.tif\n"
)
CONTEXT = "[General]\nLocationLatitude=54.3\nRunStartTime=2024-04-08 09:10:51\n[Fluid]\nFluidVolumeImaged_ml=0.25\n"
COLLAGE = np.arange(6 * 10 * 3, dtype=np.uint8).reshape(6, 10, 3)


def run(folder, *, listing=HEADER + ROWS, name="run", **others):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.lst").write_bytes(listing if isinstance(listing, bytes) else listing.encode())
    (folder / f"{name}_000001.tif").write_bytes(encode_png(COLLAGE))
    for ending, content in others.items():
        (folder / f"{name}{ending.replace('__', '.')}").write_bytes(content.encode())
    return Tree(folder)


def records(tree):
    found = []
    for part in flowcam.parts(tree):
        own = list(flowcam.read(tree, part))
        assert len(own) == part.rows
        found += own
    return found


def test_a_run_is_read(tmp_path):
    tree = run(tmp_path, __ctx=CONTEXT)
    assert flowcam.recognise(tree) == "1 list of particles of a FlowCam"
    found = records(tree)
    assert [r.fault.partition(": ")[0] for r in found] == [
        *("", "", "a ragged row", "", "the collage is not there", "duplicate object", "not a rectangle"),
        "not a rectangle",
    ]
    assert found[0].metadata == {
        "object_id": "run_1",
        "acquisition_id": "run",
        "image_rank": 0,
        "instrument": "FlowCam",
        "pixel_size_um": 0.5,
        "volume_m3": pytest.approx(0.25e-6),
        "aux_ch1_peak": 7.5,
    }
    np.testing.assert_array_equal(found[1].pixels(), COLLAGE[1:5, 3:5])
    np.testing.assert_array_equal(found[0].pixels(), COLLAGE[0:2, 0:3])
    assert (found[1].raw["image_x"], found[1].raw["ctx.General.LocationLatitude"]) == ("3", "54.3")
    assert found[1].origin == "run.lst:13"
    with pytest.raises(PictureError, match="the rectangle is beyond the collage: 2 x 2 at 9, 0 of 10 x 6"):
        found[3].pixels()


def test_cut_outs_do_not_share_memory(tmp_path):
    first, second = records(run(tmp_path))[:2]
    first.pixels()[:] = 0
    np.testing.assert_array_equal(second.pixels(), COLLAGE[1:5, 3:5])


@pytest.mark.parametrize(
    ("others", "volume"),
    [
        ({"_run_summary__txt": "Run:\n\tFluid Volume Imaged: 0.5 ml\n"}, 0.5e-6),
        ({"_summary__csv": "Count,3\nSample Volume Imaged ml,0.125\n", "__ctx": CONTEXT}, 0.125e-6),
        ({"__ctx": CONTEXT + "UseDilutionCalculation=1\nSampleDilution=10\n"}, None),
        ({"__ctx": "[Fluid]\nFluidVolumeImaged_ml=0.0000\n"}, None),
        ({"_run_summary__txt": "Fluid Volume Imaged: 0.5 barrels\n"}, None),
    ],
)
def test_the_imaged_volume(tmp_path, others, volume):
    found = records(run(tmp_path, **others))[0].metadata.get("volume_m3")
    assert found == (None if volume is None else pytest.approx(volume))


def test_calibration_of_the_run_where_particles_have_none(tmp_path):
    tree = run(tmp_path, listing=HEADER + ROWS.replace("|0.5|", "||"), __ctx="[Fluid]\nCalibrationConstant=0.7\n")
    assert [r.metadata["pixel_size_um"] for r in records(tree)[:2]] == [0.7, 0.25]


def test_runs_of_one_name_are_told_apart(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b")
    names = [r.metadata["object_id"] for r in records(Tree(tmp_path)) if not r.fault]
    assert names[0] == "a/run_1"
    assert len(set(names)) == len(names)


def test_a_broken_list_is_one_faulty_record(tmp_path):
    run(tmp_path)
    (tmp_path / "z.lst").write_text("num-fields|0\n")
    (tmp_path / "z2.lst").write_text("num-fields|1\narea|double\n1\n")
    faults = [r.fault for r in records(Tree(tmp_path)) if not r.origin.startswith("run.lst")]
    assert [fault.partition(": ")[0] for fault in faults] == ["no list of particles of a FlowCam"] * 2


def test_the_export_stands_in_for_a_list(tmp_path):
    table = (
        "Particle ID,Calibration Factor,Image File,Image Height,Image Width,Image X,Image Y,Ch1 Peak\n"
        "9,0.5,run_000001.tif,4,2,3,1,1.5\n"
    )
    tree = run(tmp_path)
    (tmp_path / "run.lst").unlink()
    (tmp_path / "run.csv").write_text(table)
    (found,) = records(Tree(tree.path))
    np.testing.assert_array_equal(found.pixels(), COLLAGE[1:5, 3:5])
    assert (found.metadata["object_id"], found.metadata["aux_ch1_peak"]) == ("run_9", 1.5)


def test_a_damaged_collage_says_so_each_time(tmp_path):
    run(tmp_path)
    (tmp_path / "run_000001.tif").write_bytes(encode_png(COLLAGE)[:50])
    found = records(Tree(tmp_path))
    for record in (found[0], found[1], found[0]):
        with pytest.raises(PictureError, match="the image is damaged"):
            record.pixels()


def test_other_lists_are_no_runs(tmp_path):
    (tmp_path / "names.lst").write_text("a\nb\n")
    assert flowcam.recognise(Tree(tmp_path)) == ""


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("VickoT+FlowCam_Image_Classifier/Training/data/raw", 1000),
        ("morphocut+morphocut/tests/data/flowcam", 506),
    ],
)
def test_real_rectangles_hold_the_masks(shared_data, folder, count):
    """Each rectangle has as many pixels of the mask as the list says, and outside of all there are none."""
    tree = Tree(shared_data / "images" / folder)
    found = records(tree)
    assert [r.fault for r in found] == [""] * count
    masks = {n.rpartition("/")[2][:-8]: decode(tree.read(n)) > 0 for n in tree.matching("_bin.tif")}
    for record in found:
        x, y, width, height = (int(record.raw[f"image_{side}"]) for side in "xywh")
        assert record.pixels().shape == (height, width, 3)
        inside = masks[record.raw["collage_file"][:-4]][y : y + height, x : x + width]
        assert inside.sum() == float(record.raw["raw_area"])
        inside[:] = False
    assert sum(int(mask.sum()) for mask in masks.values()) == 0


@pytest.mark.parametrize("folder", ["VickoT+FlowCam_Image_Classifier/Training/data/raw", "morphocut+morphocut"])
def test_real_calibration(shared_data, folder):
    """Lengths and widths are in um: pixels less the fringe, but half of them at least, and at least one."""
    for record in records(Tree(shared_data / "images" / folder)):
        for pixels, length in (("raw_feret_max", "length"), ("raw_feret_min", "width")):
            across, fringe = float(record.raw[pixels]), float(record.raw["fringe_size"])
            expected = max(across - fringe, across / 2, 1) * record.metadata["pixel_size_um"]
            assert expected == pytest.approx(float(record.raw[length]), abs=1e-3)


def test_real_volume(shared_data):
    """The concentration of the summary is particles by volume."""
    found = records(Tree(shared_data / "images/VickoT+FlowCam_Image_Classifier/Training/data/raw"))
    volume_ml = found[0].metadata["volume_m3"] * 1e6
    assert len(found) / volume_ml == pytest.approx(float(found[0].raw["summary.Particles / ml"]), rel=1e-3)
    assert "time" not in found[0].metadata


def test_real_cut_outs_are_those_that_were_exported(shared_data):
    data = shared_data / "images/VickoT+FlowCam_Image_Classifier/Training/data"
    found = {r.raw["image_id"]: r for r in records(Tree(data / "raw"))}
    exported = {path.stem.rpartition("_")[2]: path for path in data.glob("classes/*/*.png")}
    both = found.keys() & exported.keys()
    assert len(both) == 609
    for name in both:
        np.testing.assert_array_equal(found[name].pixels(), decode(exported[name].read_bytes()))


def mutate(draw, content):
    """Some bytes of a file replaced, inserted or cut off."""
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=6)) + content[at + draw(st.integers(0, 9)) :]
    return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content


@settings(max_examples=100)
@given(st.data())
def test_anything_gives_records_or_faults(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    contents = {
        "run.lst": (HEADER + ROWS).encode(),
        "run_000001.tif": encode_png(COLLAGE),
        "run.ctx": CONTEXT.encode(),
        "run_run_summary.txt": b"Run:\n\tFluid Volume Imaged: 0.5 ml\n",
        "other.csv": b"Particle ID,Image X,Image Y,Image Width,Image Height,Image File\n1,0,0,1,1,other_1.tif\n",
        "other_1.tif": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(mutate(data.draw, content))
    tree = Tree(folder)
    with suppress(SchemaError):
        flowcam.recognise(tree)
        for record in records(tree):
            if record.pixels is not None:
                with suppress(PictureError):
                    record.pixels()
