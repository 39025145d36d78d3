"""A picture through an ONNX file in OpenVINO, prepared as the file itself declares.

    pip install openvino pillow
    python examples/run_openvino.py model.onnx picture.jpg
    edgecompress check-contract model.onnx --app "python examples/run_openvino.py model.onnx"

The declaration is in the file's `metadata_props`, under edgecompress.preprocessing; OpenVINO has
them in the model's runtime information, under "framework".
"""

import sys

import numpy as np
import openvino
import picture


def main(file, path, tensor=None):
    """`tensor`: a .npy file for what the network is given, as check-contract asks."""
    core = openvino.Core()
    model = core.read_model(file)
    about = model.get_rt_info()["framework"] if model.has_rt_info("framework") else {}
    notes = {name: text.astype(str) for name, text in about.items()}
    given = picture.prepared(path, picture.declared_in(notes))
    if tensor is not None:
        np.save(tensor, given)
    # Left alone, OpenVINO may compute in less what the file has in float32.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(given)
    for output in compiled.outputs:
        picture.show(output.any_name, found[output], notes)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: run_openvino.py MODEL.onnx PICTURE [INPUT.npy]")
    main(*sys.argv[1:])
