"""A recording of TensorRT's Python package, for tests: no GPU, and nothing of it looks like one.

Its classes are made from the description of a real release (`tensorrt_api/*.json`, read from that
release's own extension module), so that each has the members of the real one and no other, takes
the parameters of the real one, and has the real one's numbers in its enumerations. What tests need
of them does something; the rest raises NotImplementedError. Every call is a line in the log.

An "engine" is the ONNX file with a header, and ONNX Runtime computes it: numbers are right, times
mean nothing. Set by the environment:

    RECORDING_API    the description to be
    RECORDING_LOG    file that each call is appended to
    RECORDING_HIDES  comma-separated members to be without: ICudaEngine.num_io_tensors,...
    RECORDING_FAILS  what goes wrong: parse, build, load, context, infer
"""

from tensorrt import _build, _run
from tensorrt._recorder import CLASSES, DOES, VERSION

__version__ = VERSION
for _module in (_build, _run):
    DOES.update({name: value for name, value in vars(_module).items() if callable(value)})
globals().update(CLASSES)
