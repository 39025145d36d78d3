"""What the agent reports (JSON, `schema_version` 1) and what is made of it on the host."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.spec.base import Many, Spec
from edgecompress.spec.memory import MemoryUse
from edgecompress.spec.probe import DeviceState as DeviceState
from edgecompress.spec.probe import Probe as Probe
from edgecompress.spec.validity import Conditions, Finding, QuantileInterval, Validity

AGENT_SCHEMA_VERSION = 1
InputSplit = Literal["evaluation", "random"]
"""Where the inputs of a measurement come from: the task's evaluation data; or numbers drawn at
random, for a file that is measured without a task.
"""


DECODER = "edgecompress_decoder"
"""Path of a task's decoder in the model that ships, which no module of a user's has."""


class LatencySummary(Spec):
    """What a tool says of its steady samples when it does not give them; None: not even that."""

    count: int
    latency_ms_mean: float
    latency_ms_min: float
    latency_ms_max: float
    latency_ms_std: float | None
    latency_ms_p5: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None


class TelemetrySample(Spec):
    """Read while the steady inferences ran; None where the board does not say."""

    at_s: float
    """Since the first of them."""
    temperature_c: float | None
    """The hottest zone of the CPU."""
    clock_mhz: float | None
    """The fastest core's."""
    throttled: str | None
    """As in DeviceState."""
    power_mw: float | None
    """The power of what the turn's `power_of` names."""


class Turn(Spec):
    """One model in one fresh process on the device."""

    runtime_time_ms: float | None = None
    """Loading the runtime itself, before any file; None: not told."""
    init_time_ms: float
    """Loading the file."""
    first_inference_ms: float
    warmup_ms: Many[float]
    latency_ms: Many[float]
    """Every steady sample, in order; none where there is a summary. Of more than 200,000 only
    every second, fourth, .. is kept.
    """
    bursts_ms: Many[float] | None = None
    """The median of each burst, where files ran side by side: those of one number, of the files of
    one round, ran right after one another. None: it ran alone.
    """
    iterations: int | None = None
    """All steady inferences; None: as many as there are samples."""
    latency_ms_max: float | None = None
    """The largest of all of them; None: that of the samples."""
    warmup_spread: float | None = None
    """How far apart the last windows of the warm-up were, as a share; None: not looked at."""
    late: int | None = None
    """Paced inferences that began late, because the one before took too long."""
    streams: int = 1
    """Sessions at once."""
    batch: int = 1
    """Samples of one inference."""
    samples_per_s: float | None = None
    """All sessions together; None: not told."""
    loading: Conditions | None = None
    """From before the file was loaded to the end of the first inference."""
    running: Conditions | None = None
    """While the steady inferences ran."""
    summary: LatencySummary | None = None
    """Where the device runs a tool that keeps its samples to itself."""
    latency_ms_without_copies: Many[float] | None = None
    """The same inferences, by the accelerator's own clock; None on a CPU."""
    peak_rss_bytes: int
    """Above the same process after it loaded the runtime and before it loaded the model."""
    runtime_rss_bytes: int | None
    """That runtime-only baseline; None where it is not told."""
    model_sha256: str | None = None
    """The hash of the file that ran, read by the agent; None where none runs on the device."""
    threads: int
    threads_wanted: int | None = None
    """More than `threads` where the process may use fewer cores; None: `threads`."""
    distinct_inputs: int | None = None
    """How many different samples the inferences were given in turns; None: it is not told."""
    before: DeviceState
    after: DeviceState
    telemetry: Many[TelemetrySample] = ()
    """One a second of the steady inferences, in order."""
    power_of: str | None = None
    """What the board measures the power of: 'VDD_IN', the whole of a Jetson's module; a sum of
    rails; None where it measures none, or of parts only."""
    energy_mj_per_inference: float | None = None
    """Mean of the telemetry's power_mw, times the mean of latency_ms. So idle power is in it, and
    what else ran; None of fewer than two readings of power."""
    versions: dict[str, str]
    notes: Annotated[Many[str], Field(max_length=1000)] = ()
    """What the runtime did otherwise than one would expect, in the agent's words."""

    @property
    def central_ms(self) -> tuple[float, ...]:
        """The samples, or one figure in their place: the tool's median, or else its mean."""
        if self.summary is None:
            return self.latency_ms
        median = self.summary.latency_ms_p50
        return (self.summary.latency_ms_mean if median is None else median,)

    @property
    def samples(self) -> int:
        """All steady inferences, whether their samples are known or not."""
        if self.summary is not None:
            return self.summary.count
        return len(self.latency_ms) if self.iterations is None else self.iterations


class MeasuredInputs(Spec):
    """What the inferences of a measurement were given, the same for every file of a run."""

    split: InputSplit
    samples: int
    """Different ones, each of one inference and given in turns; one where the device runs a tool
    that takes no more.
    """


