"""`python tests/zoo/coverage.py [CONSTRUCT ..]` writes docs/coverage.md: what becomes of each
construct; of those alone where some are named, and other lines stay. All take an hour on one core.

One calibrated graph of the portable scheme per construct; a file of it for each of five targets,
inspected as a deploy does it and run on random inputs by the agent. "wrong" would be a file that
disagrees with torch, "crashes" an error that is none of ours: neither may be in the table.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "compress")]

from prune_checks import context, structured  # noqa: E402 - the lines above find it
from quantizing import batch, calibrated  # noqa: E402
from zoo.catalogue import build  # noqa: E402

from edgecompress.compress.prune import prune  # noqa: E402
from edgecompress.compress.quantize import Prepared, convert  # noqa: E402
from edgecompress.errors import EdgecompressError  # noqa: E402
from edgecompress.formats.exportable import Exportable  # noqa: E402
from edgecompress.measure.agent import Inference  # noqa: E402
from edgecompress.measure.meter import Meter  # noqa: E402
from edgecompress.measure.tensors import feed, outputs_of, write_npz  # noqa: E402
from edgecompress.pipeline.formats import inspect_for  # noqa: E402
from edgecompress.pipeline.single import HERE, agent_on, loaded_here  # noqa: E402
from edgecompress.runtimes import runtime  # noqa: E402
from edgecompress.spec.load import load_target  # noqa: E402
from edgecompress.spec.measurement import Inspection  # noqa: E402
from edgecompress.task.base import tensors_of  # noqa: E402

FILES = {
    "ONNX": "local-onnxruntime",
    "TFLite": "local-litert",
    "ONNX for TensorRT": "jetson-orin-nano",
    "ONNX for OpenVINO": "local-openvino",
    "ExecuTorch": "local-executorch",
}
"""A column of the page: what the file is called, and whom it is for."""
COLUMNS = ("construct", "pruned", *FILES)
MAX_STEPS = 4.0
"""Differences of the output, between a file and torch: kernels round differently."""
SAMPLES = 4
CONSTRUCTS = {
    "convolution, batch norm, ReLU": "depthwise_separable",
    "ReLU6": "relu6",
    "hard-swish": "hardswish",
    "hard-sigmoid": "hardsigmoid",
    "sigmoid": "sigmoid",
    "SiLU": "silu",
    "leaky ReLU": "leaky_relu",
    "GELU": "gelu",
    "depthwise": "mobilenet_v2",
    "squeeze-excite": "mobilenet_v3",
    "grouped": "grouped_conv",
    "dilated": "dilated",
    "transposed": "transposed",
    "transposed, 1-D": "transposed_1d",
    "1-D convolution": "conv1d",
    "residual add": "residual",
    "option-A shortcut": "resnet20",
    "concatenation": "concat",
    "dense connections": "densenet",
    "channel shuffle": "channel_shuffle",
    "global average pool": "global_mean",
    "average pool": "average_pool",
    "max pool": "max_pool",
    "adaptive pools": "adaptive_pools",
    "nearest upsampling": "upsample_nearest",
    "bilinear upsampling": "upsample_bilinear",
    "pixel shuffle": "pixel_shuffle",
    "encoder and decoder": "unet",
    "uneven padding": "uneven_padding",
    "linear stack": "linear_stack",
    "linear over a sequence": "linear_3d",
    "layer norm": "layer_norm",
    "group norm": "group_norm",
    "softmax output": "softmax_output",
    "single-head attention": "single_head_attention",
    "multi-head attention": "multi_head_attention",
    "masked attention": "masked_attention",
    "transformer encoder": "transformer",
    "embedding": "text",
    "GRU": "recurrent",
    "LSTM": "lstm",
    "several inputs": "two_inputs",
    "several outputs": "several_outputs",
    "outputs in a dict": "dict_output",
    "fixed batch": "fixed_batch",
}


@dataclass(frozen=True)
class Row:
    construct: str
    pruned: str
    files: tuple[str, ...]
    """In the order of FILES."""

    def line(self) -> str:
        return f"| {' | '.join((self.construct, self.pruned, *self.files))} |"


def row(construct: str) -> Row:
    """Everything about one construct."""
    name = CONSTRUCTS[construct]
    prepared = calibrated(*build(name), "portable")
    files = tuple(_file(prepared, target) for target in FILES.values())
    return Row(construct, _pruned(name), files)


def _pruned(name: str) -> str:
    model, inputs = build(name)
    try:
        result = prune(model, structured(pruning_ratio=0.5), 2, context(inputs))
    except EdgecompressError as error:
        return f"refused: {error}"
    smaller = sum(layer.channels_after < layer.channels_before for layer in result.layers)
    reasons = dict.fromkeys(layer.reason for layer in result.layers if layer.reason)
    whole = f"; whole: {_first(reasons)}" if reasons else ""
    return f"{smaller} of {len(result.layers)} layers{whole}"


def _file(prepared: Prepared, name: str) -> str:
    target = load_target(name)
    writer = runtime(target.runtime.name)
    quantized = convert(prepared, integers=writer.capabilities.takes_integers)
    inputs = prepared.example_inputs
    with torch.no_grad():
        count = len(tensors_of(quantized.graph(*inputs)))
    exportable = Exportable(
        module=quantized.graph,
        example_inputs=inputs,
        free_batch=prepared.free_batch,
        input_names=tuple(f"in{index}" for index in range(len(inputs))),
        output_names=tuple(f"out{index}" for index in range(count)),
        lineage={},
        target=target,
        layers=quantized.layers,
        scheme=prepared.scheme,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        agent = agent_on(HERE, path / "agent")
        try:
            artifact = writer.export(exportable, path / f"model{writer.format.suffix}")
            found = inspect_for(artifact, target, agent, path)
        except EdgecompressError as error:
            return f"refused: {error}"
        meter = Meter.of(artifact, "torch")
        samples = [batch(inputs, 1, 100 + seed) for seed in range(SAMPLES)]
        together = [torch.cat(parts).numpy() for parts in zip(*samples, strict=True)]
        write_npz(path / "in.npz", feed(artifact, together))
        kernels = "default" if target.runtime.capabilities.runs_here else "reference"
        # One process, which runs sample by sample.
        inference = Inference(path / "in.npz", path / "out.npz", kernels=kernels)
        agent.infer(loaded_here(artifact, target), inference)
        outputs = outputs_of(artifact, path / "out.npz")
        for index, sample in enumerate(samples):
            with torch.no_grad():
                expected = [x.numpy() for x in tensors_of(quantized.graph(*sample))]
            meter.add(expected, [array[index : index + 1] for array in outputs])
        steps = meter.result().max_output_steps
        return f"wrong: {steps:.3g} steps" if steps > MAX_STEPS else _types(found)


_CONVERSIONS = {
    *("QUANTIZELINEAR", "DEQUANTIZELINEAR"),
    *("QUANTIZE", "DEQUANTIZE"),
    *("XNNCONVERT", "FAKEQUANTIZE", "CONVERT", "REORDER"),
}
"""What the runtimes call the way from float to int8 and back."""


def _types(found: Inspection) -> str:
    """'int8', or which operators are float and why."""
    reasons: dict[str, str] = {}
    for op in found.ops:
        if op.dtype.startswith("float") and op.reason and not _converts(op.op_type):
            reasons.setdefault(op.op_type, op.reason)
    if not reasons:
        return "int8"
    return "int8 but " + "; ".join(f"{kind}: {reason}" for kind, reason in sorted(reasons.items()))


def _converts(op_type: str) -> bool:
    return op_type.upper() in _CONVERSIONS


def _first(reasons: dict[str, None]) -> str:
    first = next(iter(reasons))
    return first if len(reasons) == 1 else f"{first}, and others"


def lines_of(text: str) -> dict[str, str]:
    """The lines of a page by their constructs."""
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return {line.split(" | ")[0].removeprefix("| "): line for line in rows}


def page(lines: list[str]) -> str:
    rule = "|".join("---" for _ in COLUMNS)
    return "\n".join(
        (
            "# Coverage",
            "",
            "What becomes of each construct: pruned to half, quantised with the portable scheme",
            "(int8 symmetric activations), exported for five targets, run on random inputs.",
            "`python tests/zoo/coverage.py` writes this page. OpenVINO's column was made on AVX2"
            " alone; with AMX the one cell of 15 tried that differs is masked attention's, whose"
            " Where is fused with its MatMul there.",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"|{rule}|",
            *lines,
            "",
        )
    )


if __name__ == "__main__":
    np.seterr(all="ignore")
    path = ROOT / "docs" / "coverage.md"
    lines = lines_of(path.read_text())
    for construct in sys.argv[1:] or CONSTRUCTS:
        lines[construct] = row(construct).line()
        print(lines[construct], file=sys.stderr, flush=True)
    path.write_text(page([lines[construct] for construct in CONSTRUCTS]))
