"""UVP6: sizes and depths by mathematics, and images with their raw files, built byte by byte."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from aqqua_science.schema import SchemaError
from aqqua_science.sources import uvp
from aqqua_science.sources.ecotaxa_tables import MAX_ROWS
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.recognition import recognise_format
from aqqua_science.sources.record import PictureError, Record
from aqqua_science.sources.tree import Tree
from aqqua_science.sources.uvp_frames import count_objects, read_frames
from aqqua_science.sources.uvp_settings import angle, calibration, parse_hardware_line
from aqqua_science.sources.uvp_sizes import CLASS_LIMITS_UM

INI = """[HW_CONF]
Aa=2300.000
Camera_ref=000125HF
Exp=1.136
Image_volume=0.710
Pixel_Size=73
Pressure_offset=0.600

[sample_metadata]
cruise=TEST
profileid=01
latitude=-43°48 08
longitude=009°30 37
sampletype=P
"""
HARDWARE = (
    "HW_CONF,000125HF,1,ACQ_CTD,0,000009VE2,1,0,250,216149,0.600,393773,20000,2,192.0.2.1,0,75,6,22,2300.000,1.136,73,"
    "0.710,20220505,202205091430,someone@example.org,40.3,50.8,64;\n\nACQ_CONF,ACQ_CTD,3,25.000,10;\n"
)
FRAMES = (
    "20220518-042127-284,1.67,31.75,0:1,2005,31.0,9.6;2,65,31.8,8.1;\n"
    "20220518-042127-468,1000.0,31.75,1:1,3079,31.8,10.4;\n"
    "20220518-042127-507,nan,31.75,1:1,3052,31.8,10.3;\n"
    "20220518-042127-547,-0.70,31.75,1:OVER_EXPOSED,22.2%\n"
    "TAXO:2,13,19738,91\n"
)
PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
PNG = encode_png(PIXELS)


def sample(folder, *, ini=INI, frames=HARDWARE + FRAMES, images=(), zipped=True):
    """A sample as UVPapp prepares it for EcoPart and EcoTaxa."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "s1_Particule": {"metadata.ini": ini, "particules.csv": frames},
        "s1_Images": {f"s1/{n}": PNG for n in images},
    }
    for bundle, members in files.items():
        if zipped:
            with zipfile.ZipFile(folder / f"{bundle}.zip", "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content.encode("latin-1") if isinstance(content, str) else content)
            continue
        for name, content in members.items():
            path = folder / bundle / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("latin-1") if isinstance(content, str) else content)
    return folder


def records(path):
    tree = Tree(path)
    found = [(part, list(uvp.read(tree, part))) for part in uvp.parts(tree)]
    assert all(part.rows == len(one) for part, one in found)
    return [record for _, one in found for record in one]


@given(st.floats(1, 1e6), st.floats(1e-5, 0.1), st.floats(0.9, 1.6))
def test_a_disc_of_the_diameter_has_the_calibrated_area(pixels, aa, exp):
    radius_mm = uvp.esd_from_pixels(pixels, aa=aa, exp=exp) / 2000
    assert_allclose(np.pi * radius_mm**2, aa * pixels**exp, rtol=1e-12)


@given(st.floats(1, 1e6), st.floats(1e-5, 0.1), st.floats(0.9, 1.6))
def test_pixels_and_diameter_are_inverse(pixels, aa, exp):
    assert_allclose(uvp.pixels_from_esd(uvp.esd_from_pixels(pixels, aa=aa, exp=exp), aa=aa, exp=exp), pixels, rtol=1e-9)


def test_a_square_millimetre_per_pixel_is_refused_as_that_of_a_file():
    with pytest.raises(ValueError, match="pass aa / 1e6"):
        uvp.esd_from_pixels(1, aa=2300.0, exp=1.136)


def test_depth_agrees_with_the_published_check_value():
    assert_allclose(uvp.depth_from_pressure(10_000, latitude=30), 9712.653, atol=5e-4)


@given(st.floats(0, 11_000), st.floats(-90, 90))
def test_depth_is_hydrostatic(pressure, latitude):
    depth = uvp.depth_from_pressure(pressure, latitude)
    lightest, heaviest = (pressure * 1e4 / (density * gravity) for density, gravity in ((1027, 9.78), (1055, 9.89)))
    assert heaviest - 1e-9 <= depth <= lightest + 1e-9


def test_size_classes_grow_by_the_cube_root_of_two():
    ratios = CLASS_LIMITS_UM[1:-1] / CLASS_LIMITS_UM[:-2]
    assert len(CLASS_LIMITS_UM) == 46
    assert_allclose(ratios, 2 ** (1 / 3), rtol=0.01)