class Measurement(Spec):
    """All turns of one model; the summary figures are derived from the raw samples.

    Where a turn has a summary in their place (`has_samples` is false), p50 is the median of the
    turns' medians, and p90 and p99 are upper bounds: the largest p95 and the largest sample.
    """

    turns: tuple[Turn, ...]
    latency_ms_p50: float
    latency_ms_p90: float
    latency_ms_p99: float
    first_inference_ms: float
    """Median over the turns."""
    init_time_ms: float
    """Median over the turns."""
    peak_rss_bytes: int
    """Its memory's; without that the largest over the turns."""
    energy_mj_per_inference: float | None = None
    """Median over the turns; None unless all measured the power of the same. See Turn."""
    memory: MemoryUse | None = None
    """As watched in a process of its own; None: it was not, and peak_rss_bytes is the turns', with
    code that the runtime first ran then, and what it sets up once for all models.
    """
    inputs: MeasuredInputs | None = None
    """None in reports of earlier versions, which measured with the task's example alone."""
    notes: tuple[str, ...] = ()
    """What may make it wrong: drift, throttling, a busy machine."""
    latency_ms_p95: float | None = None
    """As p90, an upper bound where samples are missing; None: measured by an earlier release."""
    latency_ms_max: float | None = None
    intervals: tuple[QuantileInterval, ...] = ()
    """Those of p50, p90, p95 and p99; none where samples are missing."""
    drift: float | None = None
    """Last third of the samples against the first, as a share; the median over the turns."""
    variation: float | None = None
    """Coefficient of variation of all samples: standard deviation over mean."""
    variation_of_turns: float | None = None
    """The same of the turns' medians; None of one turn."""
    outliers: int | None = None
    """Samples above the third quartile of their turn by three times the quartiles' distance."""
    samples_per_s: float | None = None
    """Median over the turns."""
    validity: Validity | None = None
    """None: measured by an earlier release."""
    discarded: tuple[Finding, ...] = ()
    """Why turns were measured again, one for each."""

    @property
    def has_samples(self) -> bool:
        return all(turn.summary is None for turn in self.turns)


class Parity(Spec):
    """How far two executions of one model agree, on the whole evaluation set."""

    reference: str
    """What it was compared with, such as 'torch converted graph'."""
    samples: int
    top1_agreement: float | None
    """None where the output is not a vector of class scores."""
    max_output_steps: float
    """Largest difference, in steps of the output's scale (1 step = 1 scale)."""
    sure_samples: int | None = None
    """Whose best class leads by more than what quantising changes; None as for top1_agreement."""
    sure_agreement: float | None = None
    """Share of them with the same best class; None: there are none."""
    error_to_noise: float | None = None
    """Energy of the difference, as far as it leads away from the float model, as a multiple of what
    quantising itself changed and of rounding the output once; of the output where it is the
    largest. None: not known."""
    worst_error_to_noise: float | None = None
    """The same of the class, channel or position that is the furthest off."""
    noise_rms: tuple[float, ...] | None = None
    """Each output's root mean square of what quantising changed in a value; None: not known."""
    sqnr_db: float | None = None
    """Energy of the reference over that of the difference; 150 dB where they are equal."""


HopKind = Literal["converted", "exported", "kernels"]
"""Made integer in torch; written to a file, which the runtime's reference kernels run; run by the
kernels that the runtime chooses.
"""


class Hop(Spec):
    """One step on the way from what was trained to what runs."""

    kind: HopKind
    parity: Parity


class Readback(Spec):
    """The constants of a file against those of the torch graph that it was made of."""

    compared: int
    """Layers whose weights, and biases where they have some, were compared one by one."""
    differences: tuple[str, ...]
    """What is other than it was, a line each; none in a file that is whole."""


class Evaluation(Spec):
    """The metric of one exported file, computed from what its runtime put out."""

    metric: str
    value: float
    higher_is_better: bool
    samples: int
    is_share: bool = False
    """The metric's class says that it is between 0 and 1."""
    parity: Parity | None = None
    """With the torch model that was trained, fake-quantised where it is quantised."""
    hops: tuple[Hop, ...] = ()
    """The same way, step by step; through reference kernels on the first samples only."""
    original: Parity | None = None
    """With the float model as the user gave it: what all that was done to it has changed. None
    for that model itself."""
    readback: Readback | None = None
    """None where nothing was quantised."""


class Op(Spec):
    """One node of the graph that the runtime really executes."""

    name: str
    op_type: str
    """As the runtime calls it: QLinearConv, FusedConv, Add."""
    dtype: str
    """Type it computes in: int8 (or uint8), float32, float16, int64, ...; 'none' where the runtime
    fused a kernel that will refuse to run."""
    macs: int
    reason: str | None = None
    """Why it is not int8; None for int8 ops and for ops that move or describe data only."""
    module: str | None = None
    """Path of the torch module it came from, such as 'layer1.0.conv1', where the file says."""
    between_compute: bool = False
    """A Clip, QuantizeLinear or DequantizeLinear with compute ops on both sides: a lost fusion."""
    time_us: float | None = None
    """One inference, by the runtime's own counters where it was inspected; None: it has none."""
    delegated: bool | None = None
    """Whether the target's delegate takes it by its documented rules; None: no delegate, or the
    rules do not say."""
    delegate_reason: str | None = None
    """The rule that says no, or why nothing is known."""


class Inspection(Spec):
    """What a file will really run, op by op, read back from the runtime's optimised graph."""

    runtime: str
    """Name and version, such as 'onnxruntime 1.31.1'."""
    machine: str
    """Where the graph was optimised; another CPU may choose other kernels."""
    ops: tuple[Op, ...]
    violations: tuple[str, ...] = ()
    """What in the file the runtime refuses, each with its node and rule."""

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.ops)

    @property
    def int8_op_fraction(self) -> float:
        """Share of the MACs that int8 kernels run; 0 when nothing multiplies. A decoder, which is
        meant to be in float, does not count.
        """
        network = [op for op in self.ops if op.macs and not (op.module or "").startswith(DECODER)]
        macs = sum(op.macs for op in network)
        return sum(op.macs for op in network if op.dtype == "int8") / macs if macs else 0.0
