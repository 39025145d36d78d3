"""Lines and numbers of a tool's output."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TypeVar

from edgecompress.spec.base import Spec

T = TypeVar("T")

UNREAD_LINES = 8
UNREAD_LENGTH = 160
SEARCHED = 2000
"""Characters of a line: a hostile one could be of megabytes, and patterns look at it often."""

NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?"
"""For patterns: as C++ streams and printf write them, ASCII digits only."""
MS_PER_US = Decimal("0.001")
SIGNED = f"-?{NUMBER}"
LABELLED = rf"^[A-Za-z][\w ().,/-]*(?: is|[:=]) *{SIGNED} ?[A-Za-z%/]{{0,12}}$"
"""For patterns: a label with one number, and perhaps a unit, is the whole line."""
_SIGNED = re.compile(SIGNED)
_INTEGER = re.compile(r"[0-9]{1,18}")
_LEVELS = "[VDIWEFS]"
_STAMP = (
    r"(?:(?:(?:[0-9]{4}-)?[0-9]{2}-[0-9]{2} [0-9:.]{8,}| *[0-9]+\.[0-9]{3,9})(?: [+-][0-9]{4})? +)"
)
"""When: with the year or without, the time zone (`-v zone`), or seconds (epoch, monotonic)."""
_LOGCAT = re.compile(
    # threadtime: date, uid (`-v uid`), process, thread, level, tag.
    rf"{_STAMP}(?:(?:[a-z][a-z0-9_]* +|[0-9]+ +)?[0-9]+ +[0-9]+ +)?"
    rf"(?P<thread>{_LEVELS}) [^:]*:(?: |$)"
    # Android Studio: 123-123/app I/tag: text, later 123-123 tag app I text.
    rf"|{_STAMP}[0-9]+-[0-9]+/\S+ (?P<studio>{_LEVELS})/[^:]*:(?: |$)"
    rf"|{_STAMP}[0-9]+-[0-9]+ +\S+ +\S+ +(?P<columns>{_LEVELS}) +"
    # brief, and with a date in front of it `-v time`.
    rf"|{_STAMP}?(?P<brief>{_LEVELS})/[^(:]*\( *[0-9]+\):(?: |$)"
    # process, thread and tag.
    rf"|(?P<process>{_LEVELS})\( *[0-9]+(?:: *(?:0x)?[0-9a-f]+)?\) "
    rf"|(?P<tag>{_LEVELS})/[\w.-]+ *: "
)
_LONG = re.compile(rf"\[ {_STAMP}[0-9]+: *[0-9]+ (?P<level>{_LEVELS})/.*\]")
"""The head of `-v long`; its text is in the lines below it, up to an empty one."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PROCESS_TAG = re.compile(r" +\([^()]*\)$")
_LEVEL = re.compile(r"(VERBOSE|DEBUG|INFO|WARNING|ERROR|FATAL): ?")


class VendorText(Spec):
    """What a tool printed, read."""

    unread: tuple[str, ...] = ()
    """Lines, or words of one, that look like data and were not understood, fit to be shown. No
    figure of the result comes from them; a newer release of the tool may have written them."""


def complete_lines(text: str) -> list[str]:
    r"""Those that end in a line break (\n, \r\n, or adb's \r\r\n), without it."""
    return [line.rstrip("\r") for line in _clean(text).split("\n")[:-1]]


def message(line: str) -> tuple[str | None, str]:
    """Level ('INFO', 'ERROR', 'E', or None) and text of a line of TFLite's tools or of logcat."""
    line = _COLOURS.sub("", line)
    level = None
    stamp = _LOGCAT.match(line)
    if stamp is not None:
        line = line[stamp.end() :]
        level = next(word for word in stamp.groups() if word is not None)
        if stamp["process"] is not None:
            line = _PROCESS_TAG.sub("", line)
    word = _LEVEL.match(line)
    if word is not None:
        level, line = word[1], line[word.end() :]
    return level, line.strip(" \t")


def messages(text: str) -> list[tuple[str | None, str]]:
    """`message` of every complete line; below a head of `logcat -v long`, its level."""
    found: list[tuple[str | None, str]] = []
    carried = None
    for line in complete_lines(text):
        head = _LONG.fullmatch(_COLOURS.sub("", line))
        if head is not None:
            carried = head["level"]
            continue
        level, said = message(line)
        carried = carried if said else None
        found.append((level or carried, said))
    return found


def number(text: str | None) -> float | None:
    """None for None, for what is no number, and for one too large to be finite."""
    return scaled(text, Decimal(1))


def scaled(text: str | None, factor: Decimal) -> float | None:
    """`number` in another unit, such as MS_PER_US."""
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
    """One for each line that is the pattern from end to end."""
    return [found for found in map(pattern.fullmatch, lines) if found is not None]


def unread(lines: Iterable[str]) -> tuple[str, ...]:
    """What looked like data and was not understood, fit to be shown: each line once, in order.

    A line is cut to a length and its control characters are escaped. The last one says how many
    more there are.
    """
    shown = dict.fromkeys(map(_shown, lines))
    more = len(shown) - UNREAD_LINES
    kept = tuple(shown)[:UNREAD_LINES]
    return (*kept, f"and {more} more") if more > 0 else kept


def left_over(
    lines: Iterable[str], data: re.Pattern[str], known: Iterable[re.Pattern[str]]
) -> tuple[str, ...]:
    """`unread` of the lines in which `data` is found and of which none of `known` is the whole."""
    patterns = tuple(known)
    return unread(
        line
        for line in lines
        if data.search(line[:SEARCHED]) and not any(pattern.fullmatch(line) for pattern in patterns)
    )


def _shown(line: str) -> str:
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line.strip())
    return line if len(line) <= UNREAD_LENGTH else f"{line[:UNREAD_LENGTH]}.."


def _clean(text: str) -> str:
    """Without lone surrogates, which no spec and no JSON file can hold."""
    return text.encode("utf-8", "replace").decode()
