"""A realistic report whose every figure is made up: its device is called 'synthetic'."""

import random
from statistics import quantiles

from edgecompress.spec.comparison import Comparison
from edgecompress.spec.figure import Figure
from edgecompress.spec.measurement import (
    DeviceState,
    Inspection,
    Measurement,
    Op,
    Parity,
    Probe,
    Turn,
)
from edgecompress.spec.pushed import Outcome, Pushed, Validation
from edgecompress.spec.race import Race, RaceEntrant
from edgecompress.spec.report import (
    Check,
    EpochRow,
    FloatSearch,
    FloatSet,
    KeptOperator,
    LayerRow,
    MetricValue,
    ModelReport,
    OperatorNoise,
    QuantizationNoise,
    Report,
    ReportArtifact,
    ReportStage,
    StagePoint,
    VerdictResult,
)
from edgecompress.spec.validity import Validity

VERSIONS = {"python": "3.11.7", "numpy": "2.4.0", "onnxruntime": "1.31.1"}
LAYERS = [
    ("stem.conv", "Conv2d", 32, 24, 432),
    *[(f"stage{s}.{b}.conv{c}", "Conv2d", 32 * s, 8 * (3 * s - c % 2), 1200 * s)
      for s in (1, 2, 3) for b in (0, 1) for c in (1, 2)],
    ("head.fc", "Linear", 10, 10, 640),
]  # fmt: skip


def measurement(rng: random.Random, p50_ms: float, rss_bytes: int) -> Measurement:
    state = DeviceState(
        governor="performance", clock_mhz=1800.0, temperature_c=48.5, throttled=None, load_1m=0.1
    )
    turns = tuple(
        Turn(
            init_time_ms=12.0 * p50_ms,
            first_inference_ms=3.0 * p50_ms,
            warmup_ms=tuple(rng.gauss(1.4 * p50_ms, 0.05 * p50_ms) for _ in range(5)),
            latency_ms=tuple(
                rng.gauss(p50_ms, 0.02 * p50_ms) + rng.expovariate(25 / p50_ms) * (i % 7 == 0)
                for i in range(200)
            ),
            peak_rss_bytes=rss_bytes,
            runtime_rss_bytes=45 << 20,
            threads=1,
            before=state,
            after=state.model_copy(update={"temperature_c": 51.0}),
            versions=VERSIONS,
        )
        for _ in range(4)
    )
    cuts = quantiles([sample for turn in turns for sample in turn.latency_ms], n=100)
    return Measurement(
        turns=turns,
        latency_ms_p50=cuts[49],
        latency_ms_p90=cuts[89],
        latency_ms_p99=cuts[98],
        first_inference_ms=3.0 * p50_ms,
        init_time_ms=12.0 * p50_ms,
        peak_rss_bytes=rss_bytes,
        validity=Validity(valid=True),
    )


def comparison(emulated: bool = False) -> Comparison:
    rng = random.Random(7)
    baseline = measurement(rng, 1.42, 9 << 20)
    candidate = measurement(rng, 0.53, 5 << 20)
    speedup = baseline.latency_ms_p50 / candidate.latency_ms_p50
    return Comparison(
        device="synthetic",
        probe=Probe(
            machine="aarch64",
            system="Linux 6.6",
            python="3.11.7",
            cpu_model="Synthetic Core A0",
            cpu_features=("asimd", "asimddp"),
            cores=4,
            memory_bytes=4 << 30,
            versions=VERSIONS,
        ),
        emulated=emulated,
        baseline=baseline,
        candidate=candidate,
        speedup=speedup,
        speedup_low=speedup * 0.97,
        speedup_high=speedup * 1.03,
    )


