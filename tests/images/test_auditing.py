"""Audits of stores with planted faults: every one is found, and nothing else."""

import html.parser
import io
import struct

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from aqqua_science.images import audit, ingest
from aqqua_science.images.audit_page import _round_length, write_audit_page
from aqqua_science.images.auditing import KINDS
from aqqua_science.images.metadata_checks import measure_completeness
from aqqua_science.images.picture_checks import find_flaws, to_levels
from aqqua_science.images.shards import close_readers, read_encoded
from aqqua_science.sources.pictures import decode, encode_png

NOW = "2025-01-01"
N_PLAIN = 80


def draw(rng):
    """An organism of its own shape and texture on a bright, slightly noisy background."""
    height, width = rng.integers(40, 90, 2)
    y, x = np.mgrid[:height, :width]
    turn, length, breadth = rng.uniform(0, np.pi), rng.uniform(0.25, 0.4) * min(height, width), rng.uniform(0.3, 0.8)
    u = (x - width / 2) * np.cos(turn) + (y - height / 2) * np.sin(turn)
    v = (y - height / 2) * np.cos(turn) - (x - width / 2) * np.sin(turn)
    body = 1 / (1 + np.exp(4 * (np.hypot(u, v / breadth) - length) / 3))
    texture = gaussian_filter(rng.normal(size=(height, width)), 1.5) * 90
    image = 225 - body * (120 + texture) + rng.normal(0, 1.5, (height, width))
    return image.clip(3, 250).astype(np.uint8)


def jpeg(image, quality=90):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def with_bar(image, *, top=False, thick=2, ink=0, margin=5):
    strip = np.full((14, image.shape[1]), 255 - ink, dtype=np.uint8)
    strip[margin : margin + thick, 4:30] = ink
    strip[margin + 3 : margin + 6, 8:10] = ink
    return np.concatenate([strip, image] if top else [image, strip])


def write_bundle(folder, images, rows):
    """An EcoTaxa table with its images; each image is an array, or an encoded file."""
    folder.mkdir(parents=True)
    names = ["img_file_name", "object_id", "object_lat", "object_lon", "object_date", "object_time"]
    names += ["object_depth_min", "object_depth_max", "object_um", "object_water", "acq_id", "acq_instrument"]
    lines = ["\t".join(names), "\t".join("[t]" for _ in names)]
    for i, (image, row) in enumerate(zip(images, rows, strict=True)):
        file = f"{i:04d}.jpg" if isinstance(image, bytes) else f"{i:04d}.png"
        (folder / file).write_bytes(image if isinstance(image, bytes) else encode_png(image))
        good = {"object_id": f"object {i}", "object_lat": 54.2, "object_lon": 7.9, "object_date": "20240501"}
        good |= {"object_time": "091500", "object_depth_min": 4, "object_depth_max": 6, "object_um": 50}
        good |= {"img_file_name": file, "acq_id": "a", "acq_instrument": "cpics", "object_water": "sea", **row}
        lines.append("\t".join(str(good[name]) for name in names))
    (folder / "ecotaxa_table.tsv").write_text("\n".join(lines) + "\n", "utf-8-sig")
    return folder


def ingest_bundle(bundle, to, **options):
    defaults = {"licence": "CC0-1.0", "surface_altitude_m": 10}
    columns = {"pixel_size_um": "object_um", "water": "object_water"}
    return ingest(bundle, to, format="ecotaxa", defaults=defaults, columns=columns, **options)


