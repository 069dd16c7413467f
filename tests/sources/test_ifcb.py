"""IFCB: bins written byte by byte, damaged in every way, and real ones."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqqua_science.schema import SchemaError
from aqqua_science.sources import ifcb
from aqqua_science.sources.ifcb_stitching import pair_targets, stitch
from aqqua_science.sources.record import PictureError
from aqqua_science.sources.tree import Tree

V2, V1 = "D20200102T030405_IFCB107", "IFCB5_2012_028_081515"
HEADER = b"softwareVersion: 2.0\r\nrunTime: 100.5\t\r\ninhibitTime: 0.5\r\nsampleType: Normal\r\n"
RNG = np.random.default_rng(5)


def line_v2(number, image, start, *, x=11, y=22, seconds=10.0):
    """One trigger as IFCBs since 2010 write it: 24 fields; the signals are the trigger's number and a tenth of each."""
    height, width = image.shape if image is not None else (0, 0)
    signals = [f"{number}.{i}" for i in range(1, 9)]
    place = [x, y, width, height, start]
    return ",".join(map(str, [number, seconds, *signals, -999.0, seconds, 10.5, *place, 0, 0, 0, 0, 10.6, 0.1]))


def line_v1(trigger, image, start, *, x=11, y=22, seconds=10.0):
    """One trigger as the prototypes wrote it: 15 fields and a comma."""
    height, width = image.shape if image is not None else (0, 0)
    return f"{trigger},.3,.06,-.6,-.17,-3.6,-.29,0,{seconds},{x},{y},{width},{height},{start},-.27,"


def write_bin(folder, name=V2, images=(), *, header=HEADER, change=lambda lines: lines, cut=0, extra=b""):
    """Write a bin of some images, None for a trigger without; prototypes put a byte before the first and after all."""
    folder.mkdir(parents=True, exist_ok=True)
    pad, line = (b"\0", line_v1) if name.startswith("I") else (b"", line_v2)
    roi, lines = pad, []
    for number, image in enumerate(images, start=1):
        lines.append(line(number, image, len(roi)))
        roi += b"" if image is None else image.tobytes()
    roi += pad + extra
    (folder / f"{name}.adc").write_text("".join(f"{text}\n" for text in change(lines)))
    (folder / f"{name}.roi").write_bytes(roi[: len(roi) - cut])
    if header is not None:
        (folder / f"{name}.hdr").write_bytes(header)


def picture(height, width):
    return RNG.integers(0, 256, (height, width), dtype=np.uint8)


def read_all(path):
    """Every record of a tree; parts keep their word."""
    tree = Tree(path)
    found = []
    for part in ifcb.parts(tree):
        records = list(ifcb.read(tree, part))
        assert len(records) == part.rows
        found.extend(records)
    return found


@pytest.mark.parametrize("name", [V1, V2])
def test_pixels_are_exactly_those_of_the_roi(tmp_path, name):
    images = [picture(3, 5), None, picture(7, 2), picture(1, 1)]
    write_bin(tmp_path / "a" / "b", name, images)
    records = read_all(tmp_path)
    assert [r.metadata["object_id"] for r in records] == [f"{name}_{n:05d}" for n in (1, 3, 4)]
    for record, image in zip(records, [images[0], *images[2:]], strict=True):
        pixels = record.pixels()
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, image)
        assert not record.fault
    assert ifcb.recognise(Tree(tmp_path)) == "1 IFCB bin (.adc, .hdr, .roi)"


def test_a_zip_reads_as_its_folder_does(tmp_path):
    image = picture(4, 6)
    write_bin(tmp_path / "raw", V2, [image])
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for file in (tmp_path / "raw").iterdir():
            archive.write(file, f"2020/{file.name}")
    (record,) = read_all(tmp_path / "raw.zip")
    np.testing.assert_array_equal(record.pixels(), image)
    assert record.origin == f"2020/{V2}.adc:1"


def test_targets_are_lines_empty_ones_included(tmp_path):
    write_bin(tmp_path, V2, [picture(2, 3), picture(3, 2)], change=lambda lines: [lines[0], "", "", lines[1]])
    assert [r.metadata["object_id"][-5:] for r in read_all(tmp_path)] == ["00001", "00004"]


