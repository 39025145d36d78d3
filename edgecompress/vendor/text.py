"""Lines and numbers of a tool's output."""

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

from pydantic import JsonValue

T = TypeVar("T")

NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?"
"""For patterns: as C++ streams and printf write them, ASCII digits only."""
MS_PER_US = Decimal("0.001")
MS_PER_S = Decimal(1000)
MHZ_PER_HZ = Decimal("0.000001")
SIGNED = f"-?{NUMBER}"
_SIGNED = re.compile(SIGNED)
_INTEGER = re.compile(r"[0-9]{1,18}")
_LOGCAT = re.compile(
    r"(?:[0-9]{4}-)?[0-9]{2}-[0-9]{2} [0-9:.]{8,} +[0-9]+ +[0-9]+ (?P<long>[VDIWEFS]) [^:]*: "
    r"|(?P<brief>[VDIWEFS])/[^(:]*\( *[0-9]+\): "
)
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LEVEL = re.compile(r"(VERBOSE|DEBUG|INFO|WARNING|ERROR|FATAL): ?")


def complete_lines(text: str) -> list[str]:
    r"""Those that end in a line break (\n, \r\n, or adb's \r\r\n), without it."""
    return [line.rstrip("\r") for line in _clean(text).split("\n")[:-1]]


def message(line: str) -> tuple[str | None, str]:
    """Level ('INFO', 'ERROR', 'E', or None) and text of a line of TFLite's tools or of logcat."""
    level = None
    stamp = _LOGCAT.match(line)
    if stamp is not None:
        level, line = stamp["long"] or stamp["brief"], line[stamp.end() :]
    word = _LEVEL.match(line)
    if word is not None:
        level, line = word[1], line[word.end() :]
    return level, line.strip(" \t")


def number(text: str | None) -> float | None:
    """None for None, for what is no number, and for one too large to be finite."""
    return scaled(text, Decimal(1))


def scaled(text: str | None, factor: Decimal) -> float | None:
    """`number` in another unit: MS_PER_US, MS_PER_S or MHZ_PER_HZ."""
    if text is None or _SIGNED.fullmatch(text) is None:
        return None
    # Decimal, so that 92571.2 us are 92.5712 ms and not 92.57119999999999.
    value = float(Decimal(text) * factor)
    return value if math.isfinite(value) else None


def integer(text: str | None) -> int | None:
    """None for None and for what is not 1 to 18 decimal digits."""
    return int(text) if text is not None and _INTEGER.fullmatch(text) else None


def only(values: Iterable[T | None]) -> T | None:
    """The one value that is there; None when there is none, or several that differ."""
    distinct = {value for value in values if value is not None}
    return distinct.pop() if len(distinct) == 1 else None


def matches(pattern: re.Pattern[str], lines: Iterable[str]) -> list[re.Match[str]]:
    """Of the lines that are the pattern from end to end."""
    return [found for found in map(pattern.fullmatch, lines) if found is not None]


def json_document(text: str) -> JsonValue:
    """None when the text is not JSON: cut off, or broken."""
    try:
        document: JsonValue = json.loads(_clean(text), parse_constant=_no_constant)
        if ESCAPED_SURROGATE.search(text):
            document = json.loads(_clean(json.dumps(document, ensure_ascii=False)))
    except (ValueError, RecursionError):
        return None
    return document


def json_number(value: JsonValue) -> float | None:
    """None for what is no finite number in JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _clean(text: str) -> str:
    """Without lone surrogates, which no spec and no JSON file can hold."""
    return text.encode("utf-8", "replace").decode()


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number")
