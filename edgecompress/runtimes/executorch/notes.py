"""What edgecompress writes into a .pte: methods that return a constant text, JSON by key.

ExecuTorch offers such methods for the settings of a model (`constant_methods`), and its runtime
gives them to whoever asks: so the agent learns the names of inputs and outputs, of which the format
has none.
"""

METHOD = "forward"
"""The one method that computes."""
PREFIX = "edgecompress."
INPUTS_KEY = "edgecompress.inputs"
"""A list of strings: the names of the inputs, in their order."""
OUTPUTS_KEY = "edgecompress.outputs"
MODULES_KEY = "edgecompress.modules"
"""An object from a debug handle of XNNPACK's graph ('22'), or the place of an instruction of the
method ('instruction 3'), to the path of the user's module.
"""


def instruction(number: int) -> str:
    """Key of MODULES_KEY's object."""
    return f"instruction {number}"