def test_metadata_of_version_2(tmp_path):
    header = HEADER + b"gpsLatitude: -58.25\r\ngpsLongitude: 11.5\r\ndepth: 5\r\npixelsPerMicron: 4\r\n"
    write_bin(tmp_path, V2, [picture(2, 3)], header=header)
    (record,) = read_all(tmp_path)
    assert record.metadata == {
        "object_id": f"{V2}_00001",
        "image_rank": 0,
        "sample_id": V2,
        "acquisition_id": V2,
        "instrument": "IFCB",
        "time": "2020-01-02T03:04:15.000",
        "latitude": -58.25,
        "longitude": 11.5,
        "depth": 5.0,
        "pixel_size_um": 0.25,
        # One line is too little to check the header by: 100 s at a quarter of a millilitre a minute.
        "volume_m3": pytest.approx(100 / 60 * 0.25e-6),
        **{f"aux_pmt_{c}": pytest.approx(1 + i / 10) for i, c in enumerate("abcd", start=1)},
        **{f"aux_peak_{c}": pytest.approx(1 + i / 10) for i, c in enumerate("abcd", start=5)},
        "aux_grabtime_start": 10.0,
        "aux_grabtime_end": 10.5,
        "aux_roi_x": 11.0,
        "aux_roi_y": 22.0,
    }
    assert record.raw["ifcb_number"] == "107"
    assert record.raw["hdr_sampleType"] == "Normal"
    # What the software writes for a time of flight that it has not: kept as it was, and taken for nothing.
    assert record.raw["time of flight"] == "-999.0"


def test_metadata_of_version_1(tmp_path):
    write_bin(tmp_path, V1, [picture(2, 3)], header=b'"Software version 1.0"\n"Temp Humidity"\n" 11.5"," 32"\n')
    (record,) = read_all(tmp_path)
    assert record.metadata["time"] == "2012-01-28T08:15:25.000"
    assert record.metadata["aux_fluorescence_low"] == 0.06
    assert record.metadata["aux_scattering_high"] == -3.6
    assert record.metadata["aux_grabtime_end"] == 10.0
    assert record.raw["hdr_temp"] == "11.5"
    assert record.raw["ifcb_number"] == "5"
    assert record.raw["valveStatus"] == "-.27"
    assert "latitude" not in record.metadata


@pytest.mark.parametrize(
    ("seconds", "time"),
    [
        ("-86380.0", "2012-01-28T08:15:35.000"),  # after midnight: a day is missing
        ("nan", "2012-01-28T08:15:15"),
        ("90000", "2012-01-28T08:15:15"),  # no sample takes a day
    ],
)
def test_time_of_a_trigger_where_it_can_be_relied_upon(tmp_path, seconds, time):
    write_bin(tmp_path, V1, change=lambda _: [line_v1(1, np.zeros((1, 1)), 0, seconds=seconds)])
    assert read_all(tmp_path)[0].metadata["time"] == time


@pytest.mark.parametrize(
    "line",
    [
        b"gpsLatitude: 0.0\ngpsLongitude: 0.0",
        b"gpsLatitude: nan\ngpsLongitude: 5",
        b"gpsLatitude: 58.2",
        b"gpsLatitude: 999\ngpsLongitude: 999",
        b"gpsLatitude: 1\ngpsLongitude: 2\nifcbTimeAtFix: Jan/02/2020 01:55:53.00 UTC",
        b"gpsLatitude: 1\ngpsLongitude: 2\ngpsTimeFromFix: Feb/30/2020 01:55:53.00 UTC",
    ],
)
def test_no_position_is_better_than_a_wrong_one(tmp_path, line):
    write_bin(tmp_path, V2, [picture(2, 2)], header=HEADER + line)
    assert not {"latitude", "longitude"} & read_all(tmp_path)[0].metadata.keys()


def test_a_fresh_position_counts(tmp_path):
    line = b"gpsLatitude: 1\ngpsLongitude: 2\nifcbTimeAtFix: Jan/02/2020 03:24:05.00 UTC"
    write_bin(tmp_path, V2, [picture(2, 2)], header=HEADER + line)
    assert read_all(tmp_path)[0].metadata["latitude"] == 1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_headers_in_any_encoding_and_case(tmp_path, encoding):
    columns = "Trigger#, adctime, " + ", ".join(f"c{i}" for i in range(11)) + ", RoiX,RoiY,RoiWidth,RoiHeight,StartByte"
    text = f"SOFTWAREVERSION: 9\nFileComment: Sète\nRUNTIME: 100.5\ninhibittime: 0.5\nADCFileFormat: {columns}\n"
    write_bin(tmp_path, V2, [picture(2, 3)], header=text.encode(encoding))
    (record,) = read_all(tmp_path)
    assert record.raw["hdr_FileComment"] == "Sète"
    assert record.raw["RoiWidth"] == "3"
    assert record.raw["column_24"] == "0.1"
    assert record.metadata["volume_m3"] == pytest.approx(100 / 60 * 0.25e-6)


