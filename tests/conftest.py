"""Makes the helpers beside this file importable from every test."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=8,
        help="how often tests/pipeline/test_kill.py kills a deploy; the promise is about 30",
    )
