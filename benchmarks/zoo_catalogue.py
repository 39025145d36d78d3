"""Every architecture of the zoo, by the name that `--only` and docs/models.md know it by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import zoo_nets
import zoo_packages as packages
from torch import nn
from zoo_inputs import Input


@dataclass(frozen=True)
class Net:
    """How to build a network, and what it takes."""

    package: str
    """'own' for those of zoo_nets.py."""
    build: Callable[[], nn.Module]
    inputs: tuple[Input, ...]
    pruned: bool = False
    """Whether it is pruned and trained again too."""


def _image(side: int, channels: int = 3) -> tuple[Input, ...]:
    return (Input((channels, side, side)),)


def _signal(*shape: int) -> tuple[Input, ...]:
    return (Input(shape, "signal"),)


TEXT = (Input((16,), "tokens"), Input((16,), "mask"))
TOKENS = (Input((16,), "tokens"),)

_OWN: dict[str, tuple[Callable[[], nn.Module], tuple[Input, ...]]] = {
    "resnet8": (zoo_nets.resnet8, _image(32)),
    "ds_cnn": (zoo_nets.ds_cnn, (Input((1, 49, 10)),)),
    "mobilenet_v1_vww": (zoo_nets.mobilenet_v1_vww, _image(96)),
    "deep_autoencoder": (zoo_nets.deep_autoencoder, (Input((640,), "signal"),)),
    "m5": (zoo_nets.m5, _signal(1, 4000)),
    "tcn": (zoo_nets.TemporalNet, _signal(9, 64)),
    "conv_tasnet": (zoo_nets.ConvTasNet, _signal(1, 800)),
    "gru_spotter": (partial(zoo_nets.RecurrentSpotter, nn.GRU), (Input((1, 40, 32)),)),
    "lstm_spotter": (partial(zoo_nets.RecurrentSpotter, nn.LSTM), (Input((1, 40, 32)),)),
    "pointnet": (zoo_nets.PointNet, (Input((3, 128), "features"),)),
    "tc_resnet8": (zoo_nets.tc_resnet8, _signal(40, 98)),
    "eegnet": (zoo_nets.eegnet, _signal(1, 22, 128)),
    "espcn": (zoo_nets.espcn, _image(24, 1)),
    "lenet5": (zoo_nets.lenet5, _image(28, 1)),
    "blazeface": (zoo_nets.BlazeFace, _image(64)),
}

_TIMM: dict[str, int] = {
    "mobilenetv2_050": 64,
    "mobilenetv3_small_050": 64,
    "mobilenetv4_conv_small": 64,
    "efficientnet_b0": 64,
    "efficientnet_lite0": 64,
    "efficientvit_b0": 64,
    "efficientvit_m0": 96,
    "mobilevit_xxs": 64,
    "mobilevitv2_050": 64,
    "mobileone_s0": 64,
    "repvgg_a0": 64,
    "convnext_atto": 64,
    "densenet121": 64,
    "resnet18": 64,
    "resnext26ts": 64,
    "regnetx_002": 64,
    "regnety_002": 64,
    "ghostnet_050": 64,
    "inception_v3": 96,
    "deit_tiny_patch16_224": 64,
    "swin_tiny_patch4_window7_224": 64,
    "fastvit_t8": 64,
    "hrnet_w18_small": 64,
    "mnasnet_small": 64,
    "lcnet_050": 64,
    "tinynet_e": 64,
    "edgenext_xx_small": 64,
    "poolformer_s12": 64,
    "starnet_s1": 64,
    "mixer_s32_224": 64,
}
"""With the side of the image."""

_TORCHVISION = {
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "lraspp_mobilenet_v3_large": 64,
    "ssdlite_mobilenet_v3_large": 96,
}

_TRANSFORMERS: dict[str, tuple[Input, ...]] = {
    "bert": TEXT,
    "distilbert": TEXT,
    "mobilebert": TEXT,
    "albert": TEXT,
    "roberta": TEXT,
    "t5_encoder": TEXT,
    "gpt2": TOKENS,
    "llama": TOKENS,
    "whisper_encoder": (Input((80, 64), "signal"),),
    "wav2vec2": (Input((3200,), "signal"),),
    "segformer": _image(64),
    "clip_vision": _image(64),
    "dinov2": _image(56),
    "audio_spectrogram": (Input((64, 32), "signal"),),
}

_SEGMENTATION = {
    "unet_mobilenet_v2": ("Unet", "mobilenet_v2"),
    "unet_resnet18": ("Unet", "resnet18"),
    "deeplabv3plus_mobilenet_v2": ("DeepLabV3Plus", "mobilenet_v2"),
    "fpn_efficientnet_b0": ("FPN", "efficientnet-b0"),
    "linknet_resnet18": ("Linknet", "resnet18"),
}

_YOLO = ("yolov8n", "yolo11n")

_PRUNED = {
    "resnet8",
    "ds_cnn",
    "mobilenet_v1_vww",
    "deep_autoencoder",
    "m5",
    "tcn",
    "conv_tasnet",
    "gru_spotter",
    "tc_resnet8",
    "lenet5",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "regnetx_002",
    "resnet18",
    "squeezenet1_1",
    "unet_resnet18",
    "yolov8n",
    "bert",
}


def _rows() -> dict[str, Net]:
    found: dict[str, tuple[str, Callable[[], nn.Module], tuple[Input, ...]]] = {}
    for name, (build, inputs) in _OWN.items():
        found[name] = ("own", build, inputs)
    for name, side in _TIMM.items():
        found[name] = ("timm", partial(packages.timm, name, side), _image(side))
    for name, side in _TORCHVISION.items():
        found[name] = ("torchvision", partial(packages.torchvision, name), _image(side))
    for name, inputs in _TRANSFORMERS.items():
        found[name] = ("transformers", partial(packages.transformers, name), inputs)
    for name, (decoder, encoder) in _SEGMENTATION.items():
        build = partial(packages.segmentation, decoder, encoder)
        found[name] = ("segmentation-models-pytorch", build, _image(64))
    for name in _YOLO:
        found[name] = ("ultralytics", partial(packages.yolo, name), _image(64))
    return {
        name: Net(package, build, inputs, name in _PRUNED)
        for name, (package, build, inputs) in found.items()
    }


CATALOGUE = _rows()
