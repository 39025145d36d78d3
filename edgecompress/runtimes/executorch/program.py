"""Reads a .pte once, within bounds, from bytes that may be anything.

`exir/_serialize/program.fbs` and `runtime/executor/program.cpp` of ExecuTorch: a flatbuffer, with a
header put in behind its identifier, and after it the segments that it names.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from edgecompress.errors import ArtifactError
from edgecompress.formats.metadata import read_object
from edgecompress.formats.reading import Kind, read_bytes
from edgecompress.runtimes.executorch.flatbuffer import Budget, Damaged, Table, root
from edgecompress.runtimes.executorch.model import Model, Node, Tensor
from edgecompress.runtimes.executorch.notes import METHOD, MODULES_KEY, PREFIX, instruction
from edgecompress.runtimes.executorch.schema import (
    INSTRUCTIONS,
    PROGRAM,
    SCALARS,
    STATIC,
    VALUES,
)
from edgecompress.runtimes.executorch.xnnpack import BACKEND, MAX_RANK, Payload, read_payload

KIND = Kind("a .pte file", ".pte", b"ET12")
_HEADER = b"eh00"
T = TypeVar("T")


def load(path: Path) -> Model:
    """Read a whole file.

    Raises:
        ArtifactError: missing, a folder, not a .pte, damaged, too large, or with more than one
            method.

    """
    content = read_bytes(path, KIND)
    try:
        return _Reader(path, memoryview(content)).model()
    except Foreign as error:
        raise ArtifactError(f"{path}: {error}") from None
    except Damaged as error:
        raise ArtifactError(
            f"{path}: not a valid .pte file, or cut short ({len(content)} bytes): {error};"
            " export or copy it again"
        ) from None


class Foreign(Exception):
    """A whole file that has what edgecompress does not read; the text says what, and a remedy."""


@dataclass(frozen=True)
class _Call:
    """One instruction: what it runs, and the values that it names."""

    table: Table
    number: int
    args: tuple[int, ...]


class _Reader:
    def __init__(self, path: Path, content: memoryview) -> None:
        self._path = path
        self._budget = Budget(len(content))
        base = 0
        size = len(content)
        if bytes(content[8:12]) == _HEADER:
            if len(content) < 32:
                raise Damaged("it ends in its header")
            size, base = struct.unpack_from("<QQ", content, 16)
        if size > len(content) or base > len(content):
            raise Damaged("its header points beyond its end")
        self._root = root(content[:size], "Program", PROGRAM, self._budget)
        self._segments = [
            self._segment(content, base, table)
            for table in self._root.tables("segments", "DataSegment")
        ]
        self._named = {
            entry.text("key"): self._at(self._segments, entry.number("segment_index", "I"))
            for entry in self._root.tables("named_data", "NamedData")
        }
        self._payloads: dict[tuple[bool, int], Payload] = {}

    def model(self) -> Model:
        plans = list(self._root.tables("execution_plan", "ExecutionPlan"))
        notes = {
            name: text
            for plan in plans
            if (name := plan.text("name")).startswith(PREFIX)
            and (text := self._text_of(plan)) is not None
        }
        others = [plan for plan in plans if plan.text("name") not in notes]
        methods = [plan for plan in others if plan.text("name") == METHOD]
        if len(methods) != 1:
            names = ", ".join(repr(plan.text("name")) for plan in others[:6]) or "none"
            raise Foreign(f"has the methods {names}; export a file with one method '{METHOD}'")
        modules = read_object(self._path, notes, MODULES_KEY)
        return _Plan(self, methods[0], modules).model(notes)

    def payload(self, delegate: Table) -> Payload:
        """What XNNPACK is given; read once, however many delegates name it."""
        where = delegate.needed("processed", "BackendDelegateDataReference")
        inline, index = not where.number("location", "b"), where.number("index", "I")
        if (inline, index) not in self._payloads:
            content = self._inline(index) if inline else self._at(self._segments, index)
            self._payloads[inline, index] = read_payload(content, self._named, self._budget)
        found = self._payloads[inline, index]
        self._budget.spend(len(found.steps) + len(found.values))
        return found

    def _inline(self, index: int) -> memoryview:
        tables = list(self._root.tables("backend_delegate_data", "BackendDelegateInlineData"))
        return self._at([table.content_of("data") for table in tables], index)

    def _text_of(self, plan: Table) -> str | None:
        """What a method that only returns a constant text returns."""
        values, outputs = list(plan.tables("values", "EValue")), plan.numbers("outputs", "i")
        if len(values) != 1 or outputs != (0,):
            return None
        value = values[0].union("val", VALUES)
        return value.text("string_val") if value is not None and value.name == "String" else None

    def _segment(self, content: memoryview, base: int, table: Table) -> memoryview:
        start, size = base + table.number("offset", "Q"), table.number("size", "Q")
        if start + size > len(content):
            raise Damaged("one of its segments reaches beyond its end")
        return content[start : start + size]

    def _at(self, items: list[memoryview], index: int) -> memoryview:
        if index >= len(items):
            raise Damaged(f"it points to part {index} of {len(items)}")
        return items[index]


class _Plan:
    """The one method of a program."""

    def __init__(self, reader: _Reader, plan: Table, modules: Mapping[str, str]) -> None:
        self._reader = reader
        self._plan = plan
        self._modules = modules
        self._values = [entry.union("val", VALUES) for entry in plan.tables("values", "EValue")]
        self._tensors = [self._tensor(i, value) for i, value in enumerate(self._values)]
        self._operators = [
            "::".join(("", *table.text("name").split("::"))[-2:])
            for table in plan.tables("operators", "Operator")
        ]
        self._delegates = list(plan.tables("delegates", "BackendDelegate"))
        self._tell_scales()

    def model(self, notes: Mapping[str, str]) -> Model:
        inputs = self._ends("inputs")
        known = {id(tensor) for tensor in (*inputs, *self._tensors) if tensor and tensor.constant}
        known |= {id(tensor) for tensor in inputs}
        nodes: list[Node] = []
        branches = False
        for call in self._calls():
            if call.table.name == "JumpFalseCall":
                branches = True
            elif call.table.name != "FreeCall":
                nodes += self._nodes(call, known, len(nodes))
        return Model(tuple(nodes), inputs, self._ends("outputs"), notes, branches)

    def _calls(self) -> Iterator[_Call]:
        number = 0
        for chain in self._plan.tables("chains", "Chain"):
            for entry in chain.tables("instructions", "Instruction"):
                table = entry.union("instr_args", INSTRUCTIONS)
                if table is None:
                    raise Damaged("it has an empty instruction")
                takes = "args" in table.schema[table.name]
                yield _Call(table, number, table.numbers("args", "i") if takes else ())
                number += 1

    def _nodes(self, call: _Call, known: set[int], first: int) -> list[Node]:
        if call.table.name == "DelegateCall":
            return list(self._delegated(call, known, first))
        if call.table.name == "MoveCall":
            name, args = (
                "move",
                tuple(call.table.number(field, "i") for field in ("move_from", "move_to")),
            )
        else:
            name = _item(self._operators, call.table.number("op_index", "i"))
            args = call.args
        tensors = [tensor for index in args for tensor in self._tensors_at(index)]
        self._plan.budget.spend(len(tensors))
        inputs = tuple(tensor for tensor in tensors if id(tensor) in known)
        # What nobody wrote before, the operator writes; a result may be named twice.
        outputs = tuple(dict.fromkeys(t for t in tensors if id(t) not in known))
        known.update(map(id, outputs))
        module = self._modules.get(instruction(call.number), "")
        return [Node(name, False, first, inputs, outputs, module, self._options(args))]

    def _delegate(self, call: _Call) -> tuple[Payload, tuple[int, ...]]:
        """What XNNPACK is given there, and the tensors that enter and leave it, by index."""
        delegate = _item(self._delegates, call.table.number("delegate_index", "i"))
        backend = delegate.text("id")
        if backend != BACKEND:
            raise Foreign(f"has a part for {backend or 'no backend'}; only {BACKEND} is read")
        payload = self._reader.payload(delegate)
        outside = tuple(index for index in call.args if self._tensors_at(index))
        if len(outside) != len(payload.externals):
            raise Damaged(
                f"XNNPACK is given {len(outside)} tensors and names {len(payload.externals)}"
            )
        return payload, outside

    def _tell_scales(self) -> None:
        """Tensors between delegates have none of their own; what reads or writes them has."""
        for call in self._calls():
            if call.table.name == "DelegateCall":
                payload, outside = self._delegate(call)
                for number, index in zip(payload.externals, outside, strict=True):
                    inside, tensor = payload.values[number], self._tensors[index]
                    if tensor is not None and inside.scales and not tensor.scales:
                        self._tensors[index] = replace(
                            tensor, scales=inside.scales, zero_point=inside.zero_point
                        )

    def _delegated(self, call: _Call, known: set[int], first: int) -> Iterator[Node]:
        payload, outside = self._delegate(call)
        held = {number: replace(tensor) for number, tensor in payload.values.items()}
        tensors = [tensor for index in outside for tensor in self._tensors_at(index)]
        held.update(zip(payload.externals, tensors, strict=True))
        if not known.isdisjoint(map(id, tensors[payload.inputs :])):
            raise Damaged("XNNPACK writes a tensor that was written before")
        for number, step in enumerate(payload.steps):
            yield Node(
                step.op_type,
                True,
                first + number,
                tuple(held[index] for index in step.inputs),
                tuple(held[index] for index in step.outputs),
                self._modules.get(str(step.handle), ""),
                step.options,
            )
        known.update(map(id, tensors))

    def _ends(self, field: str) -> tuple[Tensor, ...]:
        found = [_item(self._tensors, index) for index in self._plan.numbers(field, "i")]
        tensors = tuple(tensor for tensor in found if tensor is not None)
        if len(tensors) != len(found):
            raise Damaged(f"one of its {field} is no tensor")
        return tensors

    def _tensor(self, index: int, value: Table | None) -> Tensor | None:
        if value is None or value.name != "Tensor":
            return None
        dtype, shape = SCALARS.get(value.number("scalar_type", "b")), value.numbers("sizes", "i")
        if dtype is None or len(shape) > MAX_RANK or any(size < 0 for size in shape):
            raise Damaged(f"its value {index} has no known type or shape")
        if value.number("shape_dynamism", "b") != STATIC:
            raise Foreign("has tensors of free size; export it with fixed shapes")
        constant = value.number("data_buffer_idx", "I") > 0
        return Tensor(f"value {index}", dtype, shape, constant)

    def _tensors_at(self, index: int) -> list[Tensor]:
        """Those that an argument stands for: one, or those of a list."""
        value = _item(self._values, index)
        if value is None or value.name not in ("Tensor", "TensorList", "OptionalTensorList"):
            return []
        items = (index,) if value.name == "Tensor" else value.numbers("items", "i")
        found = [_item(self._tensors, item) for item in items if item >= 0]
        return [tensor for tensor in found if tensor is not None]

    def _options(self, args: tuple[int, ...]) -> dict[str, int]:
        """Integers and booleans among the arguments, by their places."""
        found = {}
        for place, index in enumerate(args):
            value = _item(self._values, index)
            if value is not None and value.name == "Int":
                found[str(place)] = value.number("int_val", "q")
            elif value is not None and value.name == "Bool":
                found[str(place)] = value.number("bool_val", "B")
        return found


def _item(items: Sequence[T], index: int) -> T:
    """Python's own indexing takes negative numbers too."""
    if not 0 <= index < len(items):
        raise Damaged(f"it points to item {index} of {len(items)}")
    return items[index]
