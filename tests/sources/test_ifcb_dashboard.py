"""IFCB dashboards: a real server on this machine, whose files are bins."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from aqqua_science.sources import ifcb
from aqqua_science.sources.tree import Tree

BINS = ["D20200102T030405_IFCB107", "D20200103T030405_IFCB107", "IFCB5_2012_028_081515"]
TABLE = "pid,sample_time,ifcb,ml_analyzed,latitude,longitude,depth,skip\n" + "".join(
    f"{name},2020-01-02 03:04:05+00:00,107,4.5,{lat},{lon},5.0,{skip}\n"
    for name, lat, lon, skip in [(BINS[0], 41.3, -70.5, 0), (BINS[1], "", -70.5, 0), (BINS[2], 41.3, -70.5, 1)]
)


def files_of(name):
    """A bin of one image of 3 x 2 pixels."""
    v2 = name.startswith("D")
    roi = bytes(range(6)) if v2 else b"\0" + bytes(range(6)) + b"\0"
    place = f"7,8,2,3,{0 if v2 else 1}"
    adc = f"1,1,{'0,' * 11}{place},0,0,0,0,1,0\n" if v2 else f"1,1,{'0,' * 7}{place},0,\n"
    return {".adc": adc.encode(), ".hdr": b"runTime: 601\ninhibitTime: 1\n", ".roi": roi}


class Dashboard(ThreadingHTTPServer):
    """Serves a dataset `mvco` under a prefix; what it was asked for is in `asked`, what it answers first in `moods`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.moods, self.pages = [], [], {}
        for name in BINS:
            self.pages.update(
                {f"/x/mvco/{name}{end}": (content, "text/plain") for end, content in files_of(name).items()}
            )
        self.pages["/x/api/export_metadata/mvco"] = (TABLE.encode(), "text/csv")
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/x"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        mood = self.server.moods.pop(0) if self.server.moods else None
        content, kind = self.server.pages.get(self.path, (b"", "text/html"))
        self.send_response(mood or (200 if self.path in self.server.pages else 404))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) + (9 if mood == 200 else 0)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def dashboard():
    with Dashboard() as server:
        yield server
        server.shutdown()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_dataset_arrives_whole_and_with_positions(dashboard, tmp_path):
    assert ifcb.download(f"{dashboard.url}/mvco", to=tmp_path) == {}
    kept = sorted(f"{name}{end}" for name in BINS[:2] for end in (".adc", ".hdr", ".roi"))
    assert names_in(tmp_path) == [*kept, "export_metadata_mvco.csv"]
    for name in BINS[:2]:
        assert {end: (tmp_path / f"{name}{end}").read_bytes() for end in files_of(name)} == files_of(name)
    tree = Tree(tmp_path)
    first, second = (record for part in ifcb.parts(tree) for record in ifcb.read(tree, part))
    np.testing.assert_array_equal(first.pixels(), [[0, 1], [2, 3], [4, 5]])
    assert [first.metadata[name] for name in ("latitude", "longitude", "depth")] == [41.3, -70.5, 5.0]
    # Half a position is none.
    assert "longitude" not in second.metadata
    assert second.metadata["depth"] == 5.0


def test_what_is_there_is_not_fetched_again(dashboard, tmp_path):
    ifcb.download(f"{dashboard.url}/mvco", BINS[:1], to=tmp_path)
    (tmp_path / f"{BINS[0]}.roi").unlink()
    dashboard.asked.clear()
    assert ifcb.download(f"{dashboard.url}/mvco/", BINS[:1], to=tmp_path) == {}
    assert dashboard.asked == [f"/x/mvco/{BINS[0]}.roi"]


@pytest.mark.parametrize("mood", [503, 429, 200])
def test_a_busy_server_and_a_broken_line_are_asked_again(dashboard, tmp_path, mood):
    """The last is an answer that ends before its length."""
    dashboard.moods = [mood, mood]
    assert ifcb.download(f"{dashboard.url}/mvco", BINS[:1], to=tmp_path, retries=2, pause=0.001) == {}
    assert (tmp_path / f"{BINS[0]}.roi").read_bytes() == files_of(BINS[0])[".roi"]
    assert len(dashboard.asked) == 5


