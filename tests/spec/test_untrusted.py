"""JSON that a device wrote: what is ours is read, and all else is refused before it is built."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgecompress
from edgecompress.errors import SpecError
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.untrusted import (
    CONTAINERS,
    DEPTH,
    KEYS,
    STRINGS,
    TEXT_BYTES,
    VALUES,
    NotJson,
    read_json,
)

LIMIT_BYTES = 8 << 20
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES_OF_ANY_KIND = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES_OF_ANY_KIND, st.booleans())
def test_what_is_json_is_read_as_it_was(value, ascii_only):
    try:
        content = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # A lone surrogate has no UTF-8.
        return
    assert read_json(content, LIMIT_BYTES) == value


@given(st.binary(max_size=200) | st.text('[]{}\\",:0aé', max_size=60).map(str.encode))
def test_it_takes_nothing_that_python_s_reader_does_not(content):
    try:
        found = read_json(content, LIMIT_BYTES)
    except NotJson:
        return
    assert found == json.loads(content)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 50_000 + "]" * 50_000, "lists and objects"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), "brackets in brackets"),
        ('{"a":' * 500 + "1" + "}" * 500, "brackets in brackets"),
        ("9" * 5_000, "more than 64 bits"),
        (str(2**63), "more than 64 bits"),
        ("1e999", "is not finite"),
        ("NaN", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ('{"a": 1, "a": 2}', "a key comes twice"),
        ("[" + "0," * VALUES + "0]", "values"),
        ("[" + "[]," * CONTAINERS + "[]]", "lists and objects"),
        ("[" + '"a",' * STRINGS + '"a"]', "strings"),
        ("{" + ",".join(f'"{i}":1' for i in range(KEYS + 1)) + "}", "keys"),
        ('"' + "x" * (TEXT_BYTES + 1) + '"', "a string of more than"),
        (" " * (LIMIT_BYTES + 1), "bytes"),
        ('"\\"' + '\\"' * 20_000, "Unterminated string"),
        ("\ufeff[]", "BOM"),
        ("tru", "Expecting value"),
        ("", "Expecting value"),
    ],
)
def test_what_is_refused(text, why):
    with pytest.raises(NotJson, match=why):
        read_json(text.encode(), LIMIT_BYTES)


def test_what_is_no_utf_8():
    with pytest.raises(NotJson, match="utf-8"):
        read_json(b'"\xff"', LIMIT_BYTES)
    with pytest.raises(NotJson):
        read_json("[1]".encode("utf-16"), LIMIT_BYTES)


def test_brackets_in_texts_do_not_count():
    deep = '"' + "[{" * 1_000 + '\\"' + "]}," * 1_000 + '\\\\"'
    assert read_json(f'{{"a": {deep}}}'.encode(), LIMIT_BYTES) == {"a": json.loads(deep)}


def test_a_path_that_is_no_utf_8_comes_through():
    assert read_json(rb'"no utf-8 \udcff"', 100) == "no utf-8 \udcff"


@pytest.mark.parametrize("one", ["[],", "{},", '"a",', "0,", '{"a":0},', "1e9,", '"\\"",', '"é",'])
def test_memory_stays_small(one):
    content = b"[" + one.encode() * (LIMIT_BYTES // len(one.encode()) - 2) + b"0]"
    tracemalloc.start()
    with pytest.raises(NotJson):
        read_json(content, LIMIT_BYTES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * LIMIT_BYTES


def test_a_spec_of_deep_data_is_refused_in_one_line():
    class Any(Spec):
        value: object = None

    data: object = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(SpecError, match=r"x\.json: not plain data"):
        parse(Any, {"value": data}, "x.json")
    while data:  # Or its end would be a recursion too.
        (data,) = data


def test_nobody_else_reads_what_a_device_wrote():
    package = Path(edgecompress.__file__).parent
    ours = {"devices/virtual.py"}
    """Reads what it wrote here itself."""
    rooms = ("transport", "push", "measure", "devices")
    files = [path for room in rooms for path in (package / room).rglob("*.py")]
    readers = {
        str(path.relative_to(package))
        for path in files
        if re.search(
            r"\bjson\.loads?\(|np\.load\(|\bpickle\.|model_validate_json", path.read_text()
        )
    }
    assert readers <= ours
