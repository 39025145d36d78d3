"""How a figure is written for people, in reasons, the terminal and the HTML alike."""

import math
import re
from typing import Protocol

MOST_DIGITS = 12
ABOUT_EQUAL = 1.02
"""Ratios below it are nothing that anybody would notice."""
_WORDS = re.compile(r"[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d+")
_KINDS = ("multiclass", "multilabel", "binary")


class Unit(Protocol):
    """Writes a value with its unit and `digits` more digits than usual."""

    def __call__(self, value: float, digits: int = 0) -> str: ...


def metric_name(name: str) -> str:
    """What a metric is called where people read: 'accuracy' for MulticlassAccuracy, 'F1 score',
    'word error rate'. A name that is no class's stays as it is.
    """
    if not (name.isidentifier() and name[:1].isupper()):
        return name.replace("_", " ")
    words = [_lower(word) for word in _WORDS.findall(name)]
    return " ".join(words[1:] if len(words) > 1 and words[0] in _KINDS else words)


def _lower(word: str) -> str:
    """An abbreviation keeps its capitals: AUROC, F1."""
    is_short = sum(map(str.isupper, word)) > 1 or word[1:].isdigit()
    return word if is_short else word.lower()


def plain(value: float, digits: int = 0) -> str:
    """0.9417"""
    return f"{value:.{4 + digits}f}"


def percent(value: float, digits: int = 0) -> str:
    """0.9417 is 94.2 %"""
    return f"{100 * value:.{1 + digits}f} %"


def decibels(value: float, digits: int = 0) -> str:
    """23.1 dB"""
    return f"{value:.{1 + digits}f} dB"


def factor(value: float, digits: int = 0) -> str:
    """2.31x"""
    return f"{value:.{2 + digits}f}x"


def ratio_in_words(before: float, after: float, words: tuple[str, str]) -> str:
    """'7.0x faster', '1.24x slower', 'about equal'; '' where a ratio means nothing.

    Args:
        before: what it was, positive.
        after: what it is, positive.
        words: for less and for more: ('faster', 'slower').

    """
    if before == after:
        return "equal"
    if not (before > 0 and after > 0 and math.isfinite(before) and math.isfinite(after)):
        return ""
    ratio = max(before / after, after / before)
    if ratio < ABOUT_EQUAL:
        return "about equal"
    return f"{ratio:.{2 if ratio < 2 else 1}f}x {words[0] if after < before else words[1]}"


def milliseconds(value: float, digits: int = 0) -> str:
    """0.532 ms, 12.3 ms, 1,234 ms"""
    return f"{_significant(value, digits)} ms"


def millijoules(value: float, digits: int = 0) -> str:
    """0.532 mJ, 12.3 mJ, 1,234 mJ"""
    return f"{_significant(value, digits)} mJ"


def _significant(value: float, digits: int) -> str:
    """Three digits of it, and no less than its whole part."""
    whole = int(math.log10(value)) + 1 if math.isfinite(value) and value >= 1 else 1
    return f"{value:,.{max(0, 4 - whole if value < 1 else 3 - whole) + digits}f}"


def mebibytes(value: float, digits: int = 0) -> str:
    """12.3 MiB"""
    return f"{value / (1 << 20):,.{1 + digits}f} MiB"


def count(value: float, digits: int = 0) -> str:
    """1,234 or 56.7 M"""
    if abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value / 1e6:,.{1 + digits}f} M"


def kibibytes(value: float, digits: int = 0) -> str:
    """1.2 KiB, or MiB from one MiB on"""
    if abs(value) >= 1 << 20:
        return mebibytes(value, 1 + digits)
    return f"{value / 1024:,.{1 + digits}f} KiB"


def apart(value: float, other: float, unit: Unit) -> tuple[str, str]:
    """Both written with enough digits to look different when they are: never '95.0 of 95.0'."""
    for digits in range(MOST_DIGITS):
        texts = unit(value, digits), unit(other, digits)
        if texts[0] != texts[1] or value == other:
            break
    return texts