def on_land(longitude, latitude):
    """A continent north of 60 degrees."""
    assert np.all(np.abs(longitude) <= 180)
    return latitude > 60


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A store of plain images with faults among them, and the truth as {(kind, row)}."""
    rng = np.random.default_rng(11)
    images, rows, truth = [draw(rng) for _ in range(N_PLAIN)], [{} for _ in range(N_PLAIN)], set()

    def plant(kind, image=None, **row):
        truth.update({(kind, len(images))} if kind else set())
        images.append(draw(rng) if image is None else image)
        rows.append(row)

    base = [draw(rng) for _ in range(12)]
    for image in base:
        plant(None, image)
    plant("blank", np.full((50, 60), 128, dtype=np.uint8))
    plant("blank", rng.integers(200, 204, (50, 60), dtype=np.uint8))
    clipped = draw(rng)
    clipped[10:30, 10:35] = 255
    plant("saturated", clipped)
    plant("saturated", np.where(draw(rng) < 150, 0, 230).astype(np.uint8))
    plant("duplicate", base[0])
    plant("duplicate", base[0])
    plant("near-duplicate", np.roll(base[1], 1, axis=1))
    plant("near-duplicate", (base[2].astype(int) + 5).clip(0, 255).astype(np.uint8))
    plant("near-duplicate", jpeg(base[3]))
    plant("near-duplicate", base[4][1:, 1:])
    plant(None, base[5][:, ::-1])
    plant(None, base[6][::-1])
    plant("scale-bar", with_bar(draw(rng)))
    plant("scale-bar", with_bar(draw(rng), top=True))
    plant("scale-bar", with_bar(255 - draw(rng), ink=255, thick=1))
    plant("size-outlier", object_um=50_000)
    plant("size-outlier", object_um=0.05)
    plant("on-land", object_lat=61)
    plant(None, object_lat=61, object_water="lake")
    plant("zero-position", object_lat=0, object_lon=0)
    plant(None, object_lat=0, object_lon=3)
    plant("impossible-depth", object_depth_min=30, object_depth_max=10)
    plant("impossible-depth", object_depth_min=1800, object_depth_max=1900, object_water="lake")
    plant("impossible-time", object_date="20990101")
    plant("impossible-time", object_date="19990101")
    plant(None, object_date="19990101", acq_instrument="zooscan")
    folder = tmp_path_factory.mktemp("planted")
    store = ingest_bundle(write_bundle(folder / "first", images, rows), folder / "store")
    assert len(store) == len(images)
    others = [draw(rng), draw(rng)]
    write_bundle(folder / "second", others, [{"object_id": "object 3", "object_time": "0000"}, {"object_time": "0000"}])
    truth |= {("repeated-id", len(store)), ("repeated-id", len(store) + 1)}
    return ingest_bundle(folder / "second", folder / "store", contributors=["Ann <b>"]), truth


@pytest.fixture(scope="module")
def findings(planted):
    return audit(planted[0], land=on_land, now=NOW)


def test_every_planted_fault_is_found_and_nothing_else(planted, findings):
    found = {(kind, row) for kind, row in findings[["kind", "row"]].itertuples(index=False) if not pd.isna(row)}
    assert found == planted[1]
    assert len(findings) == len(found) + 1


def test_a_finding_says_of_which_image_and_why(planted, findings):
    store, _ = planted
    image = findings[findings["row"].notna()]
    assert image["object_id"].tolist() == store.table["object_id"].loc[image["row"].astype(int)].tolist()
    assert image["source"].tolist() == store.table["source"].loc[image["row"].astype(int)].tolist()
    assert findings["detail"].str.len().gt(20).all()
    assert findings["kind"].map(list(KINDS).index).is_monotonic_increasing
    resembled = findings.loc[findings["kind"].isin(["duplicate", "near-duplicate"]), "other"].tolist()
    assert resembled == [N_PLAIN + i for i in (0, 0, 1, 2, 3, 4)]


def test_a_source_of_midnights_is_noted(findings):
    (note,) = findings[findings["kind"] == "midnight"].to_dict("records")
    assert note["source"] == "second"
    assert pd.isna(note["row"])
    assert pd.isna(note["object_id"])


def test_without_a_land_mask_positions_are_not_looked_up(planted):
    assert "on-land" not in set(audit(planted[0], now=NOW)["kind"])


def test_an_equal_hash_alone_is_no_duplicate(planted):
    """The pixel hash says that values are equal, not that they stand in the same shape."""
    store, _ = planted
    folder = store.path.parent / "shapes"
    image = np.arange(3000).reshape(50, 60).astype(np.uint8)
    bundle = write_bundle(folder / "bundle", [image, image.reshape(60, 50)], [{}, {}])
    other = ingest_bundle(bundle, folder / "store")
    assert other.table["pixel_hash"].nunique() == 1
    assert "duplicate" not in set(audit(other, now=NOW)["kind"])


def test_a_damaged_image_does_not_stop_the_rest(tmp_path):
    rng = np.random.default_rng(0)
    images = [draw(rng), np.full((50, 50), 9, dtype=np.uint8), draw(rng)]
    store = ingest_bundle(write_bundle(tmp_path / "bundle", images, [{}, {}, {}]), tmp_path / "store")
    (file,) = (tmp_path / "store" / "images").iterdir()
    encoded, content = bytes(read_encoded(str(file), 2)), file.read_bytes()
    assert content.count(encoded) == 1
    file.write_bytes(content.replace(encoded, encoded[:12] + b"\xff" * (len(encoded) - 12)))
    close_readers(tmp_path)
    findings = audit(store, now=NOW)
    assert findings[["kind", "row"]].to_numpy().tolist() == [["unreadable", 2], ["blank", 1]]
    write_audit_page(findings, store, tmp_path / "page.html")
    assert "cannot be shown" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_store_without_faults_has_no_findings(tmp_path):
    rng = np.random.default_rng(0)
    store = ingest_bundle(write_bundle(tmp_path / "bundle", [draw(rng), draw(rng)], [{}, {}]), tmp_path / "store")
    findings = audit(store, land=on_land, now=NOW)
    assert findings.empty
    assert {"kind", "row", "object_id", "source", "detail"} <= {*findings.columns}
    write_audit_page(findings, store, tmp_path / "page.html")
    assert "data:image" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_an_empty_store_has_no_findings(planted, tmp_path):
    empty = planted[0].subset([], to=tmp_path / "empty")
    findings = audit(empty, land=on_land)
    assert findings.empty
    assert {"kind", "row", "object_id", "source", "detail"} <= {*findings.columns}
    write_audit_page(findings, empty, tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_levels_know_the_camera(bits):
    image = np.array([[0, 2**bits - 1, 2 ** (bits - 1)]], dtype=np.uint16)
    (dark, full, half) = to_levels(image)[0].tolist()
    assert (dark, full) == (0, 255)
    assert half in (127, 128)
    assert to_levels(image // 4, bits).max() == (63 if bits < 16 else 255)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4), (5, 7, 9), (1, 1)])
def test_levels_of_every_image_are_bytes(dtype, shape):
    image = (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    if dtype.startswith("float"):
        image.ravel()[0] = np.nan
    levels = to_levels(image, 8)
    assert (levels.dtype, levels.shape) == (np.uint8, shape[:2])
    assert isinstance(find_flaws(levels), dict)


def test_a_grey_colour_image_has_its_own_levels():
    image = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    assert np.array_equal(to_levels(np.repeat(image[..., None], 3, axis=2), 8), image)


@pytest.mark.parametrize("end", [0, 255])
def test_a_background_at_an_end_of_the_scale_is_not_saturated(end):
    image = np.full((60, 60), end, dtype=np.uint8)
    image[20:40, 20:40] = np.random.default_rng(0).integers(60, 190, (20, 20))
    assert find_flaws(image) == {}
    image[20:32, 20:40] = 255 - end
    assert [*find_flaws(image)] == ["saturated"]


@pytest.mark.parametrize("quality", [95, 90, 75])
def test_a_scale_bar_survives_compression(quality):
    rng = np.random.default_rng(quality)
    for i in range(20):
        image = draw(rng) if i % 2 else 255 - draw(rng)
        barred = with_bar(image, top=i % 3 == 0, ink=0 if i % 2 else 255)
        assert [*find_flaws(decode(jpeg(barred, quality)))] == ["scale-bar"]
        assert "scale-bar" not in find_flaws(decode(jpeg(image, quality)))


def test_a_straight_edge_of_an_organism_is_no_scale_bar():
    image = np.full((60, 60), 255, dtype=np.uint8)
    image[40:58, 10:40] = 120
    image[40:58, 12:38] = np.random.default_rng(0).integers(0, 30, (18, 26))
    assert "scale-bar" not in find_flaws(image)


def test_completeness_is_a_share_per_source(planted):
    shares = measure_completeness(planted[0].table)
    assert shares["images"].tolist() == [len(planted[0]) - 2, 2]
    assert (shares["latitude"] == 1).all()
    assert (shares["taxon"] == 0).all()


@pytest.mark.parametrize(("width", "length"), [(1, 1), (9.99, 5), (4300, 2000), (0.037, 0.02), (5, 5), (1e6, 1e6)])
def test_bars_have_round_lengths(width, length):
    assert _round_length(width) == pytest.approx(length)


@pytest.mark.parametrize(("folder", "most"), [("ecotaxa+uvpec", 0.01), ("isiis_planktonset1", 0.01)])
def test_real_images_have_few_flaws_and_no_scale_bars(shared_data, folder, most):
    files = sorted(file for file in (shared_data / "images" / folder).rglob("*") if file.suffix in {".png", ".jpg"})
    kinds = pd.Series([kind for file in files for kind in find_flaws(to_levels(decode(file.read_bytes()), 8))])
    assert len(files) > 600
    assert set(kinds) <= {"saturated"}
    assert len(kinds) <= most * len(files)


class Page(html.parser.HTMLParser):
    """What a page asks for, and whether its elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.images, self.ids, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("href", "src") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag == "img":
            self.images.append(attrs)
        if tag not in {"img", "meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(planted, findings, tmp_path):
    store, _ = planted
    write_audit_page(findings, store, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} == {*page.ids} == set(findings["kind"])
    assert "Ann &lt;b&gt;" in text
    assert all(image["alt"] for image in page.images)
    n_of_two = findings["other"].notna().sum()
    assert len(page.images) == findings["row"].notna().sum() + n_of_two
    assert [*tmp_path.iterdir()] == [tmp_path / "page.html"]


def test_the_page_shows_a_dozen_of_many(planted, tmp_path):
    store, _ = planted
    many = pd.DataFrame({"kind": "blank", "row": range(50), "source": "first", "detail": "x", "other": None})
    many = many.assign(object_id=store.table["object_id"].iloc[:50]).astype({"row": "Int64", "other": "Int64"})
    write_audit_page(many, store, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(page.images) == 12
    assert all(struct.unpack(">2I", _header(image["src"]))[0] <= 160 for image in page.images)


def _header(source):
    import base64

    return base64.b64decode(source.split(",")[1])[16:24]
