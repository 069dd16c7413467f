"""EcoTaxa's portal, played by a small server with the shapes of its OpenAPI: it expires, breaks down and hangs up."""

import io
import json
import logging
import threading
import traceback
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from aqqua_science.schema import SchemaError
from aqqua_science.sources import ecotaxa, ecotaxa_portal, ecotaxa_scores
from aqqua_science.sources.ecotaxa_portal import download_project, find_objects, find_taxa, log_in
from aqqua_science.sources.ecotaxa_scores import send_scores
from aqqua_science.sources.pictures import encode_png
from aqqua_science.sources.tree import Tree

TOKEN = "eyJ1c2VyX2lkIjo5OTN9.YUmHHw.secret"


def backup():
    """A bundle as EcoTaxa's backup gives it, and noise, so that it has several blocks."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("s1/ecotaxa_s1.tsv", "object_id\timg_file_name\n[t]\t[t]\na\t1.png\n")
        archive.writestr("s1/1.png", encode_png(np.full((2, 3), 7, dtype=np.uint8)))
        archive.writestr("s1/noise.bin", np.random.default_rng(0).bytes(3_000_000))
    return stream.getvalue()


class EcoTaxa:
    """What the server knows, and what it will do wrong."""

    def __init__(self):
        self.objects = {}
        self.taxa = []
        self.scores = {}
        self.calls = []
        self.batches = []
        self.failures = []
        self.states = ["P", "R", "F"]
        self.jobs = []
        self.file = b""
        self.cuts = []
        self.has_ranges = True

    def answer(self, method, path, query, body):
        """Status and content of an answer."""
        if path == "/login":
            good = body == {"username": "me@sea.org", "password": "pw"}
            return (200, TOKEN) if good else (403, {"detail": "Authentication failed"})
        if path == "/taxon_set/search":
            return 200, [t for t in self.taxa if query["query"][0].lower() in t["text"].lower()]
        if path == "/object_set/77/query":
            return 200, self.window(query)
        if path == "/object_set/classify_auto_multiple":
            return self.classify(body)
        if path == "/object_set/export/backup":
            return 200, self.export(body)
        if path.startswith("/jobs/") and int(path.split("/")[2]) in self.jobs:
            return 200, self.job(int(path.split("/")[2]))
        return 404, {"detail": "Not found."}

    def window(self, query):
        assert query["fields"] == ["obj.orig_id,obj.classif_qual"]
        assert query["order_field"] == ["obj.objid"]
        start, size = int(query["window_start"][0]), int(query["window_size"][0])
        chosen = sorted(self.objects)[start : start + size]
        return {
            "object_ids": chosen,
            "acquisition_ids": [1] * len(chosen),
            "sample_ids": [1] * len(chosen),
            "project_ids": [77] * len(chosen),
            "details": [list(self.objects[number]) for number in chosen],
            "total_ids": len(self.objects),
        }

    def classify(self, body):
        assert set(body) == {"target_ids", "classifications", "scores", "keep_log"}
        lists = (body["target_ids"], body["classifications"], body["scores"])
        if len({len(values) for values in lists}) != 1 or body["target_ids"] != sorted(body["target_ids"]):
            return 422, {"detail": [{"loc": ["body"], "msg": "lists differ", "type": "value_error"}]}
        for number, taxa, scores in zip(*lists, strict=True):
            assert len(taxa) == len(scores)
            assert all(type(taxon) is int for taxon in taxa)
            self.scores[number] = list(zip(taxa, scores, strict=True))
        self.batches.append(len(body["target_ids"]))
        return 200, len(body["target_ids"])

    def export(self, body):
        assert body["filters"] == {}
        if body["request"]["project_id"] != 77:
            return {"errors": ["No content produced."], "warnings": [], "job_id": 0}
        self.jobs.append(500 + len(self.jobs))
        return {"errors": [], "warnings": [], "job_id": self.jobs[-1]}

    def job(self, number):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {
            "id": number,
            "owner_id": 1,
            "type": "BackupExport",
            "params": {},
            "state": state,
            "step": 1,
            "progress_pct": 40,
            "progress_msg": "Writing images",
            "errors": ["disk full"] if state == "E" else [],
            "question": {},
            "reply": {},
            "result": {},
            "creation_date": "2026-01-01T00:00:00",
            "updated_on": "2026-01-01T00:00:00",
        }


class Handler(BaseHTTPRequestHandler):
    """The wire."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep quiet."""

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def serve(self, method):
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/api")
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        world = self.server.world
        world.calls.append((method, path))
        if world.failures and path == world.failures[0][0]:
            _, status = world.failures.pop(0)
            if status is None:
                self.close_connection = True
                return
            self.reply(status, b"<html>Bad gateway</html>", "text/html")
            return
        if path != "/login" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply_json(403, {"detail": "Could not validate credentials"})
        elif path.endswith("/file"):
            self.send_range(world)
        else:
            self.reply_json(*world.answer(method, path, parse_qs(parts.query), body))

    def reply_json(self, status, content):
        self.reply(status, json.dumps(content).encode(), "application/json")

    def reply(self, status, content, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_range(self, world):
        """A file, from where it is wanted, as EcoTaxa sends it: its content-range ends with the size itself."""
        size, start = len(world.file), 0
        wanted = self.headers.get("Range") if world.has_ranges else None
        if wanted:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            world.calls.append(("range", start))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{size}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        end = min(size, start + world.cuts.pop(0)) if world.cuts else size
        self.wfile.write(world.file[start:end])
        self.close_connection = end < size


@contextmanager
def serving():
    """A portal: its world and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.world = EcoTaxa()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.world, {"url": f"http://127.0.0.1:{server.server_port}/api", "token": TOKEN, "wait_s": 0.001}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def portal(monkeypatch):
    monkeypatch.delenv("ECOTAXA_TOKEN", raising=False)
    with serving() as found:
        yield found


def taxon(number, text, *, pr=0, renamed=None):
    return {"id": number, "renm_id": renamed, "text": text, "pr": pr}


def scored(count):
    return pd.DataFrame(
        {"object_id": [f"o{i}" for i in range(count)], "taxon": "Copepoda", "probability": np.arange(count) / count}
    )


def test_a_name_and_a_password_give_a_token(portal):
    _, where = portal
    assert log_in("me@sea.org", "pw", url=where["url"]) == TOKEN
    with pytest.raises(PermissionError, match=r"403: .*Authentication failed"):
        log_in("me@sea.org", "wrong", url=where["url"])


def test_the_token_may_come_from_the_environment(portal, monkeypatch):
    world, where = portal
    world.objects = {5: ("o0", "P")}
    with pytest.raises(PermissionError, match="ECOTAXA_TOKEN"):
        find_objects(77, url=where["url"])
    monkeypatch.setenv("ECOTAXA_TOKEN", TOKEN + "\n")
    assert find_objects(77, url=where["url"])["objid"].tolist() == [5]


def test_an_expired_token_is_told_and_never_shown(portal, caplog, capsys):
    _, where = portal
    caplog.set_level(logging.DEBUG)
    secret = TOKEN[::-1]
    with pytest.raises(PermissionError, match="log_in") as caught:
        find_objects(77, **where | {"token": secret})
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capsys.readouterr())
    assert secret not in told


def test_a_token_never_travels_unencrypted():
    with pytest.raises(ValueError, match="https://"):
        find_objects(77, url="http://ecotaxa.example.org/api", token=TOKEN)


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_all_objects_are_listed_window_by_window(portal, monkeypatch, count):
    world, where = portal
    monkeypatch.setattr(ecotaxa_portal, "_WINDOW", 3)
    world.objects = {100 - i: (f"o{i}", [None, "P", "V", "D"][i % 4]) for i in range(count)}
    found = find_objects(77, **where)
    truth = [(f"o{i}", 100 - i) for i in reversed(range(count))]
    assert list(zip(found["object_id"], found["objid"], strict=True)) == truth


def test_a_busy_portal_is_asked_again(portal):
    world, where = portal
    world.objects = {5: ("o0", "P")}
    world.failures = [("/object_set/77/query", status) for status in (502, None, 503, 429)]
    assert len(find_objects(77, **where)) == 1
    assert len(world.calls) == 5


def test_a_portal_that_stays_busy_is_given_up(portal):
    world, where = portal
    world.failures = [("/object_set/77/query", 500)] * 50
    with pytest.raises(ConnectionError, match=r"failed 6 times.*500.*Bad gateway"):
        find_objects(77, **where)
    assert len(world.calls) == 6


def test_what_is_not_there_is_told(portal):
    _, where = portal
    with pytest.raises(FileNotFoundError, match="/object_set/78/query"):
        find_objects(78, **where)


def test_a_page_that_is_no_api_is_told(portal):
    world, where = portal
    world.failures = [("/object_set/77/query", 200)]
    with pytest.raises(OSError, match="does not answer in JSON"):
        find_objects(77, **where)


def test_nobody_at_home():
    with pytest.raises(ConnectionError, match="failed 6 times"):
        find_objects(77, url="http://127.0.0.1:9/api", token=TOKEN, wait_s=0.001)


def test_taxa_are_found_by_their_whole_name(portal):
    world, where = portal
    world.taxa = [
        taxon(1, "Copepoda"),
        taxon(2, "Copepoda<Maxillopoda"),
        taxon(3, "egg<other", pr=1),
        taxon(4, "egg<other"),
        taxon(5, "old", renamed=6),
        taxon(7, "twin"),
        taxon(8, "twin"),
    ]
    assert find_taxa(["Copepoda", "egg<other", "old"], project=77, **where) == {"Copepoda": 1, "egg<other": 3, "old": 6}
    with pytest.raises(SchemaError, match=r"2 taxa named 'twin'; near are: twin \(7\), twin \(8\)"):
        find_taxa(["twin"], **where)
    with pytest.raises(SchemaError, match=r"no taxa named 'Copepod'; near are: Copepoda \(1\)"):
        find_taxa(["Copepod"], **where)


def test_scores_arrive_each_with_its_object(portal, tmp_path, monkeypatch):
    world, where = portal
    monkeypatch.setattr(ecotaxa_scores, "BATCH", 4)
    world.taxa = [taxon(11, "Copepoda")]
    world.objects = {1000 - i: (f"o{i}", "P") for i in range(10)}
    report = send_scores(scored(10), project=77, progress=tmp_path / "p.json", **where)
    assert world.scores == {1000 - i: [(11, i / 10)] for i in range(10)}
    assert world.batches == [4, 4, 2]
    assert report["result"].eq("sent").all()
    assert report["objid"].tolist() == [1000 - i for i in range(10)]


def test_the_best_three_are_sent_in_order(portal, tmp_path):
    world, where = portal
    world.objects = {1: ("a", None), 2: ("b", "P"), 3: ("c", "P")}
    objects = pd.DataFrame(
        {
            "object_id": ["a", "a", "b", "c"],
            "taxon_1": ["x", "y", "y", None],
            "probability_1": [0.2, 1.0, 0.9, 0.5],
            "taxon_2": ["y", "x", None, "x"],
            "probability_2": [0.7, 0.0, np.nan, np.nan],
            "taxon_3": ["z", "x", "y", "x"],
            "probability_3": [0.1, 0.0, 0.05, np.nan],
            "taxon_4": ["w", "x", "x", "x"],
            "probability_4": [0.05, 0.0, 0.01, np.nan],
        }
    )
    report = send_scores(
        objects, project=77, progress=tmp_path / "p.json", taxa={"x": 1, "y": 2, "z": 3, "w": 4}, **where
    )
    assert world.scores == {1: [(2, 0.7), (1, 0.2), (3, 0.1)], 2: [(2, 0.9), (1, 0.01)]}
    assert report["result"].tolist() == ["sent", "sent", "no score"]


def test_what_humans_said_and_what_is_not_there_is_left_alone(portal, tmp_path):
    world, where = portal
    world.objects = {1: ("o0", "V"), 2: ("o1", "D"), 3: ("o2", "P")}
    report = send_scores(scored(4), project=77, progress=tmp_path / "p.json", taxa={"Copepoda": 11}, **where)
    assert list(world.scores) == [3]
    assert report["result"].tolist() == ["validated in EcoTaxa", "dubious in EcoTaxa", "sent", "not in the project"]
    assert report["objid"].isna().tolist() == [False, False, False, True]


def test_an_interruption_loses_and_repeats_nothing(portal, tmp_path, monkeypatch):
    world, where = portal
    monkeypatch.setattr(ecotaxa_scores, "BATCH", 2)
    world.objects = {i: (f"o{i}", "P") for i in range(7)}
    settings = {"project": 77, "progress": tmp_path / "p.json", "taxa": {"Copepoda": 11}, **where}
    original = EcoTaxa.classify
    # The third batch meets a token that has run out meanwhile.
    world.classify = lambda body: original(world, body) if len(world.batches) < 2 else (403, {"detail": "expired"})
    with pytest.raises(PermissionError):
        send_scores(scored(7), **settings)
    assert sorted(world.scores) == [0, 1, 2, 3]
    world.classify = lambda body: original(world, body)
    report = send_scores(scored(7), **settings)
    assert world.batches == [2, 2, 2, 1]
    assert world.scores == {i: [(11, i / 7)] for i in range(7)}
    assert report["result"].tolist() == ["sent before"] * 4 + ["sent"] * 3
    assert send_scores(scored(7), **settings)["result"].eq("sent before").all()
    with pytest.raises(SchemaError, match="other scores"):
        send_scores(scored(6), **settings)
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(SchemaError, match="no file of progress"):
        send_scores(scored(7), **settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o.assign(probability=1.5), "probability must be from 0 to 1"),
        (lambda o: o.drop(columns="probability"), "no column 'probability'"),
        (lambda o: o.assign(taxon="Calanoida"), "no number for 'Calanoida'"),
    ],
)
def test_scores_that_cannot_be_meant_are_refused(portal, tmp_path, change, message):
    world, where = portal
    world.objects = {0: ("o0", "P")}
    with pytest.raises(SchemaError, match=message):
        send_scores(change(scored(1)), project=77, progress=tmp_path / "p", taxa={"Copepoda": 11}, **where)
    assert world.scores == {}


def test_a_project_is_downloaded_and_can_be_read(portal, tmp_path):
    world, where = portal
    world.file = backup()
    to = download_project(77, to=tmp_path / "new" / "p.zip", **where)
    assert to.read_bytes() == world.file
    assert [path.name for path in to.parent.iterdir()] == ["p.zip"]
    tree = Tree(to)
    (record,) = [record for part in ecotaxa.parts(tree) for record in ecotaxa.read(tree, part)]
    np.testing.assert_array_equal(record.pixels(), np.full((2, 3), 7))
    with pytest.raises(FileExistsError):
        download_project(77, to=to, **where)


def test_a_cut_download_goes_on_where_it_was(portal, tmp_path):
    world, where = portal
    world.file = backup()
    world.cuts = [1_500_000, 0, 1_000_000]
    world.failures = [("/jobs/500/file", 503)]
    download_project(77, to=tmp_path / "p.zip", **where)
    assert (tmp_path / "p.zip").read_bytes() == world.file
    starts = [start for kind, start in world.calls if kind == "range"]
    assert starts == sorted(starts)
    assert 0 < starts[0] <= 1_500_000
    assert len(starts) == 3


def test_a_portal_without_ranges_is_read_from_the_start(portal, tmp_path):
    world, where = portal
    world.file, world.cuts, world.has_ranges = backup(), [1_500_000], False
    download_project(77, to=tmp_path / "p.zip", **where)
    assert (tmp_path / "p.zip").read_bytes() == world.file


def test_the_next_call_takes_up_the_same_job(portal, tmp_path):
    world, where = portal
    world.file = backup()
    world.cuts = [1_200_000] + [0] * 6
    with pytest.raises(ConnectionError, match="/jobs/500/file has failed 6 times"):
        download_project(77, to=tmp_path / "p.zip", **where)
    assert not (tmp_path / "p.zip").exists()
    download_project(77, to=tmp_path / "p.zip", **where)
    assert (tmp_path / "p.zip").read_bytes() == world.file
    assert world.jobs == [500]
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_a_job_that_is_gone_is_started_anew(portal, tmp_path):
    world, where = portal
    world.file = backup()
    note = {"url": where["url"], "project": 77, "job": 12}
    (tmp_path / ".p.zip.job.json").write_text(json.dumps(note))
    download_project(77, to=tmp_path / "p.zip", **where)
    assert world.jobs == [500]


def test_an_export_that_never_finishes_is_not_waited_for(portal, tmp_path):
    world, where = portal
    world.states = ["R"]
    message = r"job 500 has not finished within 0.2 s: 40 %, Writing images.*Call again"
    with pytest.raises(TimeoutError, match=message):
        download_project(77, to=tmp_path / "p.zip", timeout_s=0.2, **where | {"wait_s": 0.02})
    world.states, world.file = ["F"], backup()
    download_project(77, to=tmp_path / "p.zip", **where)
    assert world.jobs == [500]


@pytest.mark.parametrize(
    ("state", "message"), [("E", "has failed: Writing images; disk full"), ("A", "asks a question")]
)
def test_an_export_that_fails_is_told(portal, tmp_path, state, message):
    world, where = portal
    world.states = ["R", state]
    with pytest.raises(OSError, match=message):
        download_project(77, to=tmp_path / "p.zip", **where)
    with pytest.raises(OSError, match="No content produced"):
        download_project(78, to=tmp_path / "q.zip", **where)


def test_what_is_no_zip_is_not_kept(portal, tmp_path):
    world, where = portal
    world.file = b"<html>maintenance</html>"
    with pytest.raises(OSError, match="no zip file"):
        download_project(77, to=tmp_path / "p.zip", **where)
    assert list(tmp_path.iterdir()) == []
