"""JSON that a device wrote: known to be bounded before anything is built of it.

What Python's and pydantic's readers would do with it is not left to chance: 50,000 brackets end in
a RecursionError, 5,000 digits in a ValueError or in minutes of work, and three bytes (`[],`) become
seventy of memory.
"""

import json
import math
from typing import NoReturn

from pydantic import JsonValue

DEPTH = 32
"""Brackets in brackets; nothing of ours has more than ten."""
CONTAINERS = 10_000
"""Telemetry is an object a second."""
VALUES = 500_000
"""Samples of a latency are a list of numbers."""
STRINGS = 100_000
"""Keys included."""
KEYS = 1000
"""The most in one object: each that is not known makes an error of its own."""
TEXT_BYTES = 64 << 10
"""The most in one string."""
INTEGER_DIGITS = 20
"""As 64 bits and a sign have: sizes and counts need no more."""

_OPEN, _CLOSE = b"[{", b"]}"
_NOT_BRACKETS = bytes(set(range(256)) - set(_OPEN + _CLOSE))


class NotJson(ValueError):
    """Why a text is none, or not one that is read."""


def read_json(content: bytes, limit_bytes: int) -> JsonValue:
    """The value, of at most `limit_bytes` of UTF-8.

    Raises:
        NotJson: it is larger, or deeper, or of more values than anything that is ours; a number is
            not finite or has more than 64 bits; a key comes twice; or it is no JSON.

    """
    if len(content) > limit_bytes:
        raise NotJson(f"more than {limit_bytes} bytes")
    _check_structure(content)
    try:
        value: JsonValue = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_no_constant,
        )
    except NotJson:
        raise
    except ValueError as error:
        raise NotJson(str(error)) from None
    return value


def _check_structure(content: bytes) -> None:
    """Counts what lies outside strings, in steps that take a time in proportion to the size."""
    if content.count(b'"') > 2 * STRINGS:
        raise NotJson(f"more than {STRINGS} strings")
    # Without escapes a quote begins or ends a string, and every second piece lies between two.
    plain = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    pieces = plain.split(b'"')
    if max(map(len, pieces[1::2]), default=0) > TEXT_BYTES:
        raise NotJson(f"a string of more than {TEXT_BYTES} bytes")
    outside = b"".join(pieces[::2])
    if outside.count(b",") >= VALUES:
        raise NotJson(f"more than {VALUES} values")
    brackets = outside.translate(None, _NOT_BRACKETS)
    if len(brackets) > 2 * CONTAINERS:
        raise NotJson(f"more than {CONTAINERS} lists and objects")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in _OPEN else -1
        if depth > DEPTH:
            raise NotJson(f"more than {DEPTH} brackets in brackets")


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonValue:
    if len(pairs) > KEYS:
        raise NotJson(f"an object of more than {KEYS} keys")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a key comes twice")
    return found


def _integer(text: str) -> int:
    if len(text) > INTEGER_DIGITS or not -(2**63) <= (number := int(text)) < 2**63:
        raise NotJson(f"{text[:INTEGER_DIGITS]}.. has more than 64 bits")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson(f"{text[:INTEGER_DIGITS]} is not finite")
    return number


def _no_constant(word: str) -> NoReturn:
    raise NotJson(f"{word} is no number")
