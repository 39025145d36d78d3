"""A picture through a .pte file in ExecuTorch, prepared as the file itself declares.

    pip install executorch pillow
    python examples/run_executorch.py model.pte picture.jpg
    edgecompress check-contract model.pte --app "python examples/run_executorch.py model.pte"

The declaration is the constant that the file's method edgecompress.preprocessing gives, because
a .pte file has no other place for notes.
"""

import json
import sys

import numpy as np
import picture
import torch
from executorch.runtime import Runtime


def main(file, path, tensor=None):
    """`tensor`: a .npy file for what the network is given, as check-contract asks."""
    program = Runtime.get().load_program(file)
    names = [name for name in program.method_names if name.startswith("edgecompress.")]
    notes = {name: program.load_method(name).execute([])[0] for name in names}
    given = picture.prepared(path, picture.declared_in(notes))
    if tensor is not None:
        np.save(tensor, given)
    outputs = program.load_method("forward").execute([torch.from_numpy(given)])
    for name, output in zip(json.loads(notes["edgecompress.outputs"]), outputs, strict=True):
        picture.show(name, output.numpy(), notes)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: run_executorch.py MODEL.pte PICTURE [INPUT.npy]")
    main(*sys.argv[1:])