def test_a_sample_as_uvpapp_bundles_it(tmp_path):
    sample(tmp_path / "ecodata" / "s1", images=["20220518-042127-468_1.png", "20220518-042127-468_2.png"])
    name, evidence = recognise_format(tmp_path)
    assert (name, evidence[:8]) == ("uvp", "2 images")
    first, second = records(tmp_path)
    assert first.metadata == {
        "instrument": "UVP6",
        "image_rank": 0,
        "sample_id": "01",
        "acquisition_id": "20220518-042127-468",
        "object_id": "ecodata/s1/s1_Images.zip/s1/20220518-042127-468_1.png",
        "time": "2022-05-18T04:21:27.468",
        "latitude": pytest.approx(-(43 + 48 / 60 + 8 / 3600)),
        "longitude": pytest.approx(9 + 30 / 60 + 37 / 3600),
        "depth": pytest.approx(float(uvp.depth_from_pressure(1000, -43.8022222)) + 0.6),
        "pixel_size_um": 73.0,
        "volume_m3": pytest.approx(0.00071),
    }
    assert first.fault == second.fault == ""
    assert first.raw["hw_conf.aa"] == "2300.000"
    assert first.raw["light"] == "1"
    assert first.metadata["object_id"] != second.metadata["object_id"]
    assert_array_equal(first.pixels(), PIXELS)


@pytest.mark.parametrize("zipped", [True, False])
def test_bundles_are_read_zipped_and_unpacked(tmp_path, zipped):
    sample(tmp_path / "s1", images=["20220518-042127-468_1.png"], zipped=zipped)
    assert recognise_format(tmp_path)[0] == "uvp"
    assert records(tmp_path)[0].metadata["depth"] > 990


def test_one_zip_around_the_bundles(tmp_path):
    sample(tmp_path / "in" / "s1", images=["20220518-042127-468_1.png"])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted((tmp_path / "in" / "s1").iterdir()):
            archive.write(path, f"ecodata/s1/{path.name}")
    assert records(tmp_path / "all.zip")[0].metadata["sample_id"] == "01"


def test_an_image_of_a_black_frame_is_a_fault_and_no_other(tmp_path):
    sample(tmp_path, images=["20220518-042127-284_1.png", "20220518-042127-468_1.png", "graph.png"])
    faults = {r.origin.rpartition("/")[2]: r.fault.split(": ")[0] for r in records(tmp_path)}
    assert faults == {
        "20220518-042127-284_1.png": "cut from a black frame",
        "20220518-042127-468_1.png": "",
        "graph.png": "its name is not that of a frame",
    }


def test_without_pressure_nothing_is_said_of_depth_and_in_the_air_it_is_0(tmp_path):
    sample(tmp_path, images=["20220518-042127-507_1.png", "20220518-042127-547_1.png", "20220518-042130-000_1.png"])
    found = {r.metadata["acquisition_id"]: r.metadata.get("depth") for r in records(tmp_path)}
    assert found == {"20220518-042127-507": None, "20220518-042127-547": 0.0, "20220518-042130-000": None}


def test_a_downloaded_sequence_has_its_settings_in_its_data_file(tmp_path):
    folder = tmp_path / "raw" / "20220518-042127"
    (folder / "images").mkdir(parents=True)
    (folder / "20220518-042127_data.txt").write_text(HARDWARE + FRAMES)
    (folder / "images" / "20220518-042127-468_7.png").write_bytes(PNG)
    assert recognise_format(tmp_path)[0] == "uvp"
    metadata = records(tmp_path)[0].metadata
    assert metadata["pixel_size_um"] == 73.0
    assert metadata["depth"] == pytest.approx(float(uvp.depth_from_pressure(1000)) + 0.6)
    assert not {"sample_id", "latitude", "longitude"} & set(metadata)


def test_each_image_gets_the_settings_of_its_own_sample(tmp_path):
    sample(tmp_path / "a", images=["20220518-042127-468_1.png"])
    sample(tmp_path / "b", ini=INI.replace("=01", "=02").replace("=73", "=88"), images=["20220518-042127-468_1.png"])
    found = [(r.metadata["sample_id"], r.metadata["pixel_size_um"]) for r in records(tmp_path)]
    assert found == [("01", 73.0), ("02", 88.0)]


def test_trees_with_an_ecotaxa_table_are_left_to_ecotaxa(tmp_path):
    sample(tmp_path, images=["20220518-042127-468_1.png"])
    (tmp_path / "ecotaxa_s1.tsv").write_text("img_file_name\tobject_id\n[t]\t[t]\nx.png\tx\n")
    assert uvp.recognise(Tree(tmp_path)) == ""


