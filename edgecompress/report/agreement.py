"""Whether a file computes what its torch model does: the whole way decides, a hop explains.

The limits tell rounding from damage, by what quantising itself costs. The figures behind them:
docs/verdict.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgecompress.report.checks import at_least, at_most, check, passed_if
from edgecompress.report.figures import apart, percent
from edgecompress.spec.figure import Figure
from edgecompress.spec.measurement import Hop, HopKind, Parity, Readback
from edgecompress.spec.report import Check, ModelReport


@dataclass(frozen=True)
class Agreement:
    """What two executions of one model must have in common."""

    error_to_noise: float = 1.0
    """Energy of their difference, against that of what quantising changed."""
    worst_error_to_noise: float = 4.0
    """The same energy of one class, channel or position."""
    sure_agreement: float = 0.99
    """Share of the answers that quantisation noise cannot flip which are the same."""
    top1_agreement: float = 0.99
    """Share of all answers, where it is not known what noise can flip."""
    max_output_steps: float = 16.0
    """How many steps the outputs may differ, where there are neither classes nor energies."""


WHOLE_WAY = Agreement()
MOST_DIFFERENCES = 5
"""How many lines there are at most about constants that are other than they were."""
SHIPPED = ("the shipped file", "the trained model")
ORIGINAL = ("the original's file", "the original")
HOPS: dict[HopKind, str] = {
    "converted": "the fake-quantised graph and the one converted to integers",
    "exported": "the converted graph and the file as it was written",
    "kernels": "the file under the runtime's reference kernels and under its own",
}
"""The two ends of a hop."""


def agreements(baseline: ModelReport, candidate: ModelReport) -> Iterator[Check]:
    """Both files against what they were made of, and the candidate hop by hop."""
    suffers = False
    if candidate.parity is not None:
        failed = _beyond(candidate.parity)
        suffers = failed is not None
        yield _whole(candidate.parity, SHIPPED, failed)
    if baseline.parity is not None and (failed := _beyond(baseline.parity)) is not None:
        yield _whole(baseline.parity, ORIGINAL, failed)
    for hop in candidate.hops if len(candidate.hops) > 1 else ():
        yield _hop(hop, suffers)
    if candidate.readback is not None:
        yield from _constants(candidate.readback)
    if candidate.original is not None:
        same = _counted(candidate.original)
        text = f"the shipped file beside the original: the same answer in {same}"
        if candidate.original.top1_agreement is None:
            text = f"the shipped file beside the original: {same}"
        yield check("parity", "pass", text, *_figures(candidate.original))


def _hop(hop: Hop, suffers: bool) -> Check:
    """One step of the way, which fails only where the whole way does."""
    failed, figures = _beyond(hop.parity), _figures(hop.parity)
    text = f"{HOPS[hop.kind]} {_agree(hop.parity)}"
    if failed is None:
        return check("hop", "pass", text, *figures)
    if suffers:
        return check("hop", "fail", f"{text}; {failed}", *figures)
    text = f"{text}; {failed}, but what ships does not suffer from it"
    return check("hop", "pass", text, *figures)


def _constants(readback: Readback) -> Iterator[Check]:
    differences = readback.differences
    for line in differences[:MOST_DIFFERENCES]:
        yield check("constants", "fail", f"the file does not hold what was trained: {line}")
    if len(differences) > MOST_DIFFERENCES:
        text = f"and {len(differences) - MOST_DIFFERENCES} more of its constants"
        yield check("constants", "fail", text)
    if readback.compared and not differences:
        text = f"the weights and biases of {readback.compared} layers in the file, and all scales,"
        yield check("constants", "pass", f"{text} are those that were trained")


def _whole(parity: Parity, names: tuple[str, str], failed: str | None) -> Check:
    """The file against what it was made of; `names`: what people call the two."""
    file, model = names
    text = f"{file} {_does(parity, failed is None)} as {model} does ({_counted(parity)})"
    text = text if failed is None else f"{text}; {failed}"
    return passed_if(failed is None, "parity", text, *_figures(parity))


def _does(parity: Parity, agrees: bool) -> str:
    what = "answer" if parity.top1_agreement is not None else "compute"
    return f"{what}s" if agrees else f"does not {what}"


def _counted(parity: Parity) -> str:
    """'5,000 of 5,000'; where there are no classes, 'outputs within 1 step'."""
    if parity.top1_agreement is None:
        steps = f"{parity.max_output_steps:.3g}"
        return f"outputs within {steps} step{'s' * (steps != '1')}"
    if not math.isfinite(parity.top1_agreement):
        return f"nan of {parity.samples:,}"
    same = round(parity.top1_agreement * parity.samples)
    return f"{same:,} of {parity.samples:,}"


def _agree(parity: Parity) -> str:
    text = "agree"
    if parity.top1_agreement is not None:
        figure, _ = apart(parity.top1_agreement, WHOLE_WAY.top1_agreement, percent)
        text += f" on {figure} of the answers,"
    return f"{text} within {parity.max_output_steps:.3g} output steps"


def _figures(parity: Parity) -> tuple[Figure, ...]:
    """The figures that decide, each with its limit."""
    limit, figures = WHOLE_WAY, []
    if parity.error_to_noise is None or parity.worst_error_to_noise is None:
        if parity.top1_agreement is not None:
            figures.append(at_least("top1_agreement", parity.top1_agreement, limit.top1_agreement))
        else:
            steps = parity.max_output_steps
            figures.append(at_most("max_output_steps", steps, limit.max_output_steps))
        return tuple(figures)
    figures.append(at_most("error_to_noise", parity.error_to_noise, limit.error_to_noise))
    worst = parity.worst_error_to_noise
    figures.append(at_most("worst_error_to_noise", worst, limit.worst_error_to_noise))
    if parity.sure_agreement is not None:
        figures.append(at_least("sure_agreement", parity.sure_agreement, limit.sure_agreement))
    return tuple(figures)


def _beyond(parity: Parity) -> str | None:
    """The limit that is not kept, in words; None: all are. NaN keeps none."""
    limit = WHOLE_WAY
    if parity.error_to_noise is None or parity.worst_error_to_noise is None:
        return _beyond_counts(parity)
    if not parity.error_to_noise <= limit.error_to_noise:
        return (
            f"they differ by {parity.error_to_noise:.3g} times what quantising changes;"
            f" at most {limit.error_to_noise:.3g} times is rounding"
        )
    if not parity.worst_error_to_noise <= limit.worst_error_to_noise:
        return (
            f"in one output they differ by {parity.worst_error_to_noise:.3g} times what quantising"
            f" changes; at most {limit.worst_error_to_noise:.3g} times is rounding"
        )
    sure = parity.sure_agreement
    if sure is not None and not sure >= limit.sure_agreement:
        figure, least = apart(sure, limit.sure_agreement, percent)
        return (
            f"of the {parity.sure_samples} answers that what quantising changes cannot flip"
            f" {figure} are the same; at least {least} asked"
        )
    return None


def _beyond_counts(parity: Parity) -> str | None:
    """Top-1 agreement where there are classes, else the largest difference."""
    limit = WHOLE_WAY
    if parity.top1_agreement is None:
        if parity.max_output_steps <= limit.max_output_steps:
            return None
        return f"at most {limit.max_output_steps:.3g} allowed"
    if parity.top1_agreement >= limit.top1_agreement:
        return None
    _, least = apart(parity.top1_agreement, limit.top1_agreement, percent)
    return f"at least {least} asked"
