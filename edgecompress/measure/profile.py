"""Where the time of an inference goes: what the runtime counts, held against the inspection."""

from collections.abc import Mapping, Sequence

from edgecompress.errors import ArtifactError, DeviceError
from edgecompress.measure.agent import DeviceAgent
from edgecompress.measure.inputs import Inputs, inputs_of
from edgecompress.measure.loaded import Loaded
from edgecompress.spec.measurement import Inspection, Op
from edgecompress.spec.profile import (
    CountedOperator,
    Counting,
    KindTime,
    OperatorTime,
    Profile,
)

SHOWN = 50
"""So many operators are told one by one."""

Pairs = Mapping[int, int]
"""From an operator that was counted to one of the inspection, by their places in their lists."""


def count_operators(agent: DeviceAgent, file: Loaded, inputs: Inputs, threads: int) -> Counting:
    """Let the device count, apart from every measurement. What goes wrong is told in the answer,
    because nothing else depends on it.
    """
    try:
        with inputs_of({"file": file}, inputs) as paths:
            return agent.profile(file, threads, paths["file"])
    except (DeviceError, ArtifactError) as error:
        return Counting(runtime=file.runner, why_none=str(error)[:8192])


def by_name(counted: Sequence[CountedOperator], ops: Sequence[Op]) -> dict[int, int]:
    """Pairs of the same name, where neither list has it twice; and of the same type, where each
    list has just one of it left.
    """
    pairs = _pairs([each.name for each in counted], [op.name for op in ops])
    left = [at for at in range(len(counted)) if at not in pairs]
    free = sorted(set(range(len(ops))) - set(pairs.values()))
    rest = _pairs([counted[at].op_type for at in left], [ops[at].op_type for at in free])
    return pairs | {left[a]: free[b] for a, b in rest.items()}


def _pairs(a: Sequence[str], b: Sequence[str]) -> dict[int, int]:
    once = {key: at for at, key in enumerate(b) if b.count(key) == 1}
    return {at: once[key] for at, key in enumerate(a) if key in once and a.count(key) == 1}


def profile_of(
    counting: Counting, inspection: Inspection, pairs: Pairs, latency_ms_p50: float | None
) -> Profile:
    """The figures of a report; `latency_ms_p50` was measured without counters."""
    if counting.why_none is not None or not counting.operators:
        why = counting.why_none or f"{counting.runtime} counted no operator"
        return Profile(runtime=counting.runtime, why_none=why)
    sum_us = sum(each.time_us for each in counting.operators)
    rows = [
        _row(each, inspection.ops[pairs[at]] if at in pairs else None, sum_us)
        for at, each in enumerate(counting.operators)
    ]
    rows.sort(key=lambda row: -row.time_us)
    latency_us = None if latency_ms_p50 is None else latency_ms_p50 * 1e3
    found_us = sum(counting.operators[at].time_us for at in pairs)
    return Profile(
        runtime=counting.runtime,
        operators=tuple(rows[:SHOWN]),
        kinds=kinds_of(rows),
        operators_in_all=len(rows),
        inferences=counting.inferences,
        sum_us=sum_us,
        inference_us=counting.inference_us,
        latency_us_p50=latency_us,
        unattributed_us=None if latency_us is None else latency_us - sum_us,
        found_share=found_us / sum_us if sum_us else None,
    )


def kinds_of(rows: Sequence[OperatorTime]) -> tuple[KindTime, ...]:
    """Sums over what has one type and computes in one; `rows`: the most expensive first."""
    groups: dict[tuple[str, str | None], list[OperatorTime]] = {}
    for row in rows:
        groups.setdefault((row.op_type, row.dtype), []).append(row)
    kinds = (
        KindTime(
            op_type=op_type,
            dtype=dtype,
            operators=len(group),
            time_us=sum(row.time_us for row in group),
            macs=sum(row.macs for row in group if row.macs is not None),
            reason=next((row.reason for row in group if row.reason), None),
        )
        for (op_type, dtype), group in groups.items()
    )
    return tuple(sorted(kinds, key=lambda kind: -kind.time_us))


def timed(inspection: Inspection, counting: Counting, pairs: Pairs) -> Inspection:
    """The inspection with the time of each operator that was counted, and of no other."""
    times_us = {place: counting.operators[at].time_us for at, place in pairs.items()}
    ops = (
        op.model_copy(update={"time_us": times_us.get(place)})
        for place, op in enumerate(inspection.ops)
    )
    return inspection.model_copy(update={"ops": tuple(ops)})


def _row(counted: CountedOperator, op: Op | None, sum_us: float) -> OperatorTime:
    row = OperatorTime(
        name=counted.name,
        op_type=counted.op_type,
        time_us=counted.time_us,
        share=counted.time_us / sum_us if sum_us else 0.0,
    )
    if op is None:
        return row
    told = {"dtype": op.dtype, "reason": op.reason, "module": op.module, "macs": op.macs}
    return row.model_copy(update=told)