def test_labelled_vignettes_without_raw_files_are_not_recognised(shared_data):
    assert uvp.recognise(Tree(shared_data / "images" / "ecotaxa+uvpec")) == ""


def test_timestamped_images_of_another_camera_are_not_recognised(tmp_path):
    (tmp_path / "20220518-042127-468_1.png").write_bytes(PNG)
    (tmp_path / "metadata.ini").write_text("[camera]\nname=other\n")
    assert uvp.recognise(Tree(tmp_path)) == ""


def test_raw_files_without_images_are_not_recognised(tmp_path):
    sample(tmp_path)
    assert uvp.recognise(Tree(tmp_path)) == ""


def test_damaged_raw_files_leave_the_images(tmp_path):
    sample(tmp_path, images=["20220518-042127-468_1.png"])
    with zipfile.ZipFile(tmp_path / "s1_Particule.zip", "w") as archive:
        archive.writestr("metadata.ini", b"\xff\xfe\x00[HW_CONF")
        archive.writestr("particules.csv", b"\x00" * 100 + b":::,,,\n")
    (record,) = records(tmp_path)
    assert record.metadata["time"] == "2022-05-18T04:21:27.468"
    assert "depth" not in record.metadata


def test_a_damaged_image_is_a_picture_error(tmp_path):
    sample(tmp_path / "s1", zipped=False, images=["20220518-042127-468_1.png"])
    (tmp_path / "s1" / "s1_Images" / "s1" / "20220518-042127-468_1.png").write_bytes(PNG[:20])
    with pytest.raises(PictureError, match=": "):
        records(tmp_path)[0].pixels()


def test_long_sequences_are_split(tmp_path, monkeypatch):
    monkeypatch.setattr(uvp, "MAX_ROWS", 2)
    names = [f"20220518-042127-468_{i}.png" for i in range(5)]
    sample(tmp_path, images=names)
    assert [part.rows for part in uvp.parts(Tree(tmp_path))] == [2, 2, 1]
    assert [r.origin.rpartition("/")[2] for r in records(tmp_path)] == names
    assert MAX_ROWS == 50_000


def test_hardware_lines_with_and_without_an_address():
    with_address = parse_hardware_line(HARDWARE.splitlines()[0])
    without = parse_hardware_line(HARDWARE.splitlines()[0].replace("192.0.2.1,", ""))
    for found in (with_address, without):
        assert calibration(found) == pytest.approx(
            {"aa": 0.0023, "exp": 1.136, "image_volume_m3": 0.00071, "pixel_size_um": 73.0, "offset_m": 0.6}
        )
    assert parse_hardware_line("HW_CONF,1,2") == {}


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("43°48 08", 43 + 48 / 60 + 8 / 3600),
        ("-0°30 36", -0.51),
        ("43.75", 43.75),
        ("7,5", 7.5),
        ("nan", None),
        ("x", None),
    ],
)
def test_angles(text, degrees):
    assert angle(text) == (None if degrees is None else pytest.approx(degrees, rel=1e-12))


def test_offsets_that_no_instrument_has_are_passed_over():
    assert "offset_m" not in calibration({"hw_conf.pressure_offset": "999.000"})


def test_objects_are_counted_by_their_pixels():
    frames = list(read_frames((HARDWARE + FRAMES).encode()))
    assert [frame.is_lit for frame in frames] == [False, True, True, True]
    assert [frame.is_blind for frame in frames] == [False, False, False, True]
    assert [count_objects(frame) for frame in frames] == [[(1, 2005), (2, 65)], [(1, 3079)], [(1, 3052)], []]


@settings(max_examples=100)
@given(data=st.data())
def test_whatever_the_files_hold_records_come_back(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    parts = {"ini": INI.encode("latin-1"), "frames": (HARDWARE + FRAMES).encode(), "png": PNG}
    name = data.draw(st.sampled_from(sorted(parts)))
    at = data.draw(st.integers(0, len(parts[name])))
    end = data.draw(st.integers(at, len(parts[name])))
    parts[name] = parts[name][:at] + data.draw(st.binary(max_size=40)) + parts[name][end:]
    for path, content in (("metadata.ini", "ini"), ("particules.csv", "frames"), ("20220518-042127-468_1.png", "png")):
        (folder / path).write_bytes(parts[content])
    try:
        uvp.recognise(Tree(folder))
        found = records(folder)
    except SchemaError:
        return
    for record in found:
        assert isinstance(record, Record)
        try:
            record.pixels()
        except PictureError:
            continue
