"""What NNAPI may ask of an operator: one small function per rule, for the table in `nnapi`."""

from collections.abc import Callable

from edgecompress.formats.tflite.graph import Operator, Tensor
from edgecompress.formats.tflite.ops import EIGHT_BIT

Rule = Callable[[Operator, int], str | None]
"""Given the operator and the API level: None, or what is wrong."""

NNAPI_1_1, NNAPI_1_2, NNAPI_1_3 = 28, 29, 30
MAX_RANK = 4
PER_CHANNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
AVERAGE_POOL_WINDOW = 256
"""Elements; larger ones overflow on NNAPI's reference CPU path."""


def version(highest: int) -> Rule:
    def rule(op: Operator, _: int) -> str | None:
        if op.version <= highest:
            return None
        return f"{op.op_type} of version {highest} at most, this is {op.version}"

    return rule


def since(level: int) -> Rule:
    def rule(op: Operator, api_level: int) -> str | None:
        return None if api_level >= level else f"{op.op_type} needs API level {level}"

    return rule


def module_update(feature_level: int) -> Rule:
    def rule(op: Operator, _: int) -> str | None:
        return f"{op.op_type} needs feature level {feature_level}, which no API level promises"

    return rule


def types(*dtypes: str, at: int = 0) -> Rule:
    def rule(op: Operator, _: int) -> str | None:
        dtype = _input(op, at).dtype
        return None if dtype in dtypes else f"{op.op_type} takes {_or(dtypes)}, not {dtype}"

    return rule


def types_by_level(*levels: tuple[int, tuple[str, ...]], at: int = 0) -> Rule:
    """Each level adds types to those before it."""

    def rule(op: Operator, api_level: int) -> str | None:
        dtype = _input(op, at).dtype
        needed = next((level for level, dtypes in levels if dtype in dtypes), None)
        if needed is None:
            known = tuple(name for _, dtypes in levels for name in dtypes)
            return f"{op.op_type} takes {_or(known)}, not {dtype}"
        return None if api_level >= needed else f"{dtype} {op.op_type} needs API level {needed}"

    return rule


def result(*dtypes: str) -> Rule:
    def rule(op: Operator, _: int) -> str | None:
        dtype = op.outputs[0].dtype
        return None if dtype in dtypes else f"{op.op_type} gives {_or(dtypes)}, not {dtype}"

    return rule


def constant(*indices: int) -> Rule:
    def rule(op: Operator, _: int) -> str | None:
        found = [t for i in indices if i < len(op.inputs) and (t := op.inputs[i]) is not None]
        free = next((tensor for tensor in found if not tensor.constant), None)
        return None if free is None else f"'{free.name}' of {op.op_type} must be a constant"

    return rule


def no_scalar(op: Operator, _: int) -> str | None:
    return None if op.outputs[0].shape else f"{op.op_type} cannot give a scalar"


def no_activation(op: Operator, _: int) -> str | None:
    fused = op.option("fusedActivationFunction")
    return f"{op.op_type} with a fused activation" if fused else None


def no_activation_of_integers(op: Operator, api_level: int) -> str | None:
    return no_activation(op, api_level) if _input(op, 0).dtype == "int32" else None


def bias(op: Operator, _: int) -> str | None:
    has = len(op.inputs) == 3 and op.inputs[2] is not None
    return None if has else f"{op.op_type} needs a bias"


def plain_before_29(op: Operator, api_level: int) -> str | None:
    """NNAPI 1.0 and 1.1 know neither dilation nor groups."""
    if api_level >= NNAPI_1_2:
        return None
    if {op.option("dilationWFactor", 1), op.option("dilationHFactor", 1)} != {1}:
        return f"dilated {op.op_type} needs API level {NNAPI_1_2}"
    grouped = op.op_type == "CONV_2D" and _input(op, 0).shape[-1] != _input(op, 1).shape[-1]
    return f"grouped {op.op_type} needs API level {NNAPI_1_2}" if grouped else None


def kept_dimensions(op: Operator, api_level: int) -> str | None:
    if not op.option("keepNumDims") or api_level >= NNAPI_1_3:
        return None
    return f"{op.op_type} that keeps its dimensions needs API level {NNAPI_1_3}"


