"""What same_files.py deploys: small nets that together go through every pass of every export."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BOARDS = (
    "local-onnxruntime", "local-litert", "jetson-orin-nano", "android-nnapi",
    "raspberry-pi-5-onnxruntime", "raspberry-pi-5-litert", "raspberry-pi-4-onnxruntime",
    "raspberry-pi-4-litert", "android-xnnpack",
    "android-gpu", "jetson-agx-orin", "jetson-xavier-nx",
)  # fmt: skip
"""Those of three runtimes, by name: a new runtime's are no part of the comparison."""
FEW = BOARDS[:4]
"""One of each format and of each set of passes."""
OLDER = (*FEW, "jetson-xavier-nx")
PTQ = {"mode": "ptq", "ranges": "minmax", "calibration_batches": 4}
PORTABLE = {**PTQ, "scheme": "portable"}
ONE_EPOCH = {"epochs": 1, "optimizer": "adamw", "learning_rate": 0.002}
ZOO = (
    "lenet5", "resnet8", "ds_cnn", "mobilenet_v1_vww", "deep_autoencoder", "m5", "tcn",
    "conv_tasnet", "gru_spotter", "lstm_spotter", "pointnet", "tc_resnet8", "eegnet", "espcn",
    "blazeface", "bert", "gpt2", "whisper_encoder", "segformer", "mobilenetv3_small_050",
    "unet_mobilenet_v2", "shufflenet_v2_x0_5", "yolov8n",
)  # fmt: skip
"""Names of zoo_catalogue.py, the first fifteen with no package of others."""


@dataclass(frozen=True)
class Case:
    """One deploy of several targets."""

    name: str
    document: Mapping[str, Any]
    """Its deploy.yaml, without what is the same in all."""
    targets: tuple[str, ...]

    @property
    def text(self) -> str:
        """The deploy.yaml."""
        return yaml.safe_dump({"seed": 0, "budgets": {"max_metric_drop": 1.0}, **self.document})


def cases(data: Path | None, models: Path | None) -> Iterator[Case]:
    """All there are, what says most in the least time first.

    Args:
        data: fsdd.npz and CIFAR-10, as formats.py wants them; None: left out.
        models: weights of ResNet-8 and ResNet-20; None: left out.

    """
    yield from demo()
    yield replace(construct("mobilenet_v3"), name="boards/mobilenet_v3", targets=BOARDS)
    yield from trained(data, models)
    for name in ZOO:
        task = {"path": f"{HERE / 'zoo_task.py'}:Zoo", "options": {"name": name}}
        yield Case(f"zoo/{name}", {"task": task, "quantize": PTQ}, FEW)
    from same_files_task import CONSTRUCTS  # imports torch

    yield from map(construct, CONSTRUCTS)


def construct(name: str) -> Case:
    task = {"path": f"{HERE / 'same_files_task.py'}:Construct", "options": {"name": name}}
    return Case(f"constructs/{name}", {"task": task, "quantize": PORTABLE}, FEW[:3])


def demo() -> Iterator[Case]:
    """deploy.yaml with fewer epochs, and what else a deploy.yaml may ask for."""
    document = yaml.safe_load((ROOT / "deploy.yaml").read_text())
    document["task"] = {"path": f"{ROOT / 'examples' / 'digits.py'}:Digits"}
    document["train"] |= {"epochs": 2}
    document["finetune"] |= {"epochs": 1}
    document["quantize"]["train"] |= {"epochs": 1}
    quantize, prune = document["quantize"], document["prune"]
    shorter = {key: document[key] for key in ("task", "train")}

    def case(name: str, targets: tuple[str, ...], **changes: Any) -> Case:
        return Case(f"demo/{name}", {**document, **changes}, targets)

    yield case("affine", BOARDS)
    yield case("portable", BOARDS, quantize={**quantize, "scheme": "portable"})
    yield case("two-four", ("jetson-orin-nano", "jetson-agx-orin"), prune={**prune, "then": "2:4"})
    kept = {**PTQ, "keep_float": ["3.conv1", "1"], "keep_float_sensitive": 2}
    yield case("kept-float", OLDER, quantize=kept)
    yield Case("demo/float", {**shorter, "finetune": ONE_EPOCH}, (*OLDER, "android-gpu"))
    yield Case("demo/ptq", {**shorter, "quantize": {**PTQ, "ranges": "auto"}}, OLDER)
    zeros = {"method": "unstructured", "sparsity": 0.5, "scope": "global"}
    sparse = {**shorter, "prune": zeros, "finetune": ONE_EPOCH, "quantize": PTQ}
    yield Case("demo/unstructured", sparse, FEW[:2])


def trained(data: Path | None, models: Path | None) -> Iterator[Case]:
    """The benchmarks' networks that are trained, or train in seconds."""
    sensor = {"task": {"path": f"{HERE / 'sensor_task.py'}:Sensor"}, "train": ONE_EPOCH}
    yield Case("trained/sensor", {**sensor, "quantize": PORTABLE}, FEW)
    if data is None:
        print("left out for want of --data: trained/fsdd, trained/resnet8, trained/resnet20")
        return
    spoken = {
        "task": {
            "path": f"{HERE / 'fsdd_task.py'}:SpokenDigits",
            "options": {"data": str((data / "fsdd.npz").resolve())},
        },
        "train": ONE_EPOCH,
        "quantize": {**PORTABLE, "mode": "qat", "train": ONE_EPOCH},
    }
    yield Case("trained/fsdd", spoken, FEW)
    for arch, file in (("resnet8", "mlperf_tiny_resnet8.pt"), ("resnet20", "resnet20-12fca82f.th")):
        if models is None or not (models / file).exists():
            print(f"left out: trained/{arch}, there is no {file} in --models")
            continue
        options = {"data": str(data.resolve()), "arch": arch, "test_images": 256}
        options["weights"] = str((models / file).resolve())
        task = {"path": f"{HERE / 'cifar10_task.py'}:Cifar10", "options": options}
        for scheme in ("target", "portable"):
            wanted = {"task": task, "quantize": {**PTQ, "scheme": scheme}}
            yield Case(f"trained/{arch}-{scheme}", wanted, OLDER)


WARM_UP = replace(construct("relu6"), targets=("local-onnxruntime", "jetson-orin-nano"))