def model(measured: Measurement | None, quantized: bool) -> ModelReport:
    dtype = "int8" if quantized else "float32"
    shrink = 0.6 if quantized else 1.0
    ops = tuple(
        Op(
            name=name,
            op_type="QLinearConv" if quantized else "FusedConv",
            dtype=dtype,
            macs=int(macs * 1000 * shrink),
            reason=None if quantized else "the baseline is not quantised",
        )
        for name, _, _, _, macs in LAYERS
    )
    softmax = Op(name="probabilities", op_type="Softmax", dtype="float32", macs=0,
                 reason="onnxruntime has no int8 Softmax worth its conversions")  # fmt: skip
    accuracy = 0.9694 if quantized else 0.9722
    return ModelReport(
        accuracy=accuracy,
        metric=MetricValue(name="accuracy", value=accuracy, higher_is_better=True, samples=360),
        latency_ms_p50=measured.latency_ms_p50 if measured else None,
        latency_ms_p90=measured.latency_ms_p90 if measured else None,
        latency_ms_p99=measured.latency_ms_p99 if measured else None,
        first_inference_ms=measured.first_inference_ms if measured else None,
        init_time_ms=measured.init_time_ms if measured else None,
        peak_rss_bytes=measured.peak_rss_bytes if measured else None,
        model_size_bytes=96_345 if quantized else 544_321,
        macs=sum(op.macs for op in ops),
        params=84_000 if quantized else 135_000,
        int8_op_fraction=1.0 if quantized else 0.0,
        inspection=Inspection(
            runtime="onnxruntime 1.31.1", machine="aarch64", ops=(*ops, softmax)
        ),
        parity=Parity(
            reference="torch converted graph", samples=360, top1_agreement=1.0,
            max_output_steps=1.0,
        ) if quantized else None,
    )  # fmt: skip


def pushed(outcome: Outcome = "success", emulated: bool = False, name: str = "digits") -> Pushed:
    """`name` appears wherever a user's or a device's own words do."""

    def parity(samples: int, top1: float | None, steps: float) -> Parity:
        return Parity(
            reference="the same file under reference kernels here",
            samples=samples,
            top1_agreement=top1,
            max_output_steps=steps,
        )

    return Pushed(
        device=name,
        outcome=outcome,
        release="0123456789abcdef",
        active="0123456789abcdef" if outcome == "success" else None,
        reasons=() if outcome == "success" else (f"{name}: synthetic reason",),
        sent_bytes=96_345,
        validation=Validation(
            golden=parity(8, None, 1.0),
            parity=parity(360, 0.9972, 2.0),
            metric="accuracy",
            value=0.9694,
            value_here=0.9722,
            low=0.9463,
            high=0.9828,
            latency_ms_p50=0.53,
            peak_rss_bytes=5 << 20,
            emulated=emulated,
        ),
    )


