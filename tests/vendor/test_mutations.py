"""Broken logs: no error gets out, no number is invented, no failure becomes a success."""

import random
import re
from collections.abc import Iterator
from functools import cache

import pytest
from pydantic import JsonValue
from vendor_logs import NAMES, Log, load, parse

LOGS = [load(name) for name in NAMES]
FACTORS = (1.0, 1e-3, 1e3, 1e-6)
"""From us and s to what the specs hold."""
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
DIGITS = b"0123456789"
SOUP = b"0123456789.-+eExX:=,%@C[]{}()\"' \t\r\n\x00\x0b\x1c\x85\xff\xc3\xe2ms"


def dropped(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(line for line in lines if draw.random() > 0.2)


def duplicated(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    for _ in range(draw.randint(1, 3)):
        lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))
    return b"".join(lines)


def swapped(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    draw.shuffle(lines)
    return b"".join(lines)


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def digits_flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    places = [at for at, byte in enumerate(data) if byte in DIGITS]
    for at in draw.sample(places, min(len(places), draw.randint(1, 6))):
        changed[at] = draw.choice(DIGITS)
    return bytes(changed)


def numbers_broken(data: bytes, draw: random.Random) -> bytes:
    """What is no number any more, or another one: 3.1.4, 31x4, 314e999, -314."""
    pieces = re.split(rb"([0-9.]+)", data)
    for at in draw.choices(range(1, len(pieces), 2), k=draw.randint(1, 8)) if pieces[1:] else ():
        cut = draw.randrange(len(pieces[at]) + 1)
        between = draw.choice(
            (b".", b".5", b"x", b"e999", b"e9", b"-", b" ", b",", b"_", b"\xd9\xa3")
        )
        pieces[at] = pieces[at][:cut] + between + pieces[at][cut:]
    return b"".join(pieces)


def bytes_flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        changed[draw.randrange(len(changed))] = draw.choice((draw.randrange(256), *SOUP))
    return bytes(changed)


def bytes_inserted(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + bytes(draw.choices(SOUP, k=draw.randint(1, 8))) + data[at:]


def piece_removed(data: bytes, draw: random.Random) -> bytes:
    begin = draw.randrange(len(data))
    return data[:begin] + data[begin + draw.randint(1, 60) :]


def crlf(data: bytes, draw: random.Random) -> bytes:
    return data.replace(b"\n", draw.choice((b"\r\n", b"\r\r\n", b"\r")))


def utf16(data: bytes, draw: random.Random) -> bytes:
    return data.decode("utf-8", "replace").encode(
        draw.choice(("utf-16", "utf-16-be", "cp1252")), "replace"
    )


MUTATIONS = (
    dropped,
    duplicated,
    swapped,
    truncated,
    digits_flipped,
    numbers_broken,
    bytes_flipped,
    bytes_inserted,
    piece_removed,
    crlf,
    utf16,
)


def numbers(value: JsonValue) -> Iterator[float]:
    """All that are in a result."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def written(text: str) -> set[str]:
    """All numbers of a text, whole ones, in every unit that a result may hold them in."""
    found: set[str] = set()
    for match in NUMBER.finditer(text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 2]
        if before != "." and not re.match(r"\.?[0-9]", after):
            found |= same(match.group())
    return found


@cache
def same(word: str) -> set[str]:
    return {key(float(text) * factor) for text in (word, word.lstrip("-")) for factor in FACTORS}


def key(value: float) -> str:
    return f"{value + 0.0:.10g}"


def mutate(log: Log, draw: random.Random) -> tuple[bytes, bool]:
    """A broken log, and whether it is of one log alone."""
    data, alone = log.content, draw.random() > 0.1
    if not alone:
        other = draw.choice([one for one in LOGS if one.parser == log.parser])
        data = draw.choice((data + other.content, other.content + data))
    for mutation in draw.sample(MUTATIONS, draw.choice((0, 1, 1, 2) if not alone else (1, 1, 2))):
        data = mutation(data, draw) if data else data
    return data, alone


def test_mutations(pytestconfig):
    for seed in range(pytestconfig.getoption("--mutations")):
        log = LOGS[seed % len(LOGS)]
        data, alone = mutate(log, random.Random(seed))
        result = parse(log.parser, data)
        if result is None:
            continue
        document = result.model_dump(mode="json")
        assert type(result).model_validate_json(result.model_dump_json()) == result
        text = data.decode("utf-8", "replace")
        invented = {key(value) for value in numbers(document)} - written(text)
        assert not invented, (seed, log.name, invented)
        if alone and log.expected.get("failure"):
            assert document["failure"] is not None, (seed, log.name)


@pytest.mark.parametrize("log", LOGS, ids=NAMES)
def test_a_number_that_was_cut_off_is_not_read(log):
    whole = written(log.content.decode())
    draw = random.Random(0)
    last_line = range(len(log.content) - 20, len(log.content))
    for end in (*last_line, *draw.sample(range(len(log.content)), k=5)):
        result = parse(log.parser, log.content[:end])
        if result is not None:
            assert {key(value) for value in numbers(result.model_dump(mode="json"))} <= whole


RUNS = {
    "passed": "benchmark_model_qrb2210_cpu.log",
    "passed too": "benchmark_model_nnapi_synap_full.log",
    "failed": "benchmark_model_nnapi_fail_compile_mi11_tf240.log",
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("passed", "failed"),
        ("failed", "passed"),
        ("passed", "passed too"),
    ],
)
def test_a_log_of_two_runs_is_no_success(first, second):
    logs = load(RUNS[first]), load(RUNS[second])
    result = parse(logs[0].parser, logs[0].content + logs[1].content)
    assert result is not None
    assert result.model_dump()["failure"]
