"""A picture through a TFLite file in LiteRT, prepared as the file itself declares.

    pip install ai-edge-litert pillow  # or tflite-runtime, where Python is older
    python examples/run_litert.py model.tflite picture.jpg
    edgecompress check-contract model.tflite --app "python examples/run_litert.py model.tflite"

The declaration is in the file's metadata, under edgecompress.preprocessing, and which dimension
has the channels under edgecompress.layout. LiteRT for Python does not tell them: tflite_notes.py.
"""

import json
import sys

import numpy as np
import picture
from tflite_notes import notes_of

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter


def main(file, path, tensor=None):
    """`tensor`: a .npy file for what the network is given, as check-contract asks."""
    interpreter, notes = Interpreter(file), notes_of(file)
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner()
    ((name, taken),) = run.get_input_details().items()
    given = picture.prepared(path, picture.declared_in(notes))
    if json.loads(notes["edgecompress.layout"])[name] == "nhwc":
        given = np.ascontiguousarray(given.transpose(0, 2, 3, 1))
    if taken["dtype"] == np.int8:  # the target's `edges: {dtype: int8}`
        scale, zero_point = taken["quantization"]
        given = np.clip(np.rint(given / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
    if tensor is not None:
        np.save(tensor, given)
    outputs, details = run(**{name: given}), run.get_output_details()
    for name, array in outputs.items():
        scale, zero_point = details[name]["quantization"]
        # A scale of 0: the output is not quantised.
        real = (array.astype(np.int32) - zero_point) * scale if scale else array
        picture.show(name, real, notes)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: run_litert.py MODEL.tflite PICTURE [INPUT.npy]")
    main(*sys.argv[1:])
