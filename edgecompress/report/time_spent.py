"""Where the time of a file goes, in one line: what a refusal for speed says beside its figure."""

from collections import Counter
from collections.abc import Sequence

from edgecompress.report.figures import milliseconds
from edgecompress.spec.measurement import Op
from edgecompress.spec.profile import KindTime, Profile
from edgecompress.spec.report import ModelReport

_SHOWN = 3
_LEAST_SHARE = 0.02
"""Kinds that take less than that are none to look at."""
_LEAST_FOUND = 0.8
"""Share of the MACs of either file that must have been counted before products are compared."""
_CONVERSIONS = "conversions between int8 and float"


def time_spent(baseline: ModelReport, candidate: ModelReport) -> str:
    """What takes the candidate's time, the most first, and what its products took in the original;
    '' where nothing was counted, or the report does not say.
    """
    profile = candidate.profile
    if profile is None:
        return ""
    if profile.why_none is not None:
        return f"where the time goes is not told: {profile.why_none}; {_listed(candidate)}"
    if not profile.kinds or not profile.sum_us:
        return ""
    parts = _parts(profile.kinds, profile.sum_us)
    return "; ".join(
        filter(None, (f"its time goes into {parts}", _products(baseline, profile, candidate.macs)))
    )


def _parts(kinds: Sequence[KindTime], sum_us: float) -> str:
    converting = [kind for kind in kinds if _converts(kind.op_type)]
    rows = [(kind.time_us, _named(kind)) for kind in kinds if kind not in converting]
    if converting:
        rows.append((sum(kind.time_us for kind in converting), _CONVERSIONS))
    rows.sort(key=lambda row: -row[0])
    shown = [row for row in rows[:_SHOWN] if row[0] >= _LEAST_SHARE * sum_us]
    texts = [f"{text} ({time_us / sum_us:.0%})" for time_us, text in shown]
    others = len(rows) - len(shown)
    if others:
        left_us = sum_us - sum(time_us for time_us, _ in shown)
        texts.append(f"{others} more {'kind' if others == 1 else 'kinds'} ({left_us / sum_us:.0%})")
    return ", ".join(texts).replace("%)", " %)")


def _named(kind: KindTime) -> str:
    """'QGemm in int8', 'Gelu in float32: no kernel for it'."""
    computes = kind.dtype is not None and (kind.macs or kind.reason or kind.dtype == "int8")
    text = f"{kind.op_type} in {kind.dtype}" if computes else kind.op_type
    return f"{text}: {kind.reason}" if kind.reason else text


def _products(baseline: ModelReport, profile: Profile, macs: int) -> str:
    """What multiplies, before and after: on some CPUs int8 is no faster."""
    was = _product_us(baseline.profile, baseline.macs)
    now = _product_us(profile, macs)
    if was is None or now is None:
        return ""
    return (
        f"layers and products take {milliseconds(now / 1e3)} of it, the original's"
        f" {milliseconds(was / 1e3)}"
    )


def _product_us(profile: Profile | None, macs: int) -> float | None:
    """None where some of the products are not among what was counted."""
    multiplying = [kind for kind in profile.kinds if kind.macs] if profile is not None else []
    if sum(kind.macs for kind in multiplying) < max(_LEAST_FOUND * macs, 1):
        return None
    return sum(kind.time_us for kind in multiplying)


def _listed(candidate: ModelReport) -> str:
    """What the file's operators compute in, for runtimes without counters."""
    ops = candidate.inspection.ops
    types = Counter(_type_of(op) for op in ops)
    return f"of its {len(ops)} operators " + ", ".join(
        f"{count} {text}" for text, count in types.most_common()
    )


def _type_of(op: Op) -> str:
    if _converts(op.op_type):
        return "convert"
    if op.dtype == "int8":
        return "compute in int8"
    return f"compute in {op.dtype}" if op.reason and op.dtype else "do neither"


def _converts(op_type: str) -> bool:
    return "quantize" in op_type.lower()
