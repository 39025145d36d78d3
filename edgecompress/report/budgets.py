"""Budgets that only a device can check."""

from collections.abc import Iterator, Set

from edgecompress.report.checks import at_most, check, passed_if
from edgecompress.report.figures import apart, mebibytes, milliseconds
from edgecompress.spec.deploy import Budgets
from edgecompress.spec.measurement import Measurement
from edgecompress.spec.report import Check, ModelReport

_LIMITS = {
    "latency_ms_p50": ("latency p50", milliseconds),
    "latency_ms_p90": ("latency p90", milliseconds),
    "latency_ms_p99": ("latency p99", milliseconds),
    "init_time_ms": ("time to load", milliseconds),
    "peak_rss_bytes": ("peak memory", mebibytes),
}
"""Each is also the name of the candidate's figure."""
_BY_CLOCK = frozenset(_LIMITS) - {"peak_rss_bytes"}
"""Those of which an invalid measurement says nothing."""


def budget_checks(
    budgets: Budgets, candidate: ModelReport | Measurement, unknown: str | None
) -> Iterator[Check]:
    """Every budget that the user has set. `unknown`: why no latency is known; None: they are."""
    yield from _within(budgets, candidate, set(_LIMITS) - (_BY_CLOCK if unknown else set()))
    if unknown is not None:
        yield from not_measured(budgets, unknown, _BY_CLOCK)


def unsteady_because(measured: Measurement) -> str | None:
    """Why its milliseconds decide nothing, where what it took against another file may."""
    unsteady = None if measured.validity is None else measured.validity.unsteady
    return None if unsteady is None else f"{unsteady.text}; {unsteady.remedy}"


def over_budget(budgets: Budgets, measured: Measurement) -> tuple[str, ...]:
    """The budgets that only a device can check and that it does not keep, or is not known to keep,
    in words.
    """
    validity = measured.validity
    why = unsteady_because(measured)
    if validity is not None and not validity.valid:
        against = validity.reasons[0]
        why = f"invalid: {against.text}; {against.remedy}, and try again"
    checks = budget_checks(budgets, measured, why)
    return tuple(each.text for each in checks if each.outcome != "pass")


def _within(
    budgets: Budgets, candidate: ModelReport | Measurement, keys: Set[str]
) -> Iterator[Check]:
    for key, (name, unit) in _LIMITS.items():
        limit: float | None = getattr(budgets, key)
        value: float | None = getattr(candidate, key)
        if limit is None or key not in keys:
            continue
        asked = at_most(key, value, limit)
        if value is None:
            text = f"{name} was not measured; at most {unit(limit)} allowed"
            yield check("budget", "unmeasured", text, asked)
        else:
            figure, bound = apart(value, limit, unit)
            text = f"{name} is {figure}; at most {bound} allowed"
            yield passed_if(value <= limit, "budget", text, asked)


def not_measured(
    budgets: Budgets, why: str, keys: Set[str] = frozenset(_LIMITS)
) -> Iterator[Check]:
    for key, (name, unit) in _LIMITS.items():
        limit: float | None = getattr(budgets, key)
        if limit is not None and key in keys:
            text = f"{name} is not known ({why}); at most {unit(limit)} allowed"
            yield check("budget", "unmeasured", text, at_most(key, None, limit))
