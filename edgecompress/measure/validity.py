"""Whether turns, one or several of a file, may decide anything: what is seen against the limits."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

from edgecompress.measure.doubts import clock_seen, clocks_mhz, processor_seen, seen_in, spins_us
from edgecompress.measure.limits import BY_LATENCIES, LIMITS, OF_CLOCKS, OF_HEAT, SHARED, Seen
from edgecompress.measure.statistics import cost_ms, drift, variation
from edgecompress.spec.figure import Figure
from edgecompress.spec.measurement import Turn
from edgecompress.spec.protocol import MeasurementProtocol
from edgecompress.spec.validity import Finding, FindingKind, Validity

_ORDER: tuple[FindingKind, ...] = get_args(FindingKind)


class Rules(NamedTuple):
    """What turns are held against."""

    protocol: MeasurementProtocol
    cores: int
    """The board's, for what tells no more than a load."""


class _Doubt(NamedTuple):
    seen: Seen
    invalid: bool
    turn: int | None = None
    """From 1; None: all together."""
    shared: bool = False
    """It would make it invalid, if files that ran side by side did not have it in common."""


def turn_fault(turn: Turn, rules: Rules) -> Finding | None:
    """The weightiest thing that befell a turn and for which it is to be measured again; None: it
    counts, whatever its latencies are.
    """
    beside = turn.bursts_ms is not None
    doubts = (_held(seen, rules.protocol, beside=beside) for seen in seen_in(turn, *rules))
    faults = [
        doubt
        for doubt in doubts
        if doubt is not None and doubt.invalid and doubt.seen.kind not in BY_LATENCIES
    ]
    return _findings(faults)[0] if faults else None


def validity_of(turns: Sequence[Turn], rules: Rules) -> Validity:
    """Whether a file's turns together may decide anything."""
    doubts = []
    beside = all(turn.bursts_ms is not None for turn in turns)
    for number, turn in enumerate(turns, start=1):
        found = (_held(seen, rules.protocol, beside=beside) for seen in seen_in(turn, *rules))
        doubts += [doubt._replace(turn=number) for doubt in found if doubt is not None]
    seen_in_all = _seen_in_all(turns, rules.protocol)
    together = (_held(seen, rules.protocol, beside=beside) for seen in seen_in_all)
    doubts += [doubt for doubt in together if doubt is not None]
    reasons = _findings([doubt for doubt in doubts if doubt.invalid], len(turns))
    against = {finding.kind for finding in reasons}
    flags = [doubt for doubt in doubts if not doubt.invalid and doubt.seen.kind not in against]
    unsteady = _findings([doubt for doubt in flags if doubt.shared], len(turns))
    return Validity(
        valid=not reasons,
        unsteady=unsteady[0] if unsteady else None,
        reasons=tuple(reasons),
        flags=tuple(_findings(flags, len(turns))),
    )


def _seen_in_all(turns: Sequence[Turn], protocol: MeasurementProtocol) -> list[Seen]:
    """What only several turns tell."""
    least = protocol.turns
    text = f"{len(turns)} turns, of at least {least}"
    found = [Seen("turns", "turns_missing", max(0.0, 1 - len(turns) / least), text)]
    medians = [cost_ms(turn) for turn in turns]
    spread = variation(medians)
    if spread is not None:
        low, high = min(medians), max(medians)
        text = f"turns differ: their medians are between {low:.3g} and {high:.3g} ms"
        found.append(Seen("turns_differ", "variation_of_turns", spread, text))
        change = drift(medians)
        text = f"latency drifted by {change:+.0%} from the first to the last third of the turns"
        found.append(Seen("drift", "drift", abs(change), text))
    found += clock_seen([mhz for turn in turns for mhz in clocks_mhz(turn)])
    return found + processor_seen([spin for turn in turns for spin in spins_us(turn)])


def _held(seen: Seen, protocol: MeasurementProtocol, *, beside: bool) -> _Doubt | None:
    """Against its limit; None: within it. Written so that NaN is beyond. `beside`: the file ran
    side by side with others.
    """
    limit = LIMITS[seen.kind]
    if seen.value <= limit.flag:
        return None
    is_result = (protocol.shows_heat and seen.kind in OF_HEAT) or (
        protocol.shows_clock and seen.kind in OF_CLOCKS
    )
    beyond = not is_result and not seen.value <= limit.invalid
    shared = beyond and beside and seen.kind in SHARED
    return _Doubt(seen, beyond and not shared, shared=shared)


def _findings(doubts: Sequence[_Doubt], of: int = 1) -> list[Finding]:
    """One for each kind: the worst, and in how many turns it was."""
    found = []
    for kind in _ORDER:
        alike = [doubt for doubt in doubts if doubt.seen.kind == kind]
        if alike:
            found.append(_finding(alike, of))
    return found


def _finding(alike: Sequence[_Doubt], of: int) -> Finding:
    worst = max(alike, key=lambda doubt: doubt.seen.value)
    kind, name, value, text = worst.seen
    limit = LIMITS[kind]
    turns = {doubt.turn for doubt in alike if doubt.turn is not None}
    if worst.turn is not None and of > 1:
        others = f", the worst of {len(turns)} such" if len(turns) > 1 else ""
        text += f" (turn {worst.turn} of {of}{others})"
    most = limit.invalid if worst.invalid else limit.flag
    return Finding(
        kind=kind,
        text=text,
        remedy=limit.remedy,
        figures=(Figure(name=name, value=value, at_most=most),),
    )
