"""Rows of the report: each layer that has channels, before and after pruning."""

from collections.abc import Mapping

from torch import nn

from edgecompress.compress.groups import CONV
from edgecompress.compress.rewrite import Attention
from edgecompress.spec.report import LayerRow

WIDTHS: tuple[tuple[type[nn.Module], str], ...] = (
    (CONV, "out_channels"),
    (nn.Linear, "out_features"),
    (nn.RNNBase, "hidden_size"),
    (nn.MultiheadAttention, "embed_dim"),
    (Attention, "width"),
    (nn.Embedding, "embedding_dim"),
)


def rows(
    before: nn.Module, after: nn.Module, reasons: Mapping[str, str], otherwise: str | None = None
) -> tuple[LayerRow, ...]:
    """One row per layer; `reasons`, or `otherwise`, says why one is as wide as before. Of a layer
    that is gone no channels are left.
    """
    left = dict(after.named_modules())
    return tuple(
        _row(layer, left.get(name), name, reasons.get(name, otherwise))
        for name, layer in before.named_modules()
        if _width(layer) is not None
    )


def with_reasons(layers: tuple[LayerRow, ...], reasons: Mapping[str, str]) -> tuple[LayerRow, ...]:
    """The same rows, with `reasons` beside those that they have."""

    def joined(row: LayerRow) -> str | None:
        return "; ".join(filter(None, (row.reason, reasons.get(row.name)))) or None

    return tuple(row.model_copy(update={"reason": joined(row)}) for row in layers)


def _row(before: nn.Module, after: nn.Module | None, name: str, reason: str | None) -> LayerRow:
    widths = (_width(before), None if after is None else _width(after))
    channels_before, channels_after = (0 if width is None else width for width in widths)
    return LayerRow(
        name=name,
        kind=type(before).__name__,
        channels_before=channels_before,
        channels_after=channels_after,
        dtype=None,
        reason=reason if channels_after in (0, channels_before) else None,
    )


def _width(layer: nn.Module) -> int | None:
    for kind, attribute in WIDTHS:
        if isinstance(layer, kind):
            width = getattr(layer, attribute)
            return int(width)
    return None
