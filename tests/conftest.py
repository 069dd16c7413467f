"""Fixtures that every test may use."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import settings

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# A busy machine is not a failure: properties are judged by their answers, not by the time of one example.
settings.register_profile("untimed", parent=settings.default, deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real public data; absent from a stranger's clone, where these tests skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real data lie beside the checkout in ../shared/data; this clone has none")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Where AQQUA_REQUIRE_DATA is set, a test of real data that skips has failed: it would hide what it guards."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and "shared_data" in getattr(item, "fixturenames", ()) and os.environ.get("AQQUA_REQUIRE_DATA"):
        report.outcome = "failed"
        report.longrepr = f"AQQUA_REQUIRE_DATA is set, but this test of real data skipped: {report.longrepr}"
    return report


class Publisher(ThreadingHTTPServer):
    """
    Serves `files`; `asked` are paths and the byte asked from, `moods` what it answers first.

    A file may be a function of the query that gives its content, or None where there is no such thing.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.moods, self.sent = {}, [], [], 0
        self.has_ranges, self.kind, self.extra = True, "application/x-tar", 0
        self.stall_after = None
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, *_):
        """Who refuses an answer hangs up, which is no news."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/data"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        world, (path, _, query) = self.server, self.path.partition("?")
        content = world.files.get(path)
        content = content(unquote(query)) if callable(content) else content
        wanted = self.headers.get("Range") if world.has_ranges else None
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        world.asked.append((self.path, start))
        mood = world.moods.pop(0) if world.moods else None
        if isinstance(mood, str):
            return self.answer(302, [("Location", mood)])
        if content is None or (mood or 0) >= 400:
            return self.answer(mood or 404, [])
        if start >= len(content) and start:
            return self.answer(416, [("Content-Range", f"bytes */{len(content)}")])
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", world.kind)
        self.send_header("Content-Length", str(len(content) - start + world.extra))
        self.end_headers()
        # A mood below 400 is the number of kilobytes after which the line breaks.
        return self.pour(content[start:], mood)

    def pour(self, content, cut):
        self.close_connection = cut is not None
        stall = self.server.stall_after
        part = content if cut is None and stall is None else content[: stall if cut is None else cut * 1000]
        self.server.sent += len(part)
        self.wfile.write(part)
        self.wfile.flush()
        if stall is not None:
            time.sleep(60)

    def answer(self, status, headers):
        self.send_response(status)
        for header in [*headers, ("Content-Length", "0")]:
            self.send_header(*header)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def publisher():
    """Give a server on this machine that breaks off, is busy or stalls as it is told."""
    with Publisher() as server:
        yield server
        server.shutdown()