def small_window(op: Operator, _: int) -> str | None:
    size = op.option("filterWidth", 1) * op.option("filterHeight", 1)
    large = _input(op, 0).dtype in EIGHT_BIT and size > AVERAGE_POOL_WINDOW
    return f"a window of {size}; int8 ones end at {AVERAGE_POOL_WINDOW}" if large else None


def corners(op: Operator, api_level: int) -> str | None:
    named = [name for name in ("alignCorners", "halfPixelCenters") if op.option(name)]
    if api_level >= NNAPI_1_3 or not named:
        return None
    return f"{op.op_type} with {named[0]} needs API level {NNAPI_1_3}"


def rank_before_29(op: Operator, api_level: int) -> str | None:
    rank = len(_input(op, 0).shape)
    if api_level >= NNAPI_1_2 or rank in (2, 4):
        return None
    return f"{op.op_type} of rank {rank} needs API level {NNAPI_1_2}"


def rank_four(op: Operator, _: int) -> str | None:
    rank = len(_input(op, 0).shape)
    return None if rank == MAX_RANK else f"{op.op_type} takes rank 4, not {rank}"


def same_shape(op: Operator, _: int) -> str | None:
    same = _input(op, 0).shape == _input(op, 1).shape
    return None if same else f"{op.op_type} needs a condition of its inputs' shape"


def symmetric_at_29(op: Operator, api_level: int) -> str | None:
    steps = _input(op, 0).qparams
    if api_level != NNAPI_1_2 or _input(op, 0).dtype != "int8" or steps is None:
        return None
    if not steps.zero_point.any():
        return None
    return f"int8 {op.op_type} with a zero point needs API level {NNAPI_1_3}"


def quantized_at_30(op: Operator, api_level: int) -> str | None:
    dtype = op.outputs[0].dtype
    if dtype == "uint8" or (dtype == "int8" and api_level >= NNAPI_1_3):
        return None
    needs = f"needs API level {NNAPI_1_3}" if dtype == "int8" else "is not known"
    return f"{op.op_type} to {dtype} {needs}"


def not_last_axis(op: Operator, _: int) -> str | None:
    rank = len(_input(op, 0).shape)
    last = rank if op.op_type == "PACK" else rank - 1
    return f"{op.op_type} along the last axis" if op.option("axis") in (-1, last) else None


def padding_value(op: Operator, api_level: int) -> str | None:
    if len(op.inputs) < 3 or api_level >= NNAPI_1_2:
        return None
    return f"{op.op_type} with a padding value needs API level {NNAPI_1_2}"


def _rank(op: Operator, _: int) -> str | None:
    tensors = [tensor for tensor in (*op.inputs, *op.outputs) if tensor is not None]
    found = next((tensor for tensor in tensors if len(tensor.shape) > MAX_RANK), None)
    if found is None:
        return None
    return f"'{found.name}' has rank {len(found.shape)}; NNAPI's tensors end at rank {MAX_RANK}"


def _scales(op: Operator, api_level: int) -> str | None:
    for index, tensor in enumerate(op.inputs):
        if tensor is None or tensor.dtype != "int8" or not tensor.per_channel:
            continue
        if op.op_type not in PER_CHANNEL or index != 1:
            return f"{op.op_type} takes one scale for all of '{tensor.name}', not one per channel"
        if api_level < NNAPI_1_2:
            return f"one scale per channel needs API level {NNAPI_1_2}"
        if tensor.qparams is not None and tensor.qparams.zero_point.any():
            return f"one scale per channel needs zero point 0 in '{tensor.name}'"
    return None


def _signed(op: Operator, api_level: int) -> str | None:
    signed = any(t is not None and t.dtype == "int8" for t in (*op.inputs, *op.outputs))
    if not signed or api_level >= NNAPI_1_2:
        return None
    return f"int8 needs API level {NNAPI_1_2}; before, uint8 only"


def _input(op: Operator, index: int) -> Tensor:
    tensor = op.inputs[index] if index < len(op.inputs) else None
    # An operand that is not there has no type that any rule takes.
    return tensor if tensor is not None else Tensor("", (), "none")


def _or(names: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(names))


GENERAL: tuple[Rule, ...] = (_rank, _scales, _signed)
"""What every operator must keep to."""
