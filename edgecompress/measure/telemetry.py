"""What a board's sensors said while it was measured, in words and in mJ."""

from collections.abc import Iterable, Sequence
from statistics import median

from edgecompress.spec.measurement import Turn
from edgecompress.vendor.vcgencmd import Throttled


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


def throttling_during(turns: Sequence[Turn]) -> list[str]:
    """What held a Raspberry Pi back while it was measured, seen or remembered by its firmware."""
    readings = [flags(sample.throttled) for turn in turns for sample in turn.telemetry]
    held_back = [found for found in readings if found is not None and found.now]
    seen = _words(found.now for found in held_back)
    said = []
    if held_back:
        count = f"{len(held_back)} of {len(readings)} readings"
        said.append(f"during the run the board was held back in {count}: {', '.join(seen)}")
    missed = [word for word in _words(map(_set_during, turns)) if word not in seen]
    if missed:
        said.append(f"during the run, between two readings, the board had: {', '.join(missed)}")
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
