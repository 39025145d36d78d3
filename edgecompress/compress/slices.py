"""What is written into slices of a tensor is a concatenation: of what was written and of what is
left of the tensor. Every runtime has an int8 kernel for a concatenation, and none for the write.
"""

from typing import NamedTuple

from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edgecompress.compress.fx import ATEN, call_beside, fake, input_of

_END = 2**62
"""More than any size: torch.export writes the largest integer for an end that Python left out."""


class _Part(NamedTuple):
    """`length` positions of `source`, from `start` on."""

    source: Node
    start: int
    length: int


class _Slots(NamedTuple):
    """Where parts lie in a tensor: along `dim`; with a step above 1, along the second of the two
    dimensions [size / step, step] that it has instead.
    """

    dim: int
    step: int
    size: int
    """The length of the axis along which parts lie."""

    @property
    def axis(self) -> int:
        return self.dim if self.step == 1 else self.dim + 1


class _Joined(NamedTuple):
    """A tensor as the concatenation of its parts."""

    slots: _Slots
    parts: tuple[_Part, ...]

    def cut(self, start: int, stop: int) -> tuple[_Part, ...]:
        found, place = [], 0
        for part in self.parts:
            low, high = max(start, place), min(stop, place + part.length)
            if low < high:
                found.append(_Part(part.source, part.start + low - place, high - low))
            place += part.length
        return tuple(found)


class _Access(NamedTuple):
    """Slots that are read or written; `is_one`: without the dimension that they lie in."""

    slots: _Slots
    start: int
    stop: int
    is_one: bool


def join_slices(program: ExportedProgram) -> None:
    """In place. A slice that is read after it was written is what was written. Along a dimension
    whose size is not known, as that of a batch, a write stays what it is.
    """
    _Slices(program).rewrite()


class _Slices:
    """Follows in graph order what is written; what is still read of it is put together at the end,
    so that a loop which fills a tensor is one concatenation.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._joined: dict[Node, _Joined] = {}

    def rewrite(self) -> None:
        graph = self._program.graph
        rules = {
            ATEN.copy.default: _copied,
            ATEN.fill.Scalar: _filled,
            ATEN.zero.default: _filled,
            ATEN.slice.Tensor: self._read,
            ATEN.select.int: self._read,
            ATEN.slice_scatter.default: self._write,
            ATEN.select_scatter.default: self._write,
        }
        for node in list(graph.nodes):
            rule = rules.get(node.target)
            if rule is not None:
                self._replace(node, rule(node))
        for node in reversed(list(graph.nodes)):
            if node in self._joined:
                self._replace(
                    node, _concatenation(node, self._joined[node]) if node.users else node
                )

    def _replace(self, node: Node, new: Node | None) -> None:
        if new is None:
            return
        if new is not node:
            node.replace_all_uses_with(new)
            self._program.graph_signature.replace_all_uses(node.name, new.name)
        self._program.graph.erase_node(node)

    def _read(self, node: Node) -> Node | None:
        if _is_whole(node, 1):
            return input_of(node)
        joined, access = self._joined.get(input_of(node)), _access(node, 1)
        if joined is None or access is None or joined.slots != access.slots:
            return None
        parts = joined.cut(access.start, access.stop)
        if len(parts) != 1:
            return None
        axis = joined.slots.axis
        if not access.is_one:
            return _positions(node, parts[0], axis)
        source, start, _ = parts[0]
        if source.target is ATEN.unsqueeze.default and source.args[1] == axis:
            return input_of(source)
        return call_beside(node, ATEN.select.int, source, axis, start)

    def _write(self, node: Node) -> Node | None:
        x, source = input_of(node), input_of(node, 1)
        if _is_whole(node, 2):
            return source
        access = _access(node, 2)
        if access is None:
            return None
        slots, start, stop, is_one = access
        joined = self._joined.get(x)
        if joined is None or joined.slots != slots:
            if slots.step > 1:
                sizes = [fake(x).shape[slots.dim] // slots.step, slots.step]
                x = call_beside(node, ATEN.unflatten.int, x, slots.dim, sizes)
            joined = _Joined(slots, (_Part(x, 0, slots.size),))
        if is_one:
            source = call_beside(node, ATEN.unsqueeze.default, source, slots.axis)
        before, after = joined.cut(0, start), joined.cut(stop, slots.size)
        written = _Part(source, 0, stop - start)
        self._joined[node] = _Joined(slots, (*before, written, *after))
        return None


def _concatenation(node: Node, joined: _Joined) -> Node:
    axis = joined.slots.axis
    parts = [_positions(node, part, axis) for part in joined.parts]
    whole = parts[0] if len(parts) == 1 else call_beside(node, ATEN.cat.default, parts, axis)
    if joined.slots.step == 1:
        return whole
    return call_beside(node, ATEN.flatten.using_ints, whole, axis - 1, axis)


def _positions(node: Node, part: _Part, axis: int) -> Node:
    source, start, length = part
    if length == fake(source).shape[axis]:
        return source
    return call_beside(node, ATEN.slice.Tensor, source, axis, start, start + length)


def _is_whole(node: Node, first: int) -> bool:
    """Whether slice(x, dim, start, end, step) and its like leaves nothing out."""
    if node.target in (ATEN.select.int, ATEN.select_scatter.default):
        return False
    dim, start, end, step = _arguments(node, first)
    size = fake(input_of(node)).shape[dim]
    open_end = end is None or (isinstance(end, int) and end >= _END) or end is size
    return start in (None, 0) and step == 1 and bool(open_end or size == end)


def _arguments(node: Node, first: int) -> tuple[int, object, object, object]:
    """Dim, start, end and step, from the argument `first` on."""
    given = (*node.args[first:], *(0, None, None, 1)[len(node.args) - first :])
    dim, start, end, step = given
    assert isinstance(dim, int)
    return dim % fake(input_of(node)).dim(), start, end, step


def _access(node: Node, first: int) -> _Access | None:
    """Which slots a slice or select, or a write into one, is about; None where sizes are not known
    or it has no such slots.
    """
    x = fake(input_of(node))
    if node.target in (ATEN.select.int, ATEN.select_scatter.default):
        dim, index = node.args[first : first + 2]
        if not isinstance(dim, int) or not isinstance(index, int):
            return None
        dim %= x.dim()
        size = x.shape[dim]
        if not isinstance(size, int):
            return None
        return _Access(_Slots(dim, 1, size), index % size, index % size + 1, True)
    dim, *limits = _arguments(node, first)
    size = x.shape[dim]
    if not isinstance(size, int) or not all(x is None or isinstance(x, int) for x in limits):
        return None
    start, stop, step = slice(*limits).indices(size)
    if step == 1:
        return _Access(_Slots(dim, 1, size), start, max(start, stop), False)
    regular = size % step == 0 and start < step and len(range(start, stop, step)) == size // step
    return _Access(_Slots(dim, step, step), start, start + 1, True) if regular else None


def _copied(node: Node) -> Node:
    """copy(x, source) is the source, in the shape and type of x."""
    x, new = input_of(node), input_of(node, 1)
    wanted = fake(x)
    if fake(new).dtype != wanted.dtype:
        new = call_beside(node, ATEN.to.dtype, new, wanted.dtype)
    given = fake(new).shape
    same = len(given) == wanted.dim() and all(
        statically_known_true(a == b) for a, b in zip(given, wanted.shape, strict=True)
    )
    return new if same else call_beside(node, ATEN.expand_as.default, new, x)


def _filled(node: Node) -> Node:
    number = node.args[1] if len(node.args) > 1 else 0.0
    return call_beside(node, ATEN.full_like.default, input_of(node), number)
