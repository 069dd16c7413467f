"""Fixtures that every test may use."""

import os
from pathlib import Path

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
