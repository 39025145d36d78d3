"""A picture through an ONNX file in ONNX Runtime, prepared as the file itself declares.

    pip install onnxruntime pillow
    python examples/run_onnxruntime.py model.onnx picture.jpg
    edgecompress check-contract model.onnx --app "python examples/run_onnxruntime.py model.onnx"

The declaration is in the file's `metadata_props`, under edgecompress.preprocessing.
"""

import sys

import numpy as np
import onnxruntime
import picture


def main(file, path, tensor=None):
    """`tensor`: a .npy file for what the network is given, as check-contract asks."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    given = picture.prepared(path, picture.declared_in(notes))
    if tensor is not None:
        np.save(tensor, given)
    (taken,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    for name, array in zip(names, session.run(names, {taken.name: given}), strict=True):
        picture.show(name, array, notes)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: run_onnxruntime.py MODEL.onnx PICTURE [INPUT.npy]")
    main(*sys.argv[1:])
