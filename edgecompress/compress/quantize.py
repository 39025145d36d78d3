"""From a float model to a quantised graph: capture, prepare, calibrate, convert."""

import copy
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

from edgecompress.compress import folding
from edgecompress.compress.calibration import CalibrationRun, share_run
from edgecompress.compress.canonical import canonicalise
from edgecompress.compress.capture import capture
from edgecompress.compress.constants import fold_constants
from edgecompress.compress.duplicate import duplicate
from edgecompress.compress.fake_quantize import observers_of
from edgecompress.compress.fx import LOOPS, module_path
from edgecompress.compress.islands import scale_scores
from edgecompress.compress.modes import set_training
from edgecompress.compress.names import check_names
from edgecompress.compress.observers import Ranges
from edgecompress.compress.operators import WEIGHTED
from edgecompress.compress.products import make_linear
from edgecompress.compress.quantizer import TargetQuantizer
from edgecompress.compress.refine_float import refine_float
from edgecompress.compress.requantize import avoid_ties
from edgecompress.compress.units import operator_names
from edgecompress.errors import ModelError
from edgecompress.spec.deploy import SEPARATOR, QuantizeSpec
from edgecompress.spec.scheme import QuantizationScheme
from edgecompress.task.base import Batch, inputs_of, one_by_one


class NothingQuantised(ModelError):
    """A model of which no operator can be in int8."""


@dataclass
class Prepared:
    """A graph with fake-quantize modules in it: trainable, and exact about what will ship."""

    graph: GraphModule
    example_inputs: tuple[Tensor, ...]
    free_batch: bool
    keep_float: tuple[str, ...]
    scheme: QuantizationScheme
    notes: tuple[str, ...] = ()
    """What was chosen for the user and why, for a report."""


@dataclass
class Quantized:
    """The converted graph, with int8 weights inside and Q/DQ around every quantised operator.
    `prepared` stays, because exporters for other formats convert it differently.
    """

    prepared: Prepared
    graph: GraphModule
    layers: dict[str, str]
    """Name of an int8 weight in `graph` -> path of the user's layer that it belongs to."""

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Each layer's, as they ship; one that is used more than once may have several."""
        for name, layer in self.layers.items():
            yield layer, attrgetter(name)(self.graph)


@dataclass(frozen=True)
class Captured:
    """A model as a float graph in operators that int8 kernels exist for; it can be prepared often,
    and tracing it is what takes long.
    """

    model: nn.Module
    graph: GraphModule
    example_inputs: tuple[Tensor, ...]
    free_batch: bool
    notes: tuple[str, ...] = ()
    """As in `Prepared`."""


def captured(
    model: nn.Module, example_inputs: tuple[Tensor, ...], spec: QuantizeSpec | None = None
) -> Captured:
    """Trace a copy of `model`, and change in float what `spec` asks for.

    Raises:
        ModelError: it cannot be traced or has a loop.

    """
    graph, free_batch = capture(duplicate(model), example_inputs)
    _check_loops(model, graph)
    fold_constants(graph)
    make_linear(graph)
    canonicalise(graph)
    notes = () if spec is None else refine_float(graph, example_inputs, spec)
    return Captured(model, graph, example_inputs, free_batch, notes)


def prepare(
    model: nn.Module,
    example_inputs: tuple[Tensor, ...],
    scheme: QuantizationScheme,
    ranges: Ranges,
    keep_float: tuple[str, ...] = (),
) -> Prepared:
    """`prepare_captured` of a model that is prepared once; errors as theirs."""
    return prepare_captured(captured(model, example_inputs), scheme, ranges, keep_float)


def prepare_captured(
    traced: Captured, scheme: QuantizationScheme, ranges: Ranges, keep_float: tuple[str, ...] = ()
) -> Prepared:
    """Put fake-quantize modules into a copy of the graph where `scheme` wants them.

    Raises:
        ModelError: a name in `keep_float` is none of the model's modules or operators, or nothing
            in it can be quantised.

    """
    model, example_inputs, free_batch = traced.model, traced.example_inputs, traced.free_batch
    modules = [name for name in keep_float if SEPARATOR not in name]
    check_names(model, modules, "quantize.keep_float")
    graph = copy.deepcopy(traced.graph)
    _check_operators(model, graph, set(keep_float).difference(modules))
    folding.make_batch_norms_foldable(graph)
    if scheme.outputs == "as_read":
        scale_scores(graph)
    graph = prepare_qat_pt2e(graph, TargetQuantizer(scheme, ranges, keep_float))
    folding.pair(graph)
    if scheme.scales == "free":
        avoid_ties(graph, scheme)
    share_run(graph)
    if not observers_of(graph):
        raise NothingQuantised(
            f"{type(model).__name__}: nothing in it can be quantised; remove quantize, or"
            " fewer names from keep_float"
        )
    prepared = Prepared(graph, example_inputs, free_batch, keep_float, scheme, traced.notes)
    # One pass gives every observer the shape that a checkpoint of it has.
    calibrate(prepared, [(example_inputs, None)])
    CalibrationRun(graph).forget()
    return prepared


