"""Other quantizers on the same float files and the same calibration data, for comparison."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from edgecompress.formats.tflite.file import describe as describe_tflite
from edgecompress.measure.tensors import Array, feed
from edgecompress.pipeline.formats import describe_file

Calibration = Sequence[Sequence[Array]]
"""Batches, each an array [N, ..] per input, in the layout of the torch model."""


class Peer(NamedTuple):
    name: str
    file: Path


def onnxruntime_peers(baseline: Path, calibration: Calibration, folder: Path) -> Iterator[Peer]:
    """Static quantisation by onnxruntime, weights per channel: uint8 and int8 activations."""
    quantization = importlib.import_module("onnxruntime.quantization")
    prepared = folder / "prepared.onnx"
    shapes = importlib.import_module("onnxruntime.quantization.shape_inference")
    try:
        shapes.quant_pre_process(str(baseline), str(prepared))
    except Exception:
        # Its own symbolic shapes fail on some graphs; it has this switch for them.
        shapes.quant_pre_process(str(baseline), str(prepared), skip_symbolic_shape=True)
    for name, kind in (("u8s8", "QUInt8"), ("s8s8", "QInt8")):
        file = folder / f"onnxruntime-{name}.onnx"
        quantization.quantize_static(
            str(prepared),
            str(file),
            _Reader(describe_file(prepared), calibration),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType[kind],
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        onnx.checker.check_model(str(file))
        yield Peer(f"onnxruntime {name}", file)


class _Reader:
    """What onnxruntime asks for calibration data: sample by sample."""

    def __init__(self, artifact: Any, calibration: Calibration) -> None:
        self._samples = (
            {name: array[index : index + 1] for name, array in feed(artifact, batch).items()}
            for batch in calibration
            for index in range(len(batch[0]))
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self._samples, None)


def litert_peer(baseline: Path, calibration: Calibration, folder: Path) -> Peer:
    """The quantizer that belongs to LiteRT, static int8."""
    quantizer = importlib.import_module("ai_edge_quantizer.quantizer")
    recipe = importlib.import_module("ai_edge_quantizer.recipe")
    interpreter = importlib.import_module("ai_edge_litert.interpreter")
    artifact = describe_tflite(baseline)
    signatures = interpreter.Interpreter(str(baseline)).get_signature_list()
    signature = next(iter(signatures))
    names = signatures[signature]["inputs"]
    work = quantizer.Quantizer(str(baseline))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    samples = []
    for batch in calibration:
        arrays = feed(artifact, batch)
        ordered = [arrays[info.name] for info in artifact.inputs]
        for index in range(len(ordered[0])):
            one = (np.ascontiguousarray(array[index : index + 1]) for array in ordered)
            samples.append(dict(zip(names, one, strict=True)))
    found = work.quantize(work.calibrate({signature: samples}))
    file = folder / "litert-quantizer.tflite"
    file.write_bytes(bytes(found.quantized_model))
    return Peer("LiteRT quantizer", file)
