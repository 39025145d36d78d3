"""The fields that `schema.py` has are those of the schemas that come with ExecuTorch."""

import re
from pathlib import Path

import pytest

from edgecompress.runtimes.executorch import schema

executorch = pytest.importorskip("executorch", reason="executorch is not installed")
# A package without a file of its own, of which this folder looks like a part.
FOLDER = next(path for path in map(Path, executorch.__path__) if (path / "exir").is_dir())


def read(name: str) -> str:
    text = (FOLDER / name).read_text()
    return re.sub(r"//.*", "", text)


def fields_of(text: str, table: str) -> list[str]:
    """A union has a field for its type before it; deprecated ones have a place all the same."""
    (body,) = re.findall(rf"\btable {table}\s*{{(.*?)}}", text, re.DOTALL)
    found = []
    for name, kind in re.findall(r"(\w+)\s*:\s*\[?(\w+)\]?[^;]*;", body):
        if re.search(rf"\bunion {kind}\b", text):
            found.append(f"{name}_type")
        found.append(name)
    return found


def members_of(text: str, union: str) -> list[tuple[str, str]]:
    """Names, and the tables that they stand for."""
    (body,) = re.findall(rf"\bunion {union}\s*{{(.*?)}}", text, re.DOTALL)
    return [(name, kind or name) for name, kind in re.findall(r"(\w+)(?:\s*:\s*(\w+))?,?", body)]


def enum_of(text: str, enum: str) -> dict[int, str]:
    (body,) = re.findall(rf"\benum {enum}\s*:\s*\w+\s*{{(.*?)}}", text, re.DOTALL)
    return {int(number): name for name, number in re.findall(r"(\w+)\s*=\s*(\d+)", body)}


def test_the_program():
    text = read("exir/_serialize/program.fbs")
    for table, fields in schema.PROGRAM.items():
        assert list(fields) == fields_of(text, table), table
    assert list(schema.VALUES) == [name for name, _ in members_of(text, "KernelTypes")]
    instructions = [name for name, _ in members_of(text, "InstructionArguments")]
    assert list(schema.INSTRUCTIONS) == instructions
    assert enum_of(text, "TensorShapeDynamism")[schema.STATIC] == "STATIC"
    scalars = enum_of(read("exir/_serialize/scalar_type.fbs"), "ScalarType")
    spelled = {"BYTE": "uint8", "CHAR": "int8", "INT": "int32", "LONG": "int64", "FLOAT": "float32"}
    for number, name in scalars.items():
        assert name not in spelled or schema.SCALARS[number] == spelled[name]


def test_what_xnnpack_is_given():
    text = read("backends/xnnpack/serialization/schema.fbs")
    members = members_of(text, "XNodeUnion")
    assert list(schema.NODES) == [name for name, _ in members]
    tables = {**dict.fromkeys(schema.GRAPH), **dict(members)}
    for table, kind in tables.items():
        assert list(schema.GRAPH[table]) == fields_of(text, kind or table), table
    for union, names in (("XValueUnion", schema.XVALUES), ("XNNQuantParams", schema.QUANT_PARAMS)):
        assert list(names) == [name for name, _ in members_of(text, union)]
    spelled = {"xnn_datatype_fp32": "float32", "xnn_datatype_qint8": "int8"}
    spelled |= {"xnn_datatype_qcint8": "int8", "xnn_datatype_qcint32": "int32"}
    for number, name in enum_of(text, "XNNDatatype").items():
        assert name not in spelled or schema.DATATYPES[number] == spelled[name]
