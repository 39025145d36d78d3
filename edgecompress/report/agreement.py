"""Whether a file computes what its torch model does: the whole way decides, a hop explains.

The limits tell rounding from damage, by what quantising itself costs. The figures behind them:
docs/verdict.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from edgecompress.report.checks import Check, check
from edgecompress.report.figures import apart, percent
from edgecompress.spec.measurement import HopKind, Parity, Readback
from edgecompress.spec.report import ModelReport


@dataclass(frozen=True)
class Agreement:
    """What two executions of one model must have in common."""

    error_to_noise: float = 1.0
    """Energy of their difference, against that of what quantising changed."""
    worst_error_to_noise: float = 4.0
    """The same of one class, channel or position."""
    sure_agreement: float = 0.99
    """Share of the answers that quantisation noise cannot flip which are the same."""
    top1_agreement: float = 0.99
    """Of all answers, where it is not known what noise can flip."""
    max_output_steps: float = 16.0
    """Where there are neither classes nor energies."""


WHOLE_WAY = Agreement()
MOST_DIFFERENCES = 5
"""Lines about constants of the file that are other than they were."""
HOPS: dict[HopKind, str] = {
    "converted": "made integer in torch",
    "exported": "written to the file",
    "kernels": "run by the runtime's own kernels",
}


def agreements(baseline: ModelReport, candidate: ModelReport) -> Iterator[Check]:
    """Of both files with what they were made of, and for the candidate hop by hop."""
    suffers = False
    if candidate.parity is not None:
        failed = _beyond(candidate.parity)
        suffers = failed is not None
        yield _whole(candidate.parity, "the file", failed)
    if baseline.parity is not None and (failed := _beyond(baseline.parity)) is not None:
        yield _whole(baseline.parity, "the baseline's file", failed)
    for hop in candidate.hops if len(candidate.hops) > 1 else ():
        failed = _beyond(hop.parity)
        text = f"{HOPS[hop.kind]}, it and {_in_words(hop.parity)}"
        if failed is None:
            yield Check("parity", "pass", text)
        elif suffers:
            yield Check("parity", "fail", f"{text}; {failed}")
        else:
            yield Check(
                "parity", "pass", f"{text}; {failed}, but what ships does not suffer from it"
            )
    if candidate.readback is not None:
        yield from _constants(candidate.readback)
    if candidate.original is not None:
        yield Check("parity", "pass", f"the file and {_in_words(candidate.original)}")


def _constants(readback: Readback) -> Iterator[Check]:
    differences = readback.differences
    for line in differences[:MOST_DIFFERENCES]:
        yield Check("constants", "fail", f"the file does not hold what was trained: {line}")
    if len(differences) > MOST_DIFFERENCES:
        yield Check(
            "constants", "fail", f"and {len(differences) - MOST_DIFFERENCES} more of its constants"
        )
    if readback.compared and not differences:
        text = f"the weights and biases of {readback.compared} layers in the file, and all scales,"
        yield Check("constants", "pass", f"{text} are those that were trained")


def _whole(parity: Parity, what: str, failed: str | None) -> Check:
    text = f"{what} and {_in_words(parity)}"
    return check("parity", failed is None, text if failed is None else f"{text}; {failed}")


def _in_words(parity: Parity) -> str:
    text = f"{parity.reference} agree"
    if parity.top1_agreement is not None:
        figure, _ = apart(parity.top1_agreement, WHOLE_WAY.top1_agreement, percent)
        text += f" on {figure} of the answers,"
    return f"{text} within {parity.max_output_steps:.3g} output steps"


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
