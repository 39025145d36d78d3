"""`runs/<id>/report.json`: the contract, `schema_version` 1. Keys are only ever added."""

import json
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from edgecompress.errors import SpecError
from edgecompress.spec.accuracy import MetricChange
from edgecompress.spec.allocation import LatencyAllocation
from edgecompress.spec.base import Spec, parse
from edgecompress.spec.comparison import Comparison
from edgecompress.spec.figure import Figure
from edgecompress.spec.finite import NOT_FINITE, plain, restore
from edgecompress.spec.looks import Looks
from edgecompress.spec.measurement import Hop, Inspection, Parity, Readback
from edgecompress.spec.profile import Profile
from edgecompress.spec.pushed import Pushed
from edgecompress.spec.race import Race

Status = Literal["pass", "warning", "fail", "unmeasured"]
CheckKind = Literal[
    "finite",
    "metric",
    "classes",
    "calibration",
    "attention",
    "slices",
    "outputs",
    "robustness",
    "parity",
    "hop",
    "constants",
    "size",
    "int8",
    "rules",
    "device",
    "speed",
    "memory",
    "race",
    "history",
    "budget",
    "push",
]
"""What is checked, for those who give advice or read report.json."""


class VerdictResult(Spec):
    decision: Literal["ship", "refuse", "unmeasured"]
    reasons: tuple[str, ...]
    """The report's checks in words, one line each: a Status, ': ', and the check's text."""
    advice: tuple[str, ...] = ()
    """After a refusal: what to try, from what was seen, the most promising first."""


class Check(Spec):
    """One thing that a verdict follows from."""

    kind: CheckKind | Literal["other"]
    """other: it was read from a report that an earlier edgecompress wrote."""
    outcome: Status
    text: str
    """A sentence for people, with the figures and their limits."""
    figures: tuple[Figure, ...] = ()


class MetricValue(Spec):
    name: str
    value: float
    higher_is_better: bool
    samples: int
    is_share: bool = False
    """Its class says that it is between 0 and 1."""


class ModelReport(Spec):
    """Baseline or candidate: every figure is of the exported file; None means not measured."""

    accuracy: float | None
    """0..1 where the metric is an accuracy, else None: see metric."""
    metric: MetricValue
    latency_ms_p50: float | None
    latency_ms_p90: float | None
    latency_ms_p99: float | None
    first_inference_ms: float | None
    init_time_ms: float | None
    peak_rss_bytes: int | None
    model_size_bytes: int
    macs: int
    params: int
    int8_op_fraction: float
    inspection: Inspection
    parity: Parity | None = None
    hops: tuple[Hop, ...] = ()
    original: Parity | None = None
    readback: Readback | None = None
    """Both as Evaluation has them."""
    change: MetricChange | None = None
    """What the metric lost from the baseline; None for that itself, and in reports of an earlier
    edgecompress."""
    profile: Profile | None = None
    """Where the time of an inference goes; None where nothing was measured."""


class ReportArtifact(Spec):
    path: str
    format: str
    sha256: str


class StageCost(Spec):
    """What a stage took of the machine that did it, with all its threads and processes."""

    seconds: float
    cpu_s: float
    peak_rss_bytes: int | None
    """Its own, torch and all; None where the system does not say."""
    energy_j: float | None
    """What the CPU packages took, with all else that ran; None where no counter may be read."""


class ReportStage(Spec):
    name: str
    seconds: float
    """In this run."""
    cached: bool
    cost: StageCost | None = None
    """When it was done, which may have been in an earlier run."""


class StagePoint(Spec):
    """The model after one stage: one dot of the accuracy-against-latency chart."""

    name: str
    metric: float
    latency_ms_p50: float | None
    macs: int
    params: int
    note: str | None = None


class LayerRow(Spec):
    """One layer of the model, before and after."""

    name: str
    kind: str
    channels_before: int
    channels_after: int
    dtype: str | None
    reason: str | None = None
    """Why it was not pruned or not quantised."""


class OperatorNoise(Spec):
    """What quantising one operator costs: ratios of signal to quantisation noise in dB, from -150
    (numbers became infinite) to 150 (no difference); None where the original has no signal.
    """

    name: str
    """As quantize.keep_float takes it: path of the module, ':', operator of the captured graph."""
    module: str
    """Path of the module that calls it; '' is the model itself."""
    kind: str
    alone_db: float | None
    """At the model's outputs, when nothing else is quantised."""
    local_db: float | None
    """At its own output, when nothing else is quantised."""
    accumulated_db: float | None
    """At its own output, when everything is quantised."""


