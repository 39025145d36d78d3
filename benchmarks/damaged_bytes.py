"""Damages a model file, by a seed: its bytes, its protobuf messages, its flatbuffer tables."""

import importlib
import math
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
import onnx

schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
Message = Any
"""Protobuf's, whose package has no types."""
INTEGERS = (0, 1, -1, 2, 7, 127, 255, 1 << 16, (1 << 31) - 1, -(1 << 31), (1 << 63) - 1, -(1 << 63))
FLOATS = (0.0, -1.0, math.nan, math.inf, -math.inf, 1e-45, 3e38)
NAMES = ("", "x", "\x1b[2J", "a\nb", "..", "é" * 3, "n" * 5000, "%s{}", "\0")
NESTED = 40


def flipped_bits(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def set_bytes(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 3, 8))):
        changed[draw.randrange(len(changed))] = draw.choice(
            (0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256))
        )
    return bytes(changed)


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def inserted(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    return content[:at] + draw.randbytes(draw.choice((1, 4, 64))) + content[at:]


def removed(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + content[at + draw.choice((1, 4, 64, 1024)) :]


def spliced(content: bytes, draw: random.Random) -> bytes:
    """A piece of the file over another, or twice."""
    begin = draw.randrange(len(content))
    piece = content[begin : begin + draw.choice((4, 32, 512, 4096))]
    at = draw.randrange(len(content))
    return content[:at] + piece + content[at + draw.choice((0, len(piece))) :]


def filled(content: bytes, draw: random.Random) -> bytes:
    """A range of one byte, as a lost block of a disk."""
    at, size = draw.randrange(len(content)), draw.choice((4, 64, 512))
    return content[:at] + bytes([draw.choice((0, 0xFF))]) * size + content[at + size :]


def long_varint(content: bytes, draw: random.Random) -> bytes:
    """A number or a length of protobuf, made huge."""
    at = draw.randrange(len(content))
    return (
        content[:at]
        + draw.choice((b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07"))
        + content[at + 1 :]
    )


def set_words(content: bytes, draw: random.Random) -> bytes:
    """32-bit words of a flatbuffer: offsets out of it, into themselves and into one another."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(max(1, len(changed) // 4)) * 4
        other = draw.randrange(len(changed))
        word = draw.choice((0, 1, 4, 0xFFFFFFFF, 0x7FFFFFFF, other - at, at, other, len(changed)))
        changed[at : at + 4] = struct.pack("<I", word & 0xFFFFFFFF)
    return bytes(changed)


def messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if is_repeated(field) else (value,):
                yield from messages(one)


def is_repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == 3)


def changed_messages(content: bytes, draw: random.Random) -> bytes:
    """Fields of the protobuf messages: numbers, names, types, lists, and whole messages."""
    proto = onnx.ModelProto()
    proto.ParseFromString(content)
    found = list(messages(proto))
    names = [node_output for node in proto.graph.node for node_output in node.output]
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        message = draw.choice(found)
        fields = [field for field, _ in message.ListFields()]
        if not fields or draw.random() < 0.15:
            fields = list(message.DESCRIPTOR.fields)
        try:
            _change(message, draw.choice(fields), found, names, draw)
        except (TypeError, ValueError, AttributeError, OverflowError):
            continue  # of another type than the field takes
    return bytes(proto.SerializeToString())


def _change(
    message: Message, field: Any, found: list[Message], names: list[str], draw: random.Random
) -> None:
    if not is_repeated(field):
        if draw.random() < 0.15:
            message.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(_like(field, found, draw))
        else:
            setattr(message, field.name, _scalar(field, names, draw))
        return
    items = getattr(message, field.name)
    how = draw.choice(("drop", "again", "clear", "set", "set", "add", "swap"))
    at = draw.randrange(len(items)) if len(items) else 0
    if how == "clear" or (how == "drop" and len(items) < 2):
        message.ClearField(field.name)
    elif how == "drop":
        del items[at]
    elif field.type == field.TYPE_MESSAGE:
        items.add().CopyFrom(
            items[at] if how == "again" and len(items) else _like(field, found, draw)
        )
    elif how == "again" and len(items):
        items.extend(list(items) * draw.choice((1, 100)))
    elif how in ("set", "swap") and len(items):
        items[at] = (
            items[draw.randrange(len(items))] if how == "swap" else _scalar(field, names, draw)
        )
    else:
        items.append(_scalar(field, names, draw))


def _like(field: Any, found: list[Message], draw: random.Random) -> Message:
    """Another message of the field's type: a graph in a graph, a node that is another."""
    same = [one for one in found if one.DESCRIPTOR.full_name == field.message_type.full_name]
    copy: Message = field.message_type._concrete_class()
    if same:
        # Through bytes, since a message that is copied into itself ends the process.
        copy.ParseFromString(draw.choice(same).SerializeToString())
    return copy


def _scalar(field: Any, names: list[str], draw: random.Random) -> Any:
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return draw.choice(FLOATS)
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        text = draw.choice((draw.choice(NAMES), draw.choice(names or ["x"]), draw.choice(OP_TYPES)))
        return (
            text
            if field.type == field.TYPE_STRING
            else draw.choice((text.encode(), draw.randbytes(7)))
        )
    if field.type == field.TYPE_ENUM:
        return draw.choice(field.enum_type.values).number
    if field.type == field.TYPE_BOOL:
        return draw.random() < 0.5
    return draw.choice((*INTEGERS, draw.randrange(30)))


OP_TYPES = sorted({schema.name for schema in onnx.defs.get_all_schemas()})


def changed_quantisation(content: bytes, draw: random.Random) -> bytes:
    """Scales, zero points and axes that no quantisation has; sizes below zero; missing weights."""
    proto = onnx.ModelProto()
    proto.ParseFromString(content)
    stored = list(proto.graph.initializer)
    for tensor in draw.sample(stored, min(len(stored), draw.choice((1, 1, 3)))):
        how = draw.randrange(7)
        if how == 0 and tensor.data_type == onnx.TensorProto.FLOAT:
            count = max(1, len(tensor.raw_data) // 4)
            tensor.raw_data = np.full(count, draw.choice(FLOATS), np.float32).tobytes()
        elif how == 1:
            tensor.data_type = draw.randrange(30)
        elif how == 2:
            tensor.dims[:] = draw.choice(
                ([], [0], [-1], [2, 2], [1 << 40], [1 << 31, 1 << 31], [3])
            )
        elif how == 3:
            proto.graph.initializer.remove(tensor)
        elif how == 4:
            tensor.raw_data = tensor.raw_data[: draw.randrange(len(tensor.raw_data) + 1)]
        elif how == 5:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            where = draw.choice(("weights.bin", "/etc/hostname", "../x", ""))
            tensor.external_data.add(key="location", value=where)
        else:
            tensor.name = draw.choice(stored).name
    nodes = [node for node in proto.graph.node if node.attribute]
    if nodes and draw.random() < 0.5:
        attribute = draw.choice(draw.choice(nodes).attribute)
        attribute.i = draw.choice(INTEGERS)
        if attribute.ints:
            attribute.ints[:] = [draw.choice(INTEGERS)] * draw.choice((0, 1, len(attribute.ints)))
    return bytes(proto.SerializeToString())


def nested(content: bytes, draw: random.Random) -> bytes:
    """Graphs in graphs, as deep as protobuf allows and deeper; metadata alike."""
    proto = onnx.ModelProto()
    proto.ParseFromString(content)
    graph = proto.graph
    inner = onnx.GraphProto()
    inner.CopyFrom(graph)
    for depth in range(draw.choice((1, 3, 12, NESTED))):
        outer = onnx.GraphProto()
        node = outer.node.add(op_type="If", output=["deep"], input=[graph.node[0].input[0]])
        # Both branches double the file at every level.
        for name in ("then_branch", "else_branch")[: 2 if depth < 3 else 1]:
            node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner)
        outer.output.add(name="deep")
        inner = outer
    graph.node.add().CopyFrom(inner.node[0])
    if draw.random() < 0.3:
        proto.metadata_props.add(key="edgecompress.lineage", value="[" * 100_000)
    return bytes(proto.SerializeToString())


def changed_tables(content: bytes, draw: random.Random) -> bytes:
    """Fields of the flatbuffer's tables, packed again."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = list(_objects(model))
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        owner = draw.choice(found)
        name = draw.choice(list(vars(owner)))
        setattr(owner, name, _other(getattr(owner, name), found, draw))
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except Exception:  # whatever flatbuffers cannot write: that is no file
        return set_words(content, draw)
    return bytes(builder.Output())


def _objects(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif hasattr(value, "Pack"):
        if vars(value):
            yield value
        for item in vars(value).values():
            yield from _objects(item)


def _other(value: Any, found: list[Any], draw: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice((*(n for n in INTEGERS if abs(n) < 1 << 31), draw.randrange(210)))
    if isinstance(value, float):
        return draw.choice(FLOATS)
    if isinstance(value, bytes | str):
        return draw.choice(NAMES).encode()
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.size < 100 else value
    if isinstance(value, list) and value:
        items, at = list(value), draw.randrange(len(value))
        how = draw.randrange(4)
        if how == 0:
            del items[at]
        elif how == 1:
            items.append(items[at])
        elif how == 2:
            return []
        elif not hasattr(items[at], "Pack"):
            items[at] = _other(items[at], found, draw)
        return items
    if value is None:
        return draw.choice((None, [0, -1], draw.choice(found)))
    if hasattr(value, "Pack"):
        same = [one for one in found if type(one) is type(value)]
        return draw.choice((None, *same))
    return value[: len(value) // 2] if hasattr(value, "__len__") else value


Mutation = Callable[[bytes, random.Random], bytes]
OF_BYTES: tuple[Mutation, ...] = (
    flipped_bits,
    set_bytes,
    truncated,
    inserted,
    removed,
    spliced,
    filled,
)
OF_FORMAT: dict[str, tuple[Mutation, ...]] = {
    ".onnx": (*(changed_messages,) * 6, *(changed_quantisation,) * 3, nested, long_varint),
    ".tflite": (*(changed_tables,) * 5, *(set_words,) * 4),
}


def damaged(content: bytes, suffix: str, seed: int) -> tuple[str, bytes]:
    """The name of what was done, and the file after it."""
    draw = random.Random(seed)
    mutation = draw.choice(OF_FORMAT[suffix] if draw.random() < 0.6 else OF_BYTES)
    changed = mutation(content, draw)
    if draw.random() < 0.1 and changed:
        changed = draw.choice(OF_BYTES)(changed, draw)
    return mutation.__name__, changed
