"""Published sets: a real server on this machine, with archives of the shape of the true ones."""

import csv
import gzip
import hashlib
import io
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest
from filelock import FileLock

from aqqua_science.connections import check_room
from aqqua_science.images import ingest
from aqqua_science.sources import published
from aqqua_science.sources.archives import unpack
from aqqua_science.sources.instruments import instrument_name
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.recognition import recognise_format

NOWHERE = {"time": "2020-01-01", "latitude": 0, "longitude": 0, "depth": 10, "pixel_size_um": 50}
TAXA = {"Calanoida": "Copepoda", "like<Copepoda": "Copepoda", "t004": "t004", "Creseis acicula": "Mollusca"}
"""Names that true sets have, and their coarser ones."""


def drawn(number):
    return np.full((4, 5 + number % 3), 10 + number, np.uint8)


def objects(count=12):
    """(objid, taxon) as a set may have them."""
    return [(31_000_000 + i, list(TAXA)[i % len(TAXA)]) for i in range(count)]


def seanoe_files(*, columns=None):
    """Name -> content of an archive of SEANOE; its table says otherwise than folders where they cannot say it."""
    header = ["objid", "taxon_level1", "lineage_level1", "taxon_level2", "plankton", "set", "img_path"]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(columns or header)
    files = {}
    for number, (objid, taxon) in enumerate(objects()):
        path = f"imgs/{taxon}/{objid}.png"
        files[path] = encode_png(drawn(number))
        writer.writerow([objid, taxon, f"/living/{taxon}", TAXA[taxon], taxon != "t004", "train", path])
    files["taxa.csv.gz"] = gzip.compress(table.getvalue().encode())
    files["features_native.csv.gz"] = gzip.compress(b"objid,area\n31000000,5\n")
    files["inventory.tsv"] = b"lineage_level1\ttaxon_level1\tn\n/living/Calanoida\tCalanoida\t3\n"
    files["map.png"] = encode_png(np.zeros((9, 9), np.uint8))
    return files


def as_tar(files, *, mode="w", links=()):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in links:
            archive.addfile(info)
    return stream.getvalue()


