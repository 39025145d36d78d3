"""Networks of packages, untrained: `pip install 'edgecompress[zoo]'` brings the packages.

PyPI's torchvision is a CUDA build, which does not load beside torch's CPU build. Its networks are
Python, though, and its own operators are not used here: they are declared, so that it loads.
"""

import importlib
import os
import re
import sys
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

FOLDER = "ZOO_TORCHVISION"
"""Environment variable: where torchvision lies, when it should not be on everybody's path."""
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
_CLASSES = 10
_library: Any = torch.library.Library  # which has no types


@cache
def _torchvision() -> Any:
    if FOLDER in os.environ:
        sys.path.append(os.environ[FOLDER])
    library: Any = _library("torchvision", "FRAGMENT")
    _KEPT.append(library)
    while True:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = _MISSING.search(str(error))
            if missing is None:
                raise
            library.define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]


_KEPT: list[Any] = []
"""Operators are declared as long as their library lives."""


def _package(name: str) -> Any:
    with suppress(ModuleNotFoundError):
        _torchvision()  # most of the others import it
    return importlib.import_module(name)


_TIMM_OPTIONS: dict[str, dict[str, object]] = {
    "deit_tiny_patch16_224": {"depth": 4},
    "swin_tiny_patch4_window7_224": {"embed_dim": 32, "depths": (1, 1, 2, 1), "window_size": 4}
    | {"num_heads": (1, 2, 4, 8)},
}
"""Where the smallest is large: fewer or narrower layers of the same kind."""
_SIZED = ("deit", "swin", "mixer", "efficientvit_m")


def timm(name: str, side: int) -> nn.Module:
    package = _package("timm")
    sized = {"img_size": side} if name.startswith(_SIZED) else {}
    options = _TIMM_OPTIONS.get(name, {})
    model: nn.Module = package.create_model(name, num_classes=_CLASSES, **sized, **options)
    return model


def torchvision(name: str) -> nn.Module:
    models = _torchvision().models
    if name == "ssdlite_mobilenet_v3_large":
        return SsdHeads()
    if name.startswith(("lraspp", "deeplab")):
        build = getattr(models.segmentation, name)
        segmenter: nn.Module = build(weights=None, weights_backbone=None, num_classes=_CLASSES)
        return segmenter
    model: nn.Module = getattr(models, name)(weights=None, num_classes=_CLASSES)
    return model


class SsdHeads(nn.Module):
    """What of torchvision's SSDLite (MobileNetV3) is a network: the rest, anchors and the choice
    of boxes, belongs on the CPU after it.
    """

    def __init__(self) -> None:
        super().__init__()
        build = _torchvision().models.detection.ssdlite320_mobilenet_v3_large
        whole = build(weights=None, weights_backbone=None, num_classes=_CLASSES)
        self.backbone, self.head = whole.backbone, whole.head

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.head(list(self.backbone(images).values()))
        return outputs


def segmentation(decoder: str, encoder: str) -> nn.Module:
    package = _package("segmentation_models_pytorch")
    model: nn.Module = getattr(package, decoder)(encoder, encoder_weights=None, classes=4)
    return model


def yolo(name: str) -> nn.Module:
    tasks = _package("ultralytics.nn.tasks")
    model: nn.Module = tasks.DetectionModel(f"{name}.yaml", nc=_CLASSES, verbose=False)
    return model


_SMALL: dict[str, object] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
_TEXT: dict[str, object] = {**_SMALL, "vocab_size": 100, "max_position_embeddings": 32}
_T5: dict[str, object] = {
    "vocab_size": 100,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
}
_CONFIGURED: dict[str, tuple[str, str, dict[str, object]]] = {
    "bert": ("BertConfig", "BertModel", _TEXT),
    "distilbert": (
        "DistilBertConfig",
        "DistilBertModel",
        {
            "vocab_size": 100,
            "max_position_embeddings": 32,
            "dim": 64,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 128,
        },
    ),
    "mobilebert": (
        "MobileBertConfig",
        "MobileBertModel",
        {
            **_TEXT,
            "embedding_size": 32,
            "intra_bottleneck_size": 32,
            "num_feedforward_networks": 2,
        },
    ),
    "albert": ("AlbertConfig", "AlbertModel", {**_TEXT, "embedding_size": 32}),
    "roberta": ("RobertaConfig", "RobertaModel", _TEXT),
    "t5_encoder": ("T5Config", "T5EncoderModel", _T5),
    "gpt2": (
        "GPT2Config",
        "GPT2Model",
        {
            "vocab_size": 100,
            "n_positions": 32,
            "n_embd": 64,
            "n_layer": 2,
            "n_head": 4,
            "use_cache": False,
        },
    ),
    "llama": (
        "LlamaConfig",
        "LlamaModel",
        {**_TEXT, "num_key_value_heads": 2, "use_cache": False},
    ),
    "wav2vec2": (
        "Wav2Vec2Config",
        "Wav2Vec2Model",
        {**_SMALL, "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16}
        | {"num_conv_pos_embedding_groups": 4},
    ),
    "segformer": (
        "SegformerConfig",
        "SegformerForSemanticSegmentation",
        {"hidden_sizes": [16, 32, 40, 64], "depths": [1, 1, 1, 1], "decoder_hidden_size": 64}
        | {"num_labels": 4},
    ),
    "clip_vision": (
        "CLIPVisionConfig",
        "CLIPVisionModel",
        {**_SMALL, "image_size": 64, "patch_size": 16, "projection_dim": 32},
    ),
    "dinov2": ("Dinov2Config", "Dinov2Model", {**_SMALL, "image_size": 56, "patch_size": 14}),
    "audio_spectrogram": (
        "ASTConfig",
        "ASTModel",
        {**_SMALL, "num_mel_bins": 32, "max_length": 64},
    ),
}
_WHISPER: dict[str, object] = {
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "max_source_positions": 32,
    "vocab_size": 100,
    "pad_token_id": 0,
}


def transformers(name: str) -> nn.Module:
    """A tiny configuration: 2 layers, 64 wide."""
    package = _package("transformers")
    if name == "whisper_encoder":
        whisper = importlib.import_module("transformers.models.whisper.modeling_whisper")
        encoder: nn.Module = whisper.WhisperEncoder(package.WhisperConfig(**_WHISPER))
        return encoder
    config, model, options = _CONFIGURED[name]
    built: nn.Module = getattr(package, model)(getattr(package, config)(**options))
    return built


_MODULES = {
    "timm": "timm",
    "torchvision": "torchvision",
    "transformers": "transformers",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "ultralytics": "ultralytics",
}


def prepared(package: str) -> None:
    """Import what a network's package needs.

    Raises:
        ImportError: it is not installed.

    """
    if package != "own":
        _package(_MODULES.get(package, package))