def test_columns_lie_where_the_header_says(tmp_path):
    header = b"ADCFileFormat: a,ROIheight,ROIwidth,start_byte,ROIx,ROIy"
    write_bin(tmp_path, V2, header=header, change=lambda _: ["1,2,3,4,5,6"], extra=b"0123456789")
    (record,) = read_all(tmp_path)
    np.testing.assert_array_equal(record.pixels(), np.frombuffer(b"456789", np.uint8).reshape(2, 3))


def change_field(place, text):
    """Change a field of the second line."""

    def change(lines):
        fields = lines[1].split(",")
        fields[place] = text
        return [lines[0], ",".join(fields), *lines[2:]]

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_field(15, "-4"), "the place of the image is not in positive whole numbers"),
        (change_field(16, "2.5"), "the place of the image is not in positive whole numbers"),
        (change_field(16, "inf"), "the place of the image is not in positive whole numbers"),
        (change_field(15, "wide"), "the place of the image is not in positive whole numbers"),
        (change_field(17, "-1"), "the place of the image is not in positive whole numbers"),
        (change_field(15, "40000"), "the image is too large"),
        (change_field(15, "1e300"), "the place of the image is not in positive whole numbers"),
        (change_field(17, "1000000000"), "the .roi is shorter than the .adc says"),
        (lambda lines: [lines[0], lines[1][:-15], lines[2]], "a ragged row"),
        (lambda lines: [lines[0], lines[1] + ",1", lines[2]], "a ragged row"),
    ],
)
def test_a_bad_line_stops_no_other(tmp_path, change, reason):
    images = [picture(3, 4), picture(3, 4), picture(3, 4)]
    write_bin(tmp_path, V2, images, change=change)
    records = read_all(tmp_path)
    assert [r.fault.partition(":")[0] for r in records] == ["", reason, ""]
    for number in (0, 2):
        np.testing.assert_array_equal(records[number].pixels(), images[number])
    assert records[1].origin == f"{V2}.adc:2"


def test_images_on_one_another_are_both_doubtful(tmp_path):
    images = [picture(3, 4), picture(3, 4), picture(3, 4)]
    write_bin(tmp_path, V2, images, change=change_field(17, "11"))
    faults = [r.fault for r in read_all(tmp_path)]
    assert faults[0].startswith("the bytes of the image are another's too: those of target 2")
    assert faults[1].startswith("the bytes of the image are another's too: those of target 1")
    assert faults[2] == ""


def test_a_roi_cut_short_costs_only_what_it_lacks(tmp_path):
    images = [picture(3, 4), picture(3, 4)]
    write_bin(tmp_path, V2, images, cut=1)
    good, bad = read_all(tmp_path)
    np.testing.assert_array_equal(good.pixels(), images[0])
    assert bad.fault == "the .roi is shorter than the .adc says: bytes 12 to 24 of 23"


def test_bytes_without_a_line_are_told_of(tmp_path):
    write_bin(tmp_path, V2, [picture(3, 4)], extra=bytes(100))
    good, told = read_all(tmp_path)
    assert not good.fault
    assert told.fault == "bytes of the .roi belong to no image: 100 of 112"
    write_bin(tmp_path, V2, [picture(3, 4)], extra=bytes(2))
    assert len(read_all(tmp_path)) == 1


@pytest.mark.parametrize(
    ("missing", "fault"),
    [(".roi", "the bin has no .roi: D20"), (".adc", "the bin has no .adc: D20")],
)
def test_a_bin_in_part_is_one_fault(tmp_path, missing, fault):
    write_bin(tmp_path, V2, [picture(2, 2), picture(2, 2)])
    (tmp_path / f"{V2}{missing}").unlink()
    (record,) = read_all(tmp_path)
    assert record.fault.startswith(fault)
    assert ifcb.recognise(Tree(tmp_path))


