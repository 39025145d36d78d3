"""What the tests of the store are given."""

from collections.abc import Callable

import pytest
from reports import synthetic_report

from edgecompress.spec.report import Report


@pytest.fixture
def make_report() -> Callable[..., Report]:
    return synthetic_report
