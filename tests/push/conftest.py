"""A device for one test."""

from pathlib import Path

import pytest
from pushing import Ticking


@pytest.fixture
def board(tmp_path: Path) -> Ticking:
    return Ticking(tmp_path)