@pytest.mark.parametrize("name", [V1, V2])
def test_a_bin_without_header_is_read_its_volume_unknown(tmp_path, name):
    images = [picture(2, 3), picture(3, 2)]
    write_bin(tmp_path, name, images, header=None)
    records = read_all(tmp_path)
    assert all("volume_m3" not in r.metadata and not r.fault for r in records)
    np.testing.assert_array_equal(records[1].pixels(), images[1])


def test_a_bin_that_saw_nothing_is_no_fault(tmp_path):
    write_bin(tmp_path, V2, [None, None])
    write_bin(tmp_path, V1, [])
    tree = Tree(tmp_path)
    assert [part.rows for part in ifcb.parts(tree)] == [0, 0]
    assert read_all(tmp_path) == []


def test_a_bin_without_a_byte_is_a_fault(tmp_path):
    write_bin(tmp_path, V2, [], header=b"")
    (record,) = read_all(tmp_path)
    assert record.fault.startswith("the files of the bin are empty: ")


def test_a_second_copy_is_told_of_and_the_one_with_header_read(tmp_path):
    image = picture(2, 2)
    write_bin(tmp_path / "a", V2, [image], header=None)
    write_bin(tmp_path / "b", V2, [image])
    first, second = read_all(tmp_path)
    assert first.fault == f"the bin is there twice: b/{V2}.adc is read"
    assert second.metadata["volume_m3"]


@pytest.mark.parametrize("name", ["decoy", "D20201302T030405_IFCB107", "IFCB5_2013_366_081515", f"{V2}_00001"])
def test_what_is_named_otherwise_is_no_bin(tmp_path, name):
    write_bin(tmp_path / "x", name, [picture(2, 2)])
    assert ifcb.recognise(Tree(tmp_path)) == ""
    write_bin(tmp_path, V2, [picture(2, 2)])
    (tmp_path / "landscape.hdr").write_bytes(b"ENVI")
    good, bad = read_all(tmp_path)
    assert not good.fault
    assert bad.fault.startswith("the name is no IFCB bin's: ")


def test_an_adc_of_endless_lines_is_one_fault(tmp_path):
    write_bin(tmp_path, V2, change=lambda _: [""] * 1_000_001)
    (record,) = read_all(tmp_path)
    assert record.fault.startswith("the .adc is too long: ")


def test_a_roi_that_shrinks_after_the_listing_is_an_error_of_the_picture(tmp_path):
    write_bin(tmp_path, V2, [picture(3, 4)])
    (record,) = read_all(tmp_path)
    (tmp_path / f"{V2}.roi").write_bytes(b"1234")
    with pytest.raises(PictureError, match="it ends at byte 4 of 12"):
        record.pixels()


def test_endings_of_any_case(tmp_path):
    write_bin(tmp_path, V2, [picture(2, 2)])
    for file in list(tmp_path.iterdir()):
        file.rename(file.with_suffix(file.suffix.upper()))
    assert [r.fault for r in read_all(tmp_path)] == [""]


def test_a_large_bin_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(ifcb, "MAX_ROWS", 2)
    write_bin(tmp_path, V2, [picture(1, 2) for _ in range(5)])
    assert [part.rows for part in ifcb.parts(Tree(tmp_path))] == [2, 2, 1]
    assert [r.metadata["object_id"][-1] for r in read_all(tmp_path)] == ["1", "2", "3", "4", "5"]


def cut(scene, box):
    x, y, width, height = box
    return scene[y : y + height, x : x + width]


def write_pairs(folder, scene, boxes, triggers, *, name=V1):
    """Write a bin of pieces of one scene."""
    line, roi, lines = (line_v1 if name == V1 else line_v2), b"\0", []
    for trigger, box in zip(triggers, boxes, strict=True):
        piece = cut(scene, box)
        lines.append(line(trigger, piece, len(roi), x=box[0], y=box[1]))
        roi += piece.tobytes()
    write_bin(folder, name, change=lambda _: lines)
    (folder / f"{name}.roi").write_bytes(roi + b"\0")


SCENE = np.add.outer(np.arange(60) * 3, np.arange(70)).astype(np.uint8)


def test_a_pair_that_makes_a_rectangle_is_the_scene_again(tmp_path):
    write_pairs(tmp_path, SCENE, [(5, 10, 20, 30), (15, 10, 40, 30)], [1, 1])
    (record,) = read_all(tmp_path)
    np.testing.assert_array_equal(record.pixels(), SCENE[10:40, 5:55])
    assert record.raw["ifcb_target"] == "1"
    assert record.raw["ifcb_second_target"] == "2"
    assert record.raw["ifcb_second_roiX"] == "15"


