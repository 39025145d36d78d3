"""A model of one operator, with which a runtime makes what it has once for all models."""

RELU_ONNX = bytes.fromhex(
    "080712003a320a0c0a0178120179220452656c7512005a0f0a0178120a0a08080112040a020801620f0a0179120a"
    "0a08080112040a02080142040a00100d"
)
"""An ONNX file: y = Relu(x), of one number."""