def as_zip(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture
def publish(publisher, tmp_path, monkeypatch):
    """Serve archives of a set, and write a catalogue that says so."""

    def serve(name, archives, *, sha256=None):
        catalogue = tmp_path / "published_files.csv"
        rows = [
            (name, file, f"{publisher.url}/{file}", sha256 or hashlib.sha256(content).hexdigest())
            for file, content in archives.items()
        ]
        catalogue.write_text("name,file,url,sha256\n" + "".join(",".join(row) + "\n" for row in rows))
        monkeypatch.setattr(published, "_FILES", catalogue)
        publisher.files = {f"/data/{file}": content for file, content in archives.items()}
        return {"to": tmp_path / "sets", "wait_s": 0.001}

    return serve


@pytest.fixture
def one_set(publish):
    """A set of one tar, with noise that makes it some megabytes."""
    noise = np.random.default_rng(0).bytes(3_000_000)
    content = as_tar({f"UVPNet/{name}": data for name, data in seanoe_files().items()} | {"UVPNet/noise.bin": noise})
    return content, publish("UVP6", {"1.tar": content})


def contents(folder):
    """All files of a folder but the lock."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if not name.endswith(".lock")}


def taxa_of(store):
    return dict(zip(store.table["object_id"], store.table["taxon"], strict=True))


def test_the_catalogue_has_the_six_sets():
    sets = published.list_sets()
    counts = {"FlowCam": 301_247, "ISIIS": 408_166, "UVP6": 634_459, "ZooCam": 1_286_590, "ZooScan": 1_451_745}
    assert sets["images"].drop("IFCB").to_dict() == counts
    assert sets["images"]["IFCB"] >= 3_400_000
    assert sets["doi"].str.fullmatch(r"10\.\d+/[\d/]+").all()
    assert [instrument_name(name) for name in sets["instrument"]] == sets["instrument"].tolist()
    assert sets["licence"].drop("IFCB").str.startswith("CC BY").all()
    assert (sets[["page", "citation", "title"]] != "").all(axis=None)


@pytest.mark.parametrize("name", published.list_sets().index)
def test_the_catalogue_has_the_archives_of_each_set(name):
    files = published.list_files(name)
    assert len(files) == (9 if name == "IFCB" else 1)
    assert files["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert files["sha256"].is_unique
    assert files["url"].str.startswith("https://").all()
    if name != "IFCB":
        doi, page = published.list_sets().loc[name, ["doi", "page"]]
        assert page.rstrip("/").endswith(doi.removeprefix("10.17882/"))
        assert files["url"][0] == f"{page}data/{files['file'][0]}"


@pytest.mark.parametrize("name", ["FlowCam", "ISIIS", "UVP6", "ZooCam", "ZooScan"])
@pytest.mark.parametrize("top", ["", "SomeNet/"])
def test_a_set_of_seanoe_is_ingested_with_its_labels(publish, name, top):
    where = publish(name, {"1.tar": as_tar({top + file: content for file, content in seanoe_files().items()})})
    folder = published.download(name, **where)
    assert folder == where["to"] / name
    assert recognise_format(folder)[0] == "folder"
    about = published.list_sets().loc[name]
    defaults = NOWHERE | {"instrument": about["instrument"], "licence": about["licence"]}
    store = ingest(folder, folder.parent / "store", defaults=defaults, citation=about["citation"])
    assert taxa_of(store) == {str(objid): taxon for objid, taxon in objects()}
    assert set(store.table["taxon_status"]) == {"validated"}
    assert len(store.rejected) == 0
    images = {store.table["object_id"].iloc[row]: store[row] for row in range(len(store))}
    for number, (objid, _) in enumerate(objects()):
        np.testing.assert_array_equal(images[str(objid)], drawn(number))


def test_the_years_of_ifcb_make_one_set(publish):
    labels = ["Chaetoceros_didymus", "dino30", "other_interaction"]
    archives, truth = {}, {}
    for year in (2006, 2007):
        names = {f"IFCB1_{year}_0{i}0_152345_0000{i}": label for i, label in enumerate(labels, start=1)}
        pictures = {f"{year}/{label}/{roi}.png": encode_png(drawn(i)) for i, (roi, label) in enumerate(names.items())}
        truth |= {f"{year}/{label}/{roi}": label for roi, label in names.items()}
        archives[f"{year}.zip"] = as_zip(pictures)
    where = publish("IFCB", archives)
    folder = published.download("IFCB", **where)
    store = ingest(folder, folder.parent / "store", defaults=NOWHERE | {"instrument": "IFCB", "licence": "unknown"})
    assert taxa_of(store) == truth


def test_a_table_that_is_not_known_leaves_folders_that_are(publish):
    columns = ["objid", "taxon", "lineage", "group", "plankton", "set", "file"]
    where = publish("ZooScan", {"1.tar": as_tar(seanoe_files(columns=columns))})
    folder = published.download("ZooScan", **where)
    assert not (folder / published.TABLE).exists()
    assert {path.name for path in (folder / "imgs").iterdir()} == set(TAXA)


def test_a_set_that_is_there_is_left_alone(publisher, one_set):
    _, where = one_set
    folder = published.download("UVP6", **where)
    before, asked = contents(where["to"]), list(publisher.asked)
    assert published.download("UVP6", **where) == folder
    assert contents(where["to"]) == before
    assert publisher.asked == asked
    assert not [name for name in before if ".part" in name]


def test_a_killed_download_asks_for_the_rest_alone(publisher, one_set, tmp_path):
    content, where = one_set
    publisher.stall_after = 2_000_000
    program = (
        "import sys; from pathlib import Path; from aqqua_science.sources import published; "
        "published._FILES = Path(sys.argv[1]); published.download('UVP6', to=sys.argv[2])"
    )
    child = subprocess.Popen([sys.executable, "-c", program, published._FILES, where["to"]])
    part = where["to"] / "1.tar.part"
    while not part.exists() or not part.stat().st_size:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    have = part.stat().st_size
    assert not (where["to"] / "UVP6").exists()
    publisher.stall_after, publisher.sent = None, 0
    folder = published.download("UVP6", **where)
    assert 0 < have <= 2_000_000
    assert publisher.asked == [("/data/1.tar", 0), ("/data/1.tar", have)]
    assert publisher.sent == len(content) - have
    assert (where["to"] / "1.tar").read_bytes() == content
    assert (folder / published.TABLE).exists()


def test_a_line_that_breaks_is_taken_up_within_the_call(publisher, one_set):
    content, where = one_set
    # It breaks, is busy, and breaks again.
    publisher.moods = [399, 503, 250, None]
    published.download("UVP6", **where)
    starts = [start for _, start in publisher.asked]
    assert starts == sorted(starts)
    assert len(starts) == 4
    assert (where["to"] / "1.tar").read_bytes() == content


def test_a_part_that_is_whole_is_not_fetched_again(publisher, one_set):
    content, where = one_set
    where["to"].mkdir()
    (where["to"] / "1.tar.part").write_bytes(content)
    published.download("UVP6", **where)
    assert publisher.asked == [("/data/1.tar", len(content))]
    assert publisher.sent == 0


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_part_of_another_length_is_begun_anew(publisher, one_set, has_ranges):
    content, where = one_set
    publisher.has_ranges = has_ranges
    where["to"].mkdir()
    (where["to"] / "1.tar.part").write_bytes(content + b"more")
    published.download("UVP6", **where)
    assert (where["to"] / "1.tar").read_bytes() == content


def test_an_address_that_has_moved_is_followed(publisher, one_set):
    content, where = one_set
    publisher.moods = [f"{publisher.url}/1.tar"]
    published.download("UVP6", **where)
    assert (where["to"] / "1.tar").read_bytes() == content


def test_another_checksum_than_published_is_refused_and_the_file_kept(publish, publisher):
    content = as_tar(seanoe_files())
    where = publish("UVP6", {"1.tar": content}, sha256="0" * 64)
    found = hashlib.sha256(content).hexdigest()
    for _ in range(2):
        with pytest.raises(OSError, match=rf"SHA-256 {found}, but 0{{64}} is published.*verify=False"):
            published.download("UVP6", **where)
    assert set(contents(where["to"])) == {"1.tar"}
    assert len(publisher.asked) == 1
    published.download("UVP6", verify=False, **where)
    note = where["to"] / "1.tar.sha256"
    assert note.read_text() == f"{found}  1.tar\n"


def test_an_archive_that_has_changed_since_it_came_is_refused(publish):
    content = as_tar(seanoe_files())
    where = publish("UVP6", {"1.tar": content})
    folder = published.download("UVP6", **where)
    folder.rename(folder.with_name("elsewhere"))
    (where["to"] / "1.tar").write_bytes(content + bytes(512))
    with pytest.raises(OSError, match=r"had [0-9a-f]{64} when it came \(1.tar.sha256\)"):
        published.download("UVP6", verify=False, **where)
    (where["to"] / "1.tar").write_bytes(content)
    assert published.download("UVP6", verify=False, **where) == folder


def test_what_is_not_there_is_told_with_the_way_by_hand(publisher, one_set):
    _, where = one_set
    publisher.files = {}
    by_hand = r"download the file by hand from https://www.seanoe.org/data/00908/101948/ and put it as 1.tar into "
    with pytest.raises(FileNotFoundError, match=rf"/data/1.tar answers 404, Not Found\. Run it again.*{by_hand}"):
        published.download("UVP6", **where)
    assert contents(where["to"]) == {}


@pytest.mark.parametrize(
    ("moods", "kind", "error", "message"),
    [
        ([403], "application/x-tar", OSError, "answers 403, Forbidden"),
        ([503] * 6, "application/x-tar", ConnectionError, "failed 6 times.*it is busy"),
        ([], "text/html; charset=utf-8", OSError, "a web page instead of the file"),
    ],
)
def test_a_refusal_is_told(publisher, one_set, moods, kind, error, message):
    _, where = one_set
    publisher.moods, publisher.kind = moods, kind
    with pytest.raises(error, match=rf"{message}.*by hand"):
        published.download("UVP6", **where)


def test_nobody_at_home(one_set):
    _, where = one_set
    with pytest.raises(ConnectionError, match=r"127.0.0.1:9/1.tar has failed 6 times.*by hand"):
        published.download("UVP6", mirror="http://127.0.0.1:9", **where)


def test_a_disk_without_room_is_told_before_anything_comes(publisher, one_set):
    _, where = one_set
    publisher.extra = 10**17
    with pytest.raises(OSError, match=r"has room for [\d.]+ GB, but 100000000.0 GB are to come"):
        published.download("UVP6", **where)
    assert contents(where["to"]) == {}
    with pytest.raises(OSError, match="Free some"):
        check_room(where["to"], 10**18)


def test_a_mirror_is_asked_instead(publish, publisher, one_set, tmp_path):
    content, where = one_set
    publisher.files = {"/copy/1.tar": content}
    published.download("UVP6", mirror=f"{publisher.url.removesuffix('data')}copy/", **where)
    assert publisher.asked == [("/copy/1.tar", 0)]


def test_a_folder_is_a_mirror_and_is_read_where_it_lies(publisher, one_set, tmp_path):
    content, where = one_set
    (tmp_path / "disk").mkdir()
    with pytest.raises(FileNotFoundError, match=r"the mirror .*disk has no 1.tar"):
        published.download("UVP6", mirror=tmp_path / "disk", **where)
    (tmp_path / "disk" / "1.tar").write_bytes(content)
    folder = published.download("UVP6", mirror=tmp_path / "disk", **where)
    assert (folder / published.TABLE).exists()
    assert not (where["to"] / "1.tar").exists()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["1.tar"]
    assert publisher.asked == []


def test_a_file_downloaded_by_hand_is_taken(publisher, one_set):
    content, where = one_set
    where["to"].mkdir()
    (where["to"] / "1.tar").write_bytes(content)
    folder = published.download("UVP6", **where)
    assert (folder / published.TABLE).exists()
    assert publisher.asked == []


def test_what_is_no_labelled_image_lies_beside_the_set(one_set):
    _, where = one_set
    folder = published.download("UVP6", **where)
    assert {path.name for path in folder.iterdir()} == {*TAXA, published.TABLE}
    rest = where["to"] / "UVP6-rest" / "UVPNet"
    files = ["features_native.csv.gz", "inventory.tsv", "map.png", "noise.bin", "taxa.csv.gz"]
    assert sorted(path.name for path in rest.iterdir()) == files


def test_what_an_interrupted_unpacking_left_is_dropped(one_set):
    _, where = one_set
    stale = where["to"] / "UVP6-rest" / "UVPNet" / "imgs" / "Calanoida" / "half.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half")
    published.download("UVP6", **where)
    assert not list(where["to"].rglob("half.png"))


def test_two_at_a_time_are_one_too_many(one_set):
    _, where = one_set
    where["to"].mkdir()
    with FileLock(where["to"] / ".UVP6.lock"), pytest.raises(OSError, match="another process downloads UVP6"):
        published.download("UVP6", **where)


def test_a_set_of_no_name_is_told():
    with pytest.raises(ValueError, match=r"no published set 'zooscan'. Did you mean 'ZooScan'\?"):
        published.list_files("zooscan")


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


OUTSIDE = ["../outside.png", "imgs/../../outside.png", "/tmp/outside.png", "..\\outside.png", "C:/outside.png"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [as_zip, as_tar])
def test_nothing_is_unpacked_outside_the_folder(publish, tmp_path, name, make):
    where = publish("UVP6", {"1.tar": make(seanoe_files() | {name: b"evil"})})
    with pytest.raises(ValueError, match=re.escape(repr(name)) + ", which leads out of the folder"):
        published.download("UVP6", **where)
    assert not list(tmp_path.rglob("outside.png"))
    assert not (where["to"] / "UVP6").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = tmp_path / "a.tar"
    archive.write_bytes(as_tar({"a.png": b"a"}, links=[link("b.png", kind, "/etc/passwd")]))
    with pytest.raises(ValueError, match=r"'b\.png', which is a link or a device"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a.png": b"a"}


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("b.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match=r"'b\.png', which is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.xz"])
def test_each_kind_of_archive_is_unpacked_whole(tmp_path, suffix):
    files = {f"imgs/{i}/{'n' * 120}.bin": bytes([i]) * 700 * i for i in range(20)}
    modes = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz"}
    content = as_zip(files) if suffix == "zip" else as_tar(files, mode=modes[suffix])
    (tmp_path / f"a.{suffix}").write_bytes(content)
    unpack(tmp_path / f"a.{suffix}", tmp_path / "out")
    assert contents(tmp_path / "out") == files


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    files = {"a.png": b"a", "b.zip": as_zip({"c.png": b"c"})}
    (tmp_path / "a.tar").write_bytes(as_tar(files))
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert contents(tmp_path / "out") == files


def damaged(content, kind):
    if kind == "short":
        return content[: len(content) // 2]
    middle = len(content) // 2 // 512 * 512
    return content[:middle] + b"\xff" * 512 + content[middle + 512 :]


@pytest.mark.parametrize("kind", ["short", "overwritten"])
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_a_damaged_archive_is_told(tmp_path, suffix, kind):
    """Every second block of this tar is a header, and the middle is one."""
    files = {f"{i:03}.bin": np.random.default_rng(i).bytes(512) for i in range(100)}
    content = {"zip": as_zip, "tar": as_tar, "tar.gz": lambda f: as_tar(f, mode="w:gz")}[suffix](files)
    archive = tmp_path / f"a.{suffix}"
    archive.write_bytes(damaged(content, kind))
    with pytest.raises(OSError, match="download it again"):
        unpack(archive, tmp_path / "out")


def test_what_is_no_archive_is_told(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"<html>maintenance</html>")
    with pytest.raises(OSError, match="neither a zip nor a tar"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_a_damaged_table_of_labels_is_told(publish):
    files = seanoe_files()
    files["taxa.csv.gz"] = files["taxa.csv.gz"][:-20]
    where = publish("UVP6", {"1.tar": as_tar(files)})
    with pytest.raises(OSError, match=r"taxa.csv.gz in the archive is damaged"):
        published.download("UVP6", **where)