@pytest.mark.parametrize("boxes", [[(5, 10, 20, 9), (12, 15, 30, 20)], [(12, 15, 30, 20), (5, 10, 20, 9)]])
def test_corners_that_no_piece_covers_are_the_mean_beside_them(tmp_path, boxes):
    write_pairs(tmp_path, SCENE, boxes, [1, 1])
    (record,) = read_all(tmp_path)
    pixels = record.pixels()
    assert pixels.shape == (25, 37)
    assert (record.metadata["aux_roi_x"], record.metadata["aux_roi_y"]) == (5, 10)
    covered = np.zeros((60, 70), bool)
    for x, y, width, height in boxes:
        covered[y : y + height, x : x + width] = True
    covered, truth = covered[10:35, 5:42], SCENE[10:35, 5:42]
    np.testing.assert_array_equal(pixels[covered], truth[covered])
    # Independently, one pixel after the other.
    border = [
        int(truth[r, c])
        for r, c in np.argwhere(covered)
        for steps in [[(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)]]
        if any(0 <= i < 25 and 0 <= j < 37 and not covered[i, j] for i, j in steps)
    ]
    assert set(pixels[~covered]) == {round(sum(border) / len(border))}


@pytest.mark.parametrize(
    ("boxes", "triggers", "name"),
    [
        ([(5, 10, 20, 20), (15, 10, 20, 20)], [1, 2], V1),  # two triggers
        ([(5, 10, 20, 20), (23, 10, 20, 20)], [1, 1], V1),  # two pixels
        ([(5, 10, 20, 20), (15, 40, 20, 20)], [1, 1], V1),  # apart
        ([(5, 10, 20, 20), (15, 10, 20, 20)], [1, 1], V2),  # an instrument that takes no pairs
    ],
)
def test_others_are_left_alone(tmp_path, boxes, triggers, name):
    write_pairs(tmp_path, SCENE, boxes, triggers, name=name)
    for record, box in zip(read_all(tmp_path), boxes, strict=True):
        np.testing.assert_array_equal(record.pixels(), cut(SCENE, box))


def test_three_pixels_are_enough_and_the_third_piece_is_not_lost(tmp_path):
    write_pairs(tmp_path, SCENE, [(5, 10, 20, 20), (22, 10, 20, 20), (30, 10, 20, 20)], [1, 1, 1])
    pair, third = read_all(tmp_path)
    np.testing.assert_array_equal(pair.pixels(), SCENE[10:30, 5:42])
    np.testing.assert_array_equal(third.pixels(), SCENE[10:30, 30:50])
    assert third.metadata["object_id"].endswith("_00003")


def test_a_small_file_makes_no_huge_picture(tmp_path):
    images = [np.zeros((3, 30_000), np.uint8), np.zeros((30_000, 3), np.uint8)]
    write_bin(tmp_path, V1, images, change=lambda lines: [line.replace("2,.3", "1,.3") for line in lines])
    assert [r.pixels().shape for r in read_all(tmp_path)] == [(3, 30_000), (30_000, 3)]


@given(st.tuples(*[st.integers(1, 9)] * 4), st.integers(-6, 8), st.integers(-6, 8))
def test_stitching_covers_both_pieces(sizes, right, down):
    one, other = np.full(sizes[:2], 1, np.uint8), np.full(sizes[2:], 3, np.uint8)
    joined = stitch(one, other, right=right, down=down)
    assert joined.shape[0] == max(sizes[0], down + sizes[2]) - min(0, down)
    assert joined.shape[1] == max(sizes[1], right + sizes[3]) - min(0, right)
    assert (joined == 3).sum() >= other.size
    assert pair_targets([]) == []


# --- real bins -------------------------------------------------------------------------------------------------------


def by_bin(records):
    found = {}
    for record in records:
        found.setdefault(record.metadata.get("sample_id", record.origin), []).append(record)
    return found


@pytest.fixture(scope="module")
def real(shared_data):
    return by_bin(read_all(shared_data / "images" / "joefutrelle+pyifcb"))


@pytest.fixture(scope="module")
def real_too(shared_data):
    name = "images/EuropeanIFCBGroup+iRfcb/tests/testthat/test_data/test_data.zip"
    return by_bin(read_all(shared_data / name))


