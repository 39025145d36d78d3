"""What a board's sensors said while it was measured, in words and in mJ."""

from collections.abc import Iterable, Sequence
from statistics import median

from edgecompress.measure.limits import Seen
from edgecompress.spec.measurement import Turn
from edgecompress.vendor.vcgencmd import Throttled

THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Android's, by its number."""
UNTHROTTLED = ("0x0", THERMAL_STATUS[0])
_LITTLE, _NOW = 0.5, 1.0
"""Held back a little, or at some time since boot; while it was measured."""


def flags(word: str | None) -> Throttled | None:
    """What a Raspberry Pi's word says, such as '0x50005'; None for other boards' words."""
    try:
        return None if word is None else Throttled(bits=int(word, 16))
    except ValueError:
        return None


def energy_mj_per_inference(turns: Sequence[Turn]) -> float | None:
    """Median over the turns; None unless all of them measured the power of the same."""
    energies = [turn.energy_mj_per_inference for turn in turns]
    known = [energy for energy in energies if energy is not None]
    if len(known) < len(energies) or len({turn.power_of for turn in turns}) != 1:
        return None
    return median(known)


def energy_note(turns: Sequence[Turn]) -> list[str]:
    energy = energy_mj_per_inference(turns)
    if energy is None:
        return []
    return [
        f"energy: {energy:.3g} mJ per inference, from the mean power of {turns[0].power_of} while"
        " it ran: idle power is in it"
    ]


def held_back(turn: Turn) -> list[Seen]:
    """What the board's own word says of it; see 'throttled' in the table of limits."""
    words = [state.throttled for state in (turn.before, turn.after)]
    around = [_of_word(word) for word in sorted({word for word in words if word})]
    doubts = [each for each in (*around, *_during(turn), *_counted(turn)) if each is not None]
    if not doubts:
        return []
    worst = max(value for value, _ in doubts)
    return [Seen("throttled", "held_back", worst, "; ".join(text for _, text in doubts))]


def _counted(turn: Turn) -> list[tuple[float, str]]:
    """What x86 counts of itself."""
    throttles = None if turn.running is None else turn.running.throttles
    if not throttles:
        return []
    return [(_NOW, f"the CPU slowed itself down by heat {throttles:,} times")]


def _of_word(word: str) -> tuple[float, str] | None:
    if word in UNTHROTTLED:
        return None
    if word in THERMAL_STATUS:
        value = _LITTLE if word == THERMAL_STATUS[1] else _NOW
        return value, f"the board says throttled={word} (Android's thermal status)"
    state = flags(word)
    said = (
        [] if state is None else [*state.now, *(f"{flag} since boot" for flag in state.since_boot)]
    )
    value = _NOW if state is not None and state.now else _LITTLE
    return value, f"the board says throttled={word} ({', '.join(said) or 'unknown flags'})"


def _during(turn: Turn) -> list[tuple[float, str]]:
    """What held a Raspberry Pi back while it was measured, seen or remembered by its firmware."""
    readings = [flags(sample.throttled) for sample in turn.telemetry]
    seen_now = [found for found in readings if found is not None and found.now]
    seen = _words(found.now for found in seen_now)
    said = []
    if seen_now:
        count = f"{len(seen_now)} of {len(readings)} readings"
        text = f"during the run the board was held back in {count}: {', '.join(seen)}"
        said.append((_NOW, text))
    missed = [word for word in _set_during(turn) if word not in seen]
    if missed:
        text = f"during the run, between two readings, the board had: {', '.join(missed)}"
        said.append((_NOW, text))
    return said


def _set_during(turn: Turn) -> tuple[str, ...]:
    """Flags 'since boot' that were not yet set when the turn began."""
    before, after = flags(turn.before.throttled), flags(turn.after.throttled)
    if before is None or after is None:
        return ()
    return tuple(word for word in after.since_boot if word not in before.since_boot)


def _words(of_each: Iterable[tuple[str, ...]]) -> list[str]:
    """All, each once, in order."""
    return list(dict.fromkeys(word for words in of_each for word in words))