class QuantizationNoise(Spec):
    """Measured in torch on held-out samples, against the same graph in float."""

    samples: int
    outputs_db: float | None
    """At the model's outputs, when everything is quantised."""
    operators: tuple[OperatorNoise, ...]
    """Every quantised operator, the lowest alone_db first."""


class KeptOperator(Spec):
    """One that stays in float though int8 kernels could run it."""

    name: str
    """An operator as OperatorNoise names it, or a module with all inside it."""
    reason: str


class FloatSet(Spec):
    """Operators that together in float keep the metric."""

    label: str
    """How they were picked."""
    operators: tuple[str, ...]
    metric: float
    latency_ms_p50: float | None
    """None: not measured."""
    chosen: bool
    file_metric: float | None = None
    """The exported file's; None: another was good enough before its turn."""


class FloatSearch(Spec):
    """What came of quantize.max_metric_drop; metrics are torch's where nothing else is said, on the
    validation data.
    """

    max_metric_drop: float
    searched_drop: float | None = None
    """What was asked of torch in the end, where the file of what keeps the metric there lost more;
    None: what is asked of the file.
    """
    float_metric: float
    int8_metric: float
    """Before anything was kept in float for it."""
    keeps_in_int8: bool
    """Whether that already is good enough."""
    sets: tuple[FloatSet, ...]
    """None: it was kept anyway, or no set keeps it."""
    metric_again: float | None = None
    """After fine-tuning once more with the chosen set in float: after the first time no set kept
    the metric, so these were found before it.
    """


class EpochRow(Spec):
    stage: str
    epoch: int
    loss: float
    metric: float
    learning_rate: float


class Report(Spec):
    schema_version: Literal[1] = 1
    run: str
    created: str
    """ISO 8601, UTC."""
    target: str
    device: str | None
    """Id of the device that measured; None when none was at hand."""
    task: str
    recipe_digest: str
    verdict: VerdictResult
    checks: tuple[Check, ...] = ()
    """What the verdict follows from, the worst outcome first."""
    baseline: ModelReport
    candidate: ModelReport
    speedup: float | None
    comparison: Comparison | None
    """The raw samples, the device state and the versions behind the latencies."""
    artifacts: tuple[ReportArtifact, ...]
    stages: tuple[ReportStage, ...]
    points: tuple[StagePoint, ...]
    layers: tuple[LayerRow, ...]
    epochs: tuple[EpochRow, ...]
    noise: QuantizationNoise | None = None
    """None where nothing was quantised."""
    kept: tuple[KeptOperator, ...] = ()
    search: FloatSearch | None = None
    """None where quantize.max_metric_drop is not set."""
    allocation: LatencyAllocation | None = None
    """Where prune.allocation is latency: what was predicted and measured."""
    race: Race | None = None
    """With the name of a board: all that ran there."""
    looks: Looks | None = None
    """Where baseline and candidate differ beside the metric; None in reports of an earlier
    edgecompress."""
    pushed: Pushed | None = None
    """With `--device`: what became of the model there."""
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _latency_needs_a_measurement(self) -> "Report":
        if (self.comparison is None) != (self.speedup is None):
            raise ValueError("speedup and comparison are given together or not at all")
        return self


class PushedRun(Spec):
    """What came of sending a run's model to devices."""

    run: str
    verdict: VerdictResult
    """The run's: a push asks nothing of it."""
    devices: tuple[Pushed, ...]
    interrupted: bool = False
    """An interrupt came while it went on."""


def to_json(report: Report) -> str:
    """One JSON document, keys in the order of the contract.

    A figure that is not finite (its report is then refused) is written as the string 'NaN',
    'Infinity' or '-Infinity', because JSON has no number for it.
    """
    return json.dumps(plain(report.model_dump(mode="python")), indent=2, allow_nan=False) + "\n"


def from_json(text: str, where: str) -> Report:
    """What to_json wrote.

    Raises:
        SpecError: one line naming `where`, the key, and what is known or expected.

    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SpecError(f"{where}: not JSON: {error}") from None
    try:
        Report.model_validate_json(text)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["type"] == "float_type" and str(problem["input"]) in NOT_FINITE:
                restore(data, problem["loc"])
    return parse(Report, _with_checks(data), where)


def _with_checks(data: Any) -> Any:
    """Reports of earlier versions have the lines of their verdict alone. What is wrong elsewhere is
    for the spec to say.
    """
    if not isinstance(data, dict) or "checks" in data:
        return data
    verdict = data.get("verdict")
    reasons = verdict.get("reasons") if isinstance(verdict, dict) else None
    if not isinstance(reasons, list):
        return data
    lines = [str(reason).partition(": ") for reason in reasons]
    checks = [{"kind": "other", "outcome": outcome, "text": text} for outcome, _, text in lines]
    return {**data, "checks": checks}
