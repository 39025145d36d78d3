"""Right answers made wrong, by a seed: bits, lengths, types, depth, size, repetition, no end."""

import copy
import itertools
import json
import random
import struct
from collections.abc import Iterator
from typing import Any

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\x00\r\x7f[red]\u202eevil\u2066\u200b\n"
"""What a terminal obeys, or a reader cannot see."""
ENDLESS_CHUNK = 64 << 10
PLACES = 5_000
"""The most of a document that was made long by an earlier change."""
INSERTED = (b"9" * 5_000, b"-", b".", b"e999", b"\n", b"\0", b" " * 5_000)
_RAW = "@@raw@@"
RAW_VALUES = (
    "[" * 50_000 + "]" * 50_000,
    "[" * 50_000,
    '{"a":' * 5_000 + "1" + "}" * 5_000,
    "9" * 5_000,
    "-" + "9" * 400,
    "1" + "0" * 19,
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    r'"\ud800"',
    r'"\udc80 file"',
    r'"\u0000"',
    '{"a": 1, "a": 2}',
    "[" + "0," * 600_000 + "0]",
    "[" + "{}," * 30_000 + "{}]",
    "[" + '"a",' * 200_000 + '"a"]',
    "{" + ",".join(f'"k{i}": 1' for i in range(5_000)) + "}",
    '"' + "x" * 200_000 + '"',
    '"\\"' + '\\"' * 100_000,
    "tru",
    "",
    "00",
    "\xff",
)
VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.5,
    5e-324,
    1.7e308,
    "",
    "0",
    "x",
    ESCAPES,
    "../" * 40 + "etc/passwd",
    "x" * 5_000,
    [],
    {},
    [[]],
    [None],
    ["a", 1],
    {"a": {"b": []}},
)
WORDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def changed_json(rng: random.Random, value: Any, times: int = 1) -> bytes:
    """The document with a value, a key or its text changed."""
    document = json.loads(json.dumps(value))
    raw = ""
    for _ in range(times):
        document, found = _changed_at(rng, document)
        raw = found or raw
    text = json.dumps(document, allow_nan=True).replace(f'"{_RAW}"', raw, 3)
    content = text.encode("utf-8", "surrogatepass")
    return changed_bytes(rng, content) if rng.random() < 0.15 else content


def _changed_at(rng: random.Random, document: Any) -> tuple[Any, str]:
    places = list(itertools.islice(_places(document), PLACES))
    holder, key = rng.choice(places)
    raw = ""
    # A copy, which later changes may be made in.
    fresh: Any = copy.deepcopy(rng.choice(VALUES))
    if rng.random() < 0.4:
        raw, fresh = rng.choice(RAW_VALUES), _RAW
    if holder is None:
        return fresh, raw
    way = rng.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[ESCAPES if rng.random() < 0.5 else "unknown"] = fresh
    elif way == 2 and isinstance(holder, list):
        holder.extend(holder[key : key + 1] * rng.choice((1, 10, 1000)))
    elif way == 3:
        other_holder, other_key = rng.choice(places[1:])
        holder[key] = json.loads(json.dumps(other_holder[other_key]))
    elif way == 4 and isinstance(holder[key], str):
        holder[key] = _changed_text(rng, holder[key])
    elif way == 5 and isinstance(holder[key], (int, float)):
        holder[key] = holder[key] * rng.choice((-1, 0, 0.5, 1e6, 1e-30))
    else:
        holder[key] = fresh
    return document, raw


def _changed_text(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    insert = rng.choice((ESCAPES, "\ud800", "\x00", "\n", "9" * 30, ""))
    return text[:at] + insert + text[at + rng.randrange(3) :]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """The document itself, as (None, None), and every (holder, key) in it."""
    yield None, None
    pending = [value]
    while pending:
        holder = pending.pop()
        if isinstance(holder, (dict, list)):
            for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
                yield holder, key
                pending.append(holder[key])


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """Bits, lengths, pieces left out, doubled, or from elsewhere."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        if not data:
            data += rng.randbytes(rng.randrange(40))
            continue
        at = rng.randrange(len(data))
        end = min(len(data), at + rng.choice((1, 2, 4, 8, 64)))
        way = rng.randrange(9)
        if way == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del data[at:]
        elif way == 2:
            del data[at:end]
        elif way == 3:
            data[at:at] = data[at:end] * rng.choice((1, 2, 100))
        elif way == 4:
            data[at:end] = rng.randbytes(end - at)
        elif way == 5:
            word = rng.choice(WORDS)
            data[at : at + 4] = struct.pack(rng.choice(("<I", ">I")), word)
        elif way == 6:
            data[at:at] = ESCAPES.encode()
        elif way == 7:
            data[at:at] = rng.choice(INSERTED)
        else:
            data = bytearray(rng.choice((b"", b"\0" * 100, b"\xff" * 100, rng.randbytes(300))))
    return bytes(data)