def test_nothing_half_stays(dashboard, tmp_path):
    dashboard.moods = [200, 200]
    with pytest.raises(OSError, match="run it again to go on"):
        ifcb.download(f"{dashboard.url}/mvco", BINS[:1], to=tmp_path, retries=1, pause=0.001)
    assert names_in(tmp_path) == []


def test_one_bad_bin_stops_no_other(dashboard, tmp_path):
    absent = "D20990101T000000_IFCB001"
    dashboard.pages[f"/x/mvco/{BINS[1]}.roi"] = (b"<html>log in</html>", "text/html; charset=utf-8")
    failed = ifcb.download(f"{dashboard.url}/mvco", [absent, BINS[1], BINS[2]], to=tmp_path, retries=0)
    assert failed == {
        **{f"{absent}{end}": "status 404 Not Found" for end in (".adc", ".hdr", ".roi")},
        f"{BINS[1]}.roi": "a web page instead of the file",
    }
    assert names_in(tmp_path) == sorted(
        [f"{BINS[1]}.adc", f"{BINS[1]}.hdr", *(f"{BINS[2]}{e}" for e in files_of(BINS[2]))]
    )


def test_a_server_that_stays_busy_is_told_of(dashboard, tmp_path):
    dashboard.moods = [503] * 2
    failed = ifcb.download(f"{dashboard.url}/mvco", BINS[:1], to=tmp_path, retries=1, pause=0.001)
    assert failed == {f"{BINS[0]}.adc": "status 503 Service Unavailable"}


@pytest.mark.parametrize("address", ["mvco/{bin}.html", "mvco/{bin}", "bin?dataset=mvco&bin={bin}"])
def test_an_address_of_one_bin_fetches_it(dashboard, tmp_path, address):
    ifcb.download(f"{dashboard.url}/{address.format(bin=BINS[0])}", to=tmp_path)
    assert names_in(tmp_path) == [f"{BINS[0]}{end}" for end in (".adc", ".hdr", ".roi")]


def test_an_older_dashboard_lists_its_bins_as_json(dashboard, tmp_path):
    del dashboard.pages["/x/api/export_metadata/mvco"]
    rows = [{"pid": BINS[0], "skip": False}, {"pid": BINS[2], "skip": True}, {"pid": "../../etc", "skip": False}]
    dashboard.pages["/x/api/list_bins?dataset=mvco"] = (json.dumps({"data": rows}).encode(), "application/json")
    assert ifcb.download(f"{dashboard.url}/timeline?dataset=mvco", to=tmp_path) == {}
    assert names_in(tmp_path) == [f"{BINS[0]}{end}" for end in (".adc", ".hdr", ".roi")]


@pytest.mark.parametrize("page", [None, b"<html>", b'{"data": 5}', b'{"bins": []}'])
def test_a_dataset_without_a_list_is_told_of(dashboard, tmp_path, page):
    if page is not None:
        dashboard.pages["/x/api/list_bins?dataset=none"] = (page, "application/json")
    with pytest.raises(OSError, match="gives no list of bins"):
        ifcb.download(f"{dashboard.url}/none", to=tmp_path)


def test_a_host_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="cannot be reached"):
        ifcb.download("http://127.0.0.1:9/mvco", BINS[:1], to=tmp_path, retries=0)


@pytest.mark.parametrize("url", ["mvco", "ftp://host/mvco", "https://host", "https:///mvco"])
def test_addresses_that_name_no_dataset(tmp_path, url):
    with pytest.raises(ValueError, match="names no dataset"):
        ifcb.download(url, to=tmp_path)


@pytest.mark.parametrize("bins", ["../x", ["D20200102T030405_IFCB107/../../x"], [""]])
def test_names_that_are_no_bins(tmp_path, bins):
    with pytest.raises(ValueError, match="is no name of an IFCB bin"):
        ifcb.download("https://host/mvco", bins, to=tmp_path)
