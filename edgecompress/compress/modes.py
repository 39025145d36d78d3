"""Training and eval mode, of modules and of captured graphs alike."""

from torch import nn
from torch.fx import GraphModule

from edgecompress.compress.fx import ATEN

_TRAINING_ARGUMENT = {  # operator -> position of its `training` argument
    ATEN.dropout.default: 2,
    ATEN.feature_dropout.default: 2,
}


def set_training(model: nn.Module, training: bool) -> None:
    """Like `model.train(training)`, for exported graphs too, where dropout has the mode as
    an argument.
    """
    if not isinstance(model, GraphModule):
        model.train(training)
        return
    for module in model.modules():
        module.training = training  # prepared graphs refuse train() itself
    for node in model.graph.nodes:
        position = _TRAINING_ARGUMENT.get(node.target)
        if position is not None:
            node.update_arg(position, training)
    model.recompile()
