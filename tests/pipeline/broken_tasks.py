"""Tasks that are wrong in one way each, and what the error must say."""

HEAD = """\
import torch
from torch import nn
from torch.nn import functional
from task import Tiny, TinyNet, batches


class Broken(Tiny):
"""


def method(body: str) -> str:
    """A source whose class has this one method, on lines 8 and following."""
    return HEAD + "".join(f"    {line}\n" for line in body.splitlines())


def model(forward: str) -> str:
    """A source whose model is a TinyNet with this forward()."""
    net = f"class Net(TinyNet):\n    def forward(self, images):\n        {forward}\n\n\n"
    body = "    def model(self):\n        return Net(self.classes)\n"
    return HEAD.replace("class Broken", f"{net}class Broken") + body


BROKEN: dict[str, tuple[str, tuple[str, ...]]] = {
    # The file
    "syntax_error": ("class Broken(:\n", ("broken.py", "cannot be imported", "line 1")),
    "import_error": (
        "import torch\nimport no_such_module\n",
        ("cannot be imported", "no_such_module", "broken.py:2"),
    ),
    "exits_when_imported": (
        "import sys\nsys.exit('no data here')\n",
        ("cannot be imported", "no data here", "broken.py:2"),
    ),
    "abstract": (
        "from edgecompress import Task\n\n\nclass Broken(Task):\n    pass\n",
        ("'Broken' lacks", "eval_data", "model", "train_data"),
    ),
    "constructor_raises": (
        method("def __init__(self):\n    raise OSError('no images in data/')"),
        ("broken.py:Broken", "no images in data/", "broken.py:9"),
    ),
    # The model
    "model_raises": (
        method("def model(self):\n    return {}['net']"),
        ("Broken.model()", "KeyError", "broken.py:9"),
    ),
    "model_is_no_module": (
        method("def model(self):\n    return TinyNet(self.classes).state_dict()"),
        ("Broken.model()", "OrderedDict", "torch.nn.Module"),
    ),
    "pickled_weights": (
        method(
            "def model(self):\n"
            "    torch.save(TinyNet(self.classes), 'whole.pt')\n"
            "    return torch.load('whole.pt', weights_only=True)"
        ),
        ("Broken.model()", "weights_only", "state_dict", "broken.py:10"),
    ),
    "inputs_do_not_fit": (
        method("def example_inputs(self):\n    return (torch.zeros(1, 3, 8, 8),)"),
        ("Broken", "model(*example_inputs())", "channels"),
    ),
    "inputs_are_no_tuple": (
        method("def example_inputs(self):\n    return torch.zeros(1, 1, 8, 8)"),
        ("Broken.example_inputs()", "tuple of tensors"),
    ),
    "wrong_number_of_outputs": (
        model("return super().forward(images), images"),
        ("Broken", "[[1, 8], [1, 1, 8, 8]]", "[1, 8]"),
    ),
    "wrong_number_of_classes": (
        method("def model(self):\n    return TinyNet(5)"),
        ("Broken", "[[1, 5]]", "classes = 8"),
    ),
    "cannot_be_traced": (
        model("return super().forward(images if images.sum() > 0 else -images)"),
        ("cannot trace", "control flow"),
    ),
    # The data
    "no_training_data": (
        method("def train_data(self):\n    return []"),
        ("Broken.train_data()", "gives no batches"),
    ),
    "no_evaluation_data": (
        method("def eval_data(self):\n    return iter(())"),
        ("Broken.eval_data()", "gives no batches"),
    ),
    "no_data_at_all": (
        method("def train_data(self):\n    self.train_set"),
        ("Broken.train_data()", "NoneType", "yield batches"),
    ),
    "data_raises_late": (
        method("def train_data(self):\n    yield self.train_set\n    raise OSError('disk gone')"),
        ("Broken.train_data()", "disk gone", "broken.py:10"),
    ),
    "batch_is_no_pair": (
        method("def train_data(self):\n    return [self.train_set[0]]"),
        ("Broken.train_data() batch 0", "(inputs, target)"),
    ),
    "training_labels_out_of_range": (
        method(
            "def train_data(self):\n"
            "    images, labels = self.train_set\n"
            "    return batches((images, labels + 1))"
        ),
        ("Broken.train_data() batch 0", "label 8 is out of range", "0 to 7"),
    ),
    "evaluation_labels_out_of_range": (
        method(
            "def eval_data(self):\n"
            "    images, labels = self.eval_set\n"
            "    return batches((images, labels - 1))"
        ),
        ("Broken.eval_data() batch", "label -1 is out of range", "0 to 7"),
    ),
    "training_images_of_another_kind": (
        method(
            "def train_data(self):\n"
            "    images, labels = self.train_set\n"
            "    return batches((images.repeat(1, 3, 1, 1), labels))"
        ),
        ("Broken.train_data()", "channels", "task.py:"),
    ),
    "evaluation_images_of_another_kind": (
        method(
            "def eval_data(self):\n"
            "    images, labels = self.eval_set\n"
            "    return batches((images.double(), labels))\n"
            "def validation_data(self):\n"
            "    return batches(self.eval_set)"
        ),
        ("takes float32", "float64"),
    ),
    "calibration_images_of_another_kind": (
        method(
            "def calibration_data(self):\n"
            "    images, labels = self.train_set\n"
            "    return batches((images[:, :, 0], labels))"
        ),
        ("Broken.calibration_data()",),
    ),
    # Loss and metric
    "loss_is_nan": (
        method("def loss(self, outputs, target):\n    return outputs.mean() * float('nan')"),
        ("train: loss is nan in epoch 1, batch 1", "learning_rate"),
    ),
    "loss_raises": (
        method("def loss(self, outputs, target):\n    return outputs @ target"),
        ("Broken.loss()", "broken.py:9"),
    ),
    "loss_is_no_scalar": (
        method("def loss(self, outputs, target):\n    return outputs"),
        ("Broken.loss()", "[64, 8]", "scalar"),
    ),
    "loss_without_gradient": (
        method("def loss(self, outputs, target):\n    return outputs.detach().mean()"),
        ("Broken.loss()", "grad"),
    ),
    "metric_raises": (
        method("def update(self, metric, outputs, target):\n    metric.update(outputs)"),
        ("Broken.update()", "TypeError", "broken.py:9"),
    ),
    "metric_is_none": (
        method("def metric(self):\n    return functional.cross_entropy"),
        ("Broken.metric()", "function", "torchmetrics"),
    ),
    "metric_without_direction": (
        method(
            "def metric(self):\n    from torchmetrics import MeanMetric\n    return MeanMetric()"
        ),
        ("Broken.metric()", "MeanMetric", "higher_is_better"),
    ),
    "metric_is_nan": (
        HEAD.replace(
            "class Broken",
            "class Nan:\n"
            "    higher_is_better = True\n"
            "    def update(self, outputs, target):\n"
            "        pass\n"
            "    def compute(self):\n"
            "        return torch.tensor(float('nan'))\n\n\n"
            "class Broken",
        )
        + "    def metric(self):\n        return Nan()\n",
        ("Broken.metric()", "Nan is nan"),
    ),
}
