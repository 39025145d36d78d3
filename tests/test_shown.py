"""No byte of others is obeyed by a terminal, hidden from a reader, or lost."""

import re
import unicodedata
from pathlib import Path

import pytest
from hostile.mutate import ESCAPES
from hypothesis import given
from hypothesis import strategies as st

import edgecompress
from edgecompress.shown import rich_text, shown, shown_lines

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, ünïcödé 象 °C …", "plain, ünïcödé 象 °C …"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb\tc\x7f", r"a\r\nb\tc\x7f"),
        ("\u202eevil\u2066x\u2069", r"\u202eevil\u2066x\u2069"),
        ("zero\u200bwidth\ufeff\u2060", r"zero\u200bwidth\ufeff\u2060"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("no utf-8 \udc80", r"no utf-8 \udc80"),
        ("tag \U000e0041 \U000e0100", r"tag \U000e0041 \U000e0100"),
        ("filler \u3164\u034f\ufe0f", r"filler \u3164\u034f\ufe0f"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
        ("", ""),
    ],
)
def test_what_is_shown(text, expected):
    assert shown(text) == expected


@given(st.text())
def test_nothing_hidden_is_left_and_nothing_vanishes(text):
    said = shown(text)
    assert not {unicodedata.category(character) for character in said} & HIDDEN
    assert said.isprintable()
    kept = [character for character in text if shown(character) == character]
    assert len(said) >= len(text)
    assert all(character in said for character in kept)
    assert shown(said) == said
    assert rich_text(text).plain == said


def test_lines_stay_lines():
    assert shown_lines("one\x1b\ntwo\r\n") == "one\\x1b\ntwo\\r\n"


def test_no_markup_no_link_no_emoji():
    text = rich_text("[link=http://x]y[/link] :boom: " + ESCAPES)
    assert text.plain.startswith("[link=http://x]y[/link] :boom: \\x1b]0;owned\\x07")
    assert not text.spans


def test_all_that_rich_prints_goes_through_here():
    """One Text that is made elsewhere is one that a device's words may get into."""
    package = Path(edgecompress.__file__).parent
    made = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bText\(", path.read_text())
    }
    assert made == {"shown.py"}