def _check_operators(model: nn.Module, graph: GraphModule, names: AbstractSet[str]) -> None:
    known = set(operator_names(graph).values())
    for name in sorted(names - known):
        module = name.partition(SEPARATOR)[0]
        inside = [other for other in known if other.startswith(f"{module}{SEPARATOR}")]
        raise ModelError(
            f"quantize.keep_float: '{name}' is no operator of {type(model).__name__}; known:"
            f" {', '.join(sorted(inside or known)[:12])}.."
        )


def _check_loops(model: nn.Module, graph: GraphModule) -> None:
    """PT2E does not convert their bodies; what cond chooses between simply stays in float."""
    for node in graph.graph.nodes:
        if node.target in LOOPS:
            raise ModelError(
                f"{type(model).__name__}: a loop ({LOOPS[node.target]}) cannot be quantised; unroll"
                " it into a fixed number of steps, or remove quantize"
            )


def calibrate(
    prepared: Prepared, batches: Iterable[Batch], on_batch: Callable[[], None] = lambda: None
) -> None:
    """Let every observer see the float activations of `batches`, then quantise from here on."""
    set_training(prepared.graph, False)
    with torch.no_grad(), CalibrationRun(prepared.graph).observing():
        for batch in batches:
            forward(prepared, inputs_of(batch))
            on_batch()


def convert(prepared: Prepared, integers: bool = True) -> Quantized:
    """Fold batch norm and fix the scales; `prepared` is kept.

    Args:
        prepared: trained or calibrated.
        integers: turn weights into integers; else they stay float, with Q/DQ behind them, which
            computes the same.

    """
    graph = copy.deepcopy(prepared.graph)
    set_training(graph, False)
    CalibrationRun(graph).freeze()
    folding.fold(graph)
    with torch.no_grad():
        graph(*prepared.example_inputs)  # every weight's range becomes that of its last value
        _snap_weights(graph, all_of_them=not integers)
    graph._forward_pre_hooks.clear()  # there are no observers left to tell
    converted = convert_pt2e(graph, fold_quantize=integers)
    return Quantized(prepared, converted, _layers(converted))


def _snap_weights(graph: GraphModule, *, all_of_them: bool) -> None:
    """Make weights the numbers that their integers stand for: those that do not follow from the
    weight and its scale alone, or all. Who quantises one again, and divides by the scale in another
    way than torch does, would break a tie in another way too.
    """
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        fake_quantize = modules.get(str(node.target)) if node.op == "call_module" else None
        source = node.args[0] if node.args else None
        if fake_quantize is None or not isinstance(source, Node) or source.op != "get_attr":
            continue
        if not (all_of_them or fake_quantize.held):
            continue
        weight = attrgetter(str(source.target))(graph)
        if len(source.users) == 1 and isinstance(weight, nn.Parameter):
            weight.copy_(fake_quantize(weight))


def _layers(graph: GraphModule) -> dict[str, str]:
    layers = {}
    for node in graph.graph.nodes:
        if node.target not in WEIGHTED:
            continue
        weight = node.args[1]
        while isinstance(weight, Node) and weight.op == "call_function":
            weight = weight.args[0]
        if isinstance(weight, Node) and weight.op == "get_attr":
            layers[str(weight.target)] = module_path(node) or node.name
    return layers


def forward(prepared: Prepared, inputs: tuple[Tensor, ...]) -> Any:
    """Run the prepared graph on a batch; sample by sample where the model fixes its batch."""
    return run_batch(prepared.graph, inputs, prepared.free_batch)


def run_batch(graph: nn.Module, inputs: tuple[Tensor, ...], free_batch: bool) -> Any:
    """Run a captured graph; sample by sample where its batch size is fixed to that of one."""
    if free_batch:
        return graph(*inputs)
    return one_by_one(graph, inputs)
