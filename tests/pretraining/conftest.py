"""Small stores of drawn plankton, made once."""

import pytest

from aqqua_science.images import ingest
from aqqua_science.synthetic import images


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Sixty images of three instruments: grey and colour, 8 and 12 bits."""
    records = images(60, rng=0, instruments=["UVP6", "FlowCam", "LOKI"])
    return ingest(records, tmp_path_factory.mktemp("stores") / "drawn.aqqua")
