"""Lines and numbers, and what only looks like them."""

import pytest

from edgecompress.vendor.text import (
    MS_PER_US,
    complete_lines,
    integer,
    message,
    number,
    only,
    scaled,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("95788.3", 95788.3), ("2.71985e+06", 2719850.0), ("-99.9", -99.9), ("0", 0.0)],
)
def test_number(text, expected):
    assert number(text) == expected


@pytest.mark.parametrize(
    "text", ["", "3.1.4", "1e999", "nan", "inf", " 3", "3_0", "٣", "0x3", ".5"]
)
def test_no_number(text):
    assert number(text) is None


def test_another_unit_is_exact():
    assert scaled("92571.2", MS_PER_US) == 92.5712


@pytest.mark.parametrize("text", ["-1", "1.0", "٣", "1" * 19])
def test_no_integer(text):
    assert integer(text) is None


def test_a_line_without_its_break_is_none():
    assert complete_lines("a\nb\r\nc\r\r\n\x0bd\n12") == ["a", "b", "c", "\x0bd"]


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([None, 1, 1], 1), ([1, 2], None), ([0], 0)]
)
def test_only(values, expected):
    assert only(values) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("INFO: STARTING!", ("INFO", "STARTING!")),
        ("08-17 21:47:49.138 29423 29423 E tflite  : INFO: x", ("INFO", "x")),
        ("E/tflite  (29423): x: y", ("E", "x: y")),
        ("Graph: [a]", (None, "Graph: [a]")),
    ],
)
def test_message(line, expected):
    assert message(line) == expected