def test_real_counts(real, real_too):
    """Targets as the authors of these files publish them."""
    numbers = {name: [int(r.metadata["object_id"][-5:]) for r in rs if not r.fault] for name, rs in real.items()}
    assert numbers.pop("IFCB5_2012_028_081515") == [1, 2, 3, 5, 6]
    targets = [7, 11, 13, 21, 32, 33, 47, 49, 54, 61, 66, 68, 73, 78, 80, 92, 99, 102, 114]
    assert numbers.pop("D20130526T095207_IFCB013") == targets
    assert len(numbers) == 4  # the decoy, the one without .roi, the two without a byte
    assert not any(numbers.values())
    assert {name.rpartition("/")[2]: [bool(r.fault) for r in rs] for name, rs in real_too.items()} == {
        "D20220522T000439_IFCB134.adc": [True],
        "D20220522T003051_IFCB134": [False, False],
        "D20230810T113059_IFCB134.adc": [True],
    }


def test_real_pixels(real):
    """Corners and pieces of images as published with these files, a stitched one with its filled corners among them."""
    corners = np.s_[[0, 0, -1, -1], [0, -1, 0, -1]]
    old = {r.metadata["object_id"][-1]: r.pixels() for r in real["IFCB5_2012_028_081515"] if not r.fault}
    assert {key: old[key][corners].tolist() for key in old} == {
        "1": [208, 204, 205, 205],
        "2": [205, 199, 203, 197],
        "3": [210, 203, 207, 203],
        "5": [210, 209, 212, 209],
        "6": [212, 206, 209, 208],
    }
    assert old["3"].shape == (86, 263)
    (new,) = (r.pixels() for r in real["D20130526T095207_IFCB013"] if r.metadata["object_id"].endswith("99"))
    assert new.shape == (34, 64)
    assert new[:2, :5].tolist() == [[172, 168, 172, 166, 171], [168, 170, 172, 171, 170]]


def test_real_images_are_smooth_row_by_row(real, real_too):
    """Read the wrong way round, lines of pixels are torn: neighbours differ several times as much."""
    records = [r for rs in (*real.values(), *real_too.values()) for r in rs if not r.fault]
    assert len(records) == 26
    for record in records:
        image = record.pixels().astype(int)
        torn = image.reshape(image.shape[::-1])
        assert 2 * np.abs(np.diff(image, axis=0)).mean() < np.abs(np.diff(torn, axis=0)).mean()


def test_real_volumes(real, real_too):
    old, new = real["IFCB5_2012_028_081515"], real["D20130526T095207_IFCB013"]
    (volume,) = {r.metadata["volume_m3"] for r in old if not r.fault}
    assert volume == pytest.approx(0.003391470833333334e-6)
    # The header's run time, 1231.02 s, is not the last trigger's, 1184.037103 s; its inhibit time is.
    assert new[0].metadata["volume_m3"] == pytest.approx((1184.037103 - 11.622980) / 60 * 0.25e-6)
    newest = real_too["D20220522T003051_IFCB134"]
    assert newest[0].metadata["volume_m3"] == pytest.approx((715.6575 - 0.15215060763888888) / 60 * 0.25e-6)


# --- anything at all -------------------------------------------------------------------------------------------------


def mutate(content, at, new, keep):
    at = at % (len(content) + 1)
    return content[:at] + new + content[at + keep :]


@settings(max_examples=100)
@given(
    st.sampled_from([V1, V2]),
    st.sampled_from([".adc", ".hdr", ".roi"]),
    st.integers(0, 2**16),
    st.binary(max_size=12) | st.sampled_from([b",", b"\n", b"\0", b"-1", b"9" * 400, b"1e999", b'"']),
    st.integers(0, 40),
    st.booleans(),
)
def test_nothing_breaks_it(tmp_path_factory, name, ending, at, new, keep, is_whole):
    folder = tmp_path_factory.mktemp("fuzz")
    header = HEADER + b"ADCFileFormat: " + b",".join(b"c%d" % i for i in range(24))
    write_bin(folder, name, [np.full((3, 4), 9, np.uint8), None, np.full((2, 2), 7, np.uint8)], header=header)
    file = folder / f"{name}{ending}"
    file.write_bytes(new if is_whole else mutate(file.read_bytes(), at, new, keep))
    try:
        assert ifcb.recognise(Tree(folder))
        records = read_all(folder)
    except SchemaError:
        return
    for record in records:
        if record.fault:
            assert ": " in record.fault
        else:
            assert record.pixels().dtype == np.uint8
