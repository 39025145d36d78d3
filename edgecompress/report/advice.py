"""What to try after a refusal, from what was seen: a pure function of the report's facts.

Each kind of check has one piece of advice, of one line. The first three of those that failed are
given, or of those that could not be checked where none failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgecompress.report.figures import factor, milliseconds, percent, plain
from edgecompress.report.noise import named
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.looks import Looks
from edgecompress.spec.measurement import Op
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.report import (
    Check,
    FloatSearch,
    MetricValue,
    ModelReport,
    QuantizationNoise,
)

MOST_LINES = 3
_WORST = 3
_CLEAN_DB = 30.0
"""SQNR at the outputs from which on quantising alone explains no loss: 1/30 of the amplitude."""
_SMALL_MS = 0.2
"""A net this fast spends its time between its operators."""
_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")
_MARGIN = 1.1
"""Less work gives less than its share of time: some of that is spent between operators."""


@dataclass(frozen=True)
class Shipped:
    """A candidate of an earlier run."""

    run: str
    metric: MetricValue
    change: MetricChange | None


@dataclass(frozen=True)
class Seen:
    """What is known beside the figures of the files."""

    noise: QuantizationNoise | None = None
    """What quantising cost; for the advice after a refusal, as the search."""
    search: FloatSearch | None = None
    looks: Looks | None = None
    builds_engine: bool = False
    """The device makes an engine of the file, and that is what has a size there."""
    before: Shipped | None = None
    """What shipped before, of the same task on the same device."""
    accepts_regression: bool = False
    """Whether what is worse than that may ship."""
    pushed: Pushed | None = None
    """What became of the file on the device that it was sent to; None: not sent."""


NOTHING = Seen()


@dataclass(frozen=True)
class Facts:
    """All that a verdict is given."""

    budgets: Budgets
    baseline: ModelReport
    candidate: ModelReport
    comparison: Comparison | None
    seen: Seen


def advise(checks: Sequence[Check], facts: Facts) -> tuple[str, ...]:
    """One to three lines where a check failed or could not be made; none where all passed."""
    for outcome in ("fail", "unmeasured"):
        kinds = dict.fromkeys(check.kind for check in checks if check.outcome == outcome)
        if kinds:
            lines = (_ADVICE[kind](facts) for kind in kinds)
            return tuple(dict.fromkeys(lines))[:MOST_LINES]
    return ()


def _metric(facts: Facts) -> str:
    before, after = facts.baseline.metric, facts.candidate.metric
    if (before.name, before.samples) != (after.name, after.samples):
        return "let metric() and eval_data() of the task give the same every time they are called"
    change, most = facts.candidate.change, facts.budgets.max_metric_drop
    if change is not None and change.judged(most) == "cannot tell":
        return _more_samples(change, most)
    noise, search = facts.seen.noise, facts.seen.search
    if noise is None:
        return "nothing was quantised: prune less (pruning_ratio), or fine-tune for more epochs"
    if noise.outputs_db is not None and noise.outputs_db > _CLEAN_DB:
        return (
            f"quantising leaves {noise.outputs_db:.1f} dB at the outputs, so what was lost was lost"
            " before: prune less, fine-tune for more epochs, or train the original further"
        )
    worst = ", ".join(named(row) for row in noise.operators[:_WORST])
    if search is None:
        limit = plain(facts.budgets.max_metric_drop)
        remedy = f"set quantize.max_metric_drop: {limit}, which keeps in float what it takes"
    elif search.sets:
        remedy = "the sets in float keep it on validation_data() only: give that more samples"
    elif search.keeps_in_int8:
        remedy = "validation_data() did not show the loss: give it more samples"
    else:
        remedy = "no set of operators in float keeps it: use mode: qat with quantize.train"
    return f"{remedy}; or try ranges: auto, or mode: qat; worst alone are {worst}"


def _more_samples(change: MetricChange, limit: float) -> str:
    needed = change.needed(limit)
    more = f"give eval_data() {needed:,} samples" if needed else "give eval_data() more samples"
    return (
        f"{more}, or allow more than max_metric_drop: {limit:g}; budgets.accept_uncertain: true"
        " ships on what these samples say"
    )


def _forgotten(facts: Facts) -> str:
    if facts.seen.noise is None:
        return "prune less, or fine-tune for more epochs on all that the evaluation set has"
    return (
        "use mode: qat with quantize.train, or keep in float what costs most"
        " (quantize.keep_float_sensitive: 2)"
    )


def _speed(facts: Facts) -> str:
    comparison, candidate = facts.comparison, facts.candidate
    if comparison is None:
        return _device(facts)
    if not comparison.valid:
        return _measure_again(comparison)
    slow = comparison.speedup < facts.budgets.min_speedup
    if comparison.speedup >= 1 and not slow:
        return (
            "the difference is within the noise of measuring: measure again on an idle machine,"
            " or with more measurement.turns in the target"
        )
    floats = _chain_breakers(candidate)
    if floats and candidate.int8_op_fraction < 1:
        return f"int8 kernels run {percent(candidate.int8_op_fraction)} of the MACs; {floats}"
    if comparison.baseline.latency_ms_p50 < _SMALL_MS:
        return (
            f"at {milliseconds(comparison.baseline.latency_ms_p50)} the time goes between operators"
            " and not into them: fewer layers help, int8 does not; or ship the original as it is"
        )
    probe = comparison.probe
    x86 = probe.machine in ("x86_64", "AMD64")
    if x86 and not any(name in _VNNI for name in probe.cpu_features):
        return (
            "this CPU has no VNNI, without which int8 gains little: try another runtime"
            f" (edgecompress targets list), or less work ({_less_work(facts, _lacking(facts))})"
        )
    if floats:
        return floats
    return f"try another runtime's target, or less work: {_less_work(facts, _lacking(facts))}"


def _measure_again(comparison: Comparison) -> str:
    against = comparison.against
    first = "" if against is None else f"{against.remedy}, then "
    return f"{first}deploy again: all but the measurement is kept"


def _lacking(facts: Facts) -> float:
    """How many times faster it would have to be."""
    speedup = 1.0 if facts.comparison is None else facts.comparison.speedup
    return facts.budgets.min_speedup / speedup if speedup > 0 else 2.0


def _less_work(facts: Facts, times: float) -> str:
    """What to write into the recipe; never less than what was asked of pruning before."""
    pruned = facts.baseline.macs / facts.candidate.macs if facts.candidate.macs else 1.0
    return f"prune with macs_reduction: {max(times, 1.05) * _MARGIN * max(pruned, 1.0):.1f}"


def _int8(facts: Facts) -> str:
    found = _chain_breakers(facts.candidate)
    return found or "quantize is off, or keep_float names too much: see inspect for each operator"


def _chain_breakers(candidate: ModelReport) -> str:
    """What computes in float, the most work first, with the reasons; '' for nothing."""
    floats = [op for op in candidate.inspection.ops if op.reason and op.dtype != "int8"]
    floats = [op for op in floats if op.macs or not _only_converts(op)]
    floats.sort(key=lambda op: -op.macs)
    named_ops = dict.fromkeys(
        f"{op.op_type} '{op.module or op.name}' ({op.reason})" for op in floats
    )
    shown = list(named_ops)[:_WORST]
    more = f" and {len(named_ops) - len(shown)} more" * (len(named_ops) > len(shown))
    return f"in float are {', '.join(shown)}{more}" if shown else ""


def _only_converts(op: Op) -> bool:
    return "uantize" in op.op_type or "UANTIZE" in op.op_type


def _finite(_: Facts) -> str:
    return "look for NaN or infinite numbers in the task's data, its metric and the model's weights"


def _parity(facts: Facts) -> str:
    worst = max(facts.candidate.hops, key=lambda hop: hop.parity.max_output_steps, default=None)
    where = "" if worst is None else f"; the outputs differ most behind '{worst.parity.reference}'"
    return (
        "find the layer: make a file for another runtime too, and run edgecompress compare A B"
        f" --layers; then name it in quantize.keep_float{where}"
    )


def _constants(_: Facts) -> str:
    return (
        "the file was changed, or the exporter lost something: delete it and deploy again; if it"
        " stays, name that layer in quantize.keep_float"
    )


def _rules(_: Facts) -> str:
    return (
        "name the operator's module in quantize.keep_float, or replace it in the model by one that"
        " the runtime takes"
    )


def _size(facts: Facts) -> str:
    size, limit = facts.candidate.model_size_bytes, facts.baseline.model_size_bytes
    if facts.budgets.model_size_bytes is not None:
        limit = min(limit, facts.budgets.model_size_bytes)
    if facts.candidate.int8_op_fraction == 0:
        return "quantize: int8 weights take a quarter of the bytes"
    return (
        f"the file is {factor(size / max(limit, 1))} what is allowed: prune with pruning_ratio:"
        f" {_ratio(size, limit):.2f}"
    )


def _ratio(value: float, limit: float) -> float:
    """Channels to remove: weights go with the square of what is left, nearly."""
    return min(max(1 - (limit / value) ** 0.5 if value > 0 else 0.0, 0.05), 0.9)


def _memory(facts: Facts) -> str:
    limit, value = facts.budgets.peak_rss_bytes, facts.candidate.peak_rss_bytes
    if limit is None or value is None or value <= limit:
        return "measure again on an idle machine; else a smaller input or fewer channels need less"
    return (
        f"peak memory is {factor(value / limit)} what is allowed: prune with pruning_ratio:"
        f" {_ratio(value, limit):.2f}, or a smaller input"
    )


def _budget(facts: Facts) -> str:
    keys = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "init_time_ms")
    over: dict[str, float] = {}
    for key in keys:
        limit, value = getattr(facts.budgets, key), getattr(facts.candidate, key)
        if limit is not None and value is not None and value > limit:
            over[key] = value / limit
    if facts.comparison is not None and not facts.comparison.valid:
        return _measure_again(facts.comparison)
    if not over:
        return _memory(facts) if facts.comparison is not None else _device(facts)
    key = max(over, key=over.__getitem__)
    if key == "init_time_ms":
        return f"it loads {factor(over[key])} as long as allowed: a smaller file loads faster"
    return f"{key} is {factor(over[key])} what is allowed: {_less_work(facts, over[key])}"


def _device(facts: Facts) -> str:
    if facts.comparison is not None and facts.comparison.emulated:
        return "an emulator has no speed: add a real board with edgecompress devices add"
    return "add the board with edgecompress devices add, and deploy again to measure on it"


def _race(facts: Facts) -> str:
    rivals = () if facts.comparison is None else facts.comparison.rivals
    best = next((rival for rival in rivals if rival.kind == "best float"), None)
    if best is None:
        return _speed(facts)
    times = max(facts.budgets.min_speedup / best.speedup, 1.0) if best.speedup > 0 else 2.0
    return (
        f"ship {best.name} (runs/<id>/best_float), which needs no compressing; or less work:"
        f" {_less_work(facts, times)}"
    )


def _history(_: Facts) -> str:
    return (
        "look what changed since that run (edgecompress report A B), or keep what is shipped;"
        " --accept-regression ships it nevertheless, and the report records it"
    )


def _push(_: Facts) -> str:
    return "see what the device lacks with edgecompress devices check, then push the run again"


_ADVICE: Mapping[str, Callable[[Facts], str]] = {
    "finite": _finite,
    "metric": _metric,
    "classes": _forgotten,
    "calibration": _forgotten,
    "attention": _forgotten,
    "slices": _forgotten,
    "outputs": _forgotten,
    "robustness": _forgotten,
    "parity": _parity,
    "hop": _parity,
    "constants": _constants,
    "size": _size,
    "int8": _int8,
    "rules": _rules,
    "device": _device,
    "speed": _speed,
    "memory": _memory,
    "race": _race,
    "history": _history,
    "budget": _budget,
    "push": _push,
}