def make_report(
    measured: bool = True, emulated: bool = False, name: str = "digits", sent: bool = False
) -> Report:
    """The whole report; `name` appears wherever a user's own words do."""
    compared = comparison(emulated) if measured else None
    layers = tuple(
        LayerRow(
            name=f"{name}.{layer}" if index == 0 else layer,
            kind=kind,
            channels_before=before,
            channels_after=after,
            dtype="int8" if index else "float32",
            reason=None if index else "kept in float by name",
        )
        for index, (layer, kind, before, after, _) in enumerate(LAYERS)
    )
    p50 = (1.42, 1.42 * 0.62, 0.61, 0.53) if measured else (None,) * 4
    names = ("baseline", "pruned", "fine-tuned", f"{name} int8")
    return Report(
        run="20261122-121314-synthetic-3f9a",
        created="2026-11-22T12:13:14+00:00",
        target="synthetic-board",
        device="synthetic" if measured else None,
        task=f"task.py:{name}",
        recipe_digest="ab" * 32,
        verdict=VerdictResult(
            decision="ship",
            reasons=("pass: 2.68x as fast as the baseline; at least 2.00x asked",),
        ),
        checks=(
            Check(
                kind="speed",
                outcome="pass",
                text="2.68x as fast as the baseline; at least 2.00x asked",
                figures=(Figure(name="speedup", value=2.68, at_least=2.0),),
            ),
        ),
        baseline=model(compared.baseline if compared else None, quantized=False),
        candidate=model(compared.candidate if compared else None, quantized=True),
        speedup=compared.speedup if compared else None,
        comparison=compared,
        artifacts=(
            ReportArtifact(path="baseline.onnx", format="onnx", sha256="cd" * 32),
            ReportArtifact(path="candidate.onnx", format="onnx", sha256="ef" * 32),
        ),
        stages=(
            ReportStage(name="baseline", seconds=12.3, cached=True),
            ReportStage(name="prune", seconds=3.4, cached=False),
            ReportStage(name="fine-tune", seconds=45.6, cached=False),
            ReportStage(name="quantise", seconds=33.0, cached=False),
        ),
        points=tuple(
            StagePoint(name=n, metric=m, latency_ms_p50=ms, macs=macs, params=100_000, note=note)
            for n, m, ms, macs, note in zip(
                names,
                (0.9722, 0.8111, 0.9708, 0.9694),
                p50,
                (22_000_000, 13_200_000, 13_200_000, 13_200_000),
                (None, "before fine-tuning", None, "the candidate"),
                strict=True,
            )
        ),
        layers=layers,
        epochs=tuple(
            EpochRow(
                stage=stage, epoch=epoch, loss=1.2 * 0.8**epoch + 0.1 * (stage == "quantise"),
                metric=0.97 - 0.15 * 0.6**epoch, learning_rate=0.01,
            )
            for stage, epochs in (("fine-tune", 10), ("quantise", 5))
            for epoch in range(epochs)
        ),
        noise=QuantizationNoise(
            samples=16,
            outputs_db=24.9,
            operators=tuple(
                OperatorNoise(
                    name=f"{name}.{layer}" if index == 0 else layer, module=layer, kind="conv2d",
                    alone_db=26.0 + index, local_db=31.0,
                    accumulated_db=None if index == 3 else 28.5,
                )
                for index, (layer, *_) in enumerate(LAYERS)
            ),
        ),
        kept=(KeptOperator(name=f"{name}.head", reason="alone in int8 it leaves 9.5 dB"),),
        search=FloatSearch(
            max_metric_drop=0.01,
            float_metric=0.9722,
            int8_metric=0.8001,
            keeps_in_int8=False,
            sets=(
                FloatSet(
                    label="whole blocks", operators=(f"{name}.head",), metric=0.9701,
                    latency_ms_p50=0.53, chosen=True,
                ),
                FloatSet(
                    label="the end of the network", operators=("a", "b"), metric=0.9711,
                    latency_ms_p50=None, chosen=False,
                ),
            ),
        ),
        pushed=pushed("success", emulated, name) if sent else None,
        notes=("synthetic: no figure in here was measured",),
        versions={**VERSIONS, "torch": "2.13.0"},
    )  # fmt: skip


def raced(report: Report) -> Report:
    """With a race whose figures mean nothing, one entrant for each way to end."""
    endings = (
        ("won", 0.53, "the fastest that keeps the metric"),
        ("slower", 0.71, "0.18 ms slower than the winner, after three rounds"),
        ("refused", 0.50, "accuracy is 0.9000, 0.0722 worse; at most 0.0100 worse allowed"),
        ("uncertain", 0.52, "360 samples cannot tell; about 3,000 are needed"),
        ("failed", None, "its runtime did not take the file: no kernel for an operator"),
    )
    entrants = tuple(
        RaceEntrant(
            name=f"int8 (the recipe), a runtime with a long name {number}",
            target=f"synthetic-board-{number}",
            runtime="synthetic",
            variant="recipe",
            threads=4,
            model_size_bytes=None if latency is None else 96_345,
            latency_ms_p50=latency,
            latency_ms_low=None if latency is None else latency * 0.99,
            latency_ms_high=None if latency is None else latency * 1.01,
            rounds=0 if latency is None else 4,
            metric=None if latency is None else 0.97 - number / 100,
            ending=ending,
            why=why,
        )
        for number, (ending, latency, why) in enumerate(endings)
    )
    race = Race(
        board="synthetic-board",
        device="synthetic",
        entrants=entrants,
        best_float=entrants[1].name,
        turns=20,
        full_turns=60,
        error_rate=0.05,
        absent=("openvino is not installed",),
    )
    return report.model_copy(update={"race": race})
