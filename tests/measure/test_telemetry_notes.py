"""Throttling during a run, and energy, in words."""

import pytest
from turns import FOUR, make_turn

from edgecompress.measure.compare import summarise
from edgecompress.spec.measurement import TelemetrySample, Turn

STEADY = [1.0] * 30


def notes(turns: list[Turn]) -> tuple[str, ...]:
    return summarise(turns, FOUR).notes


def watched(
    *words: str | None,
    before: str | None = "0x0",
    after: str | None = "0x0",
    power_of: str | None = None,
    energy: float | None = None,
) -> Turn:
    """A turn whose board said these flags, one a second."""
    turn = make_turn(STEADY)
    return turn.model_copy(
        update={
            "before": turn.before.model_copy(update={"throttled": before}),
            "after": turn.after.model_copy(update={"throttled": after}),
            "telemetry": tuple(
                TelemetrySample(
                    at_s=at + 0.5, temperature_c=62.3, clock_mhz=None, throttled=word, power_mw=None
                )
                for at, word in enumerate(words)
            ),
            "power_of": power_of,
            "energy_mj_per_inference": energy,
        }
    )


@pytest.mark.parametrize("word", ["0x0", None, "light"])
def test_nothing_held_it_back(word):
    assert notes([watched(word, word)]) == ()


def test_flags_since_boot_are_nothing_of_this_run():
    (note,) = notes([watched("0x50000", before="0x50000", after="0x50000")])
    assert note.startswith("the board says throttled=0x50000")


def test_held_back_and_free_again():
    turns = [watched("0x0", "0x50005"), watched("0x50004", "0x50000", before=None, after=None)]
    assert notes(turns) == (
        "during the run the board was held back in 1 of 2 readings: under-voltage, throttled"
        " (turn 1 of 2, the worst of 2 such)",
    )


def test_what_no_reading_saw_the_firmware_remembers():
    turn = watched("0x0", "0x2", before="0x80000", after="0xf0000")
    (note,) = notes([turn])
    assert [part for part in note.split("; ") if part.startswith("during")] == [
        "during the run the board was held back in 1 of 2 readings: frequency capped",
        "during the run, between two readings, the board had: under-voltage, throttled",
    ]


@pytest.mark.parametrize(("before", "after"), [(None, "0x80000"), ("0x0", None), ("0x0", "hot")])
def test_what_the_firmware_did_not_say_before_and_after_is_not_compared(before, after):
    said = notes([watched("0x0", before=before, after=after)])
    assert [note for note in said if note.startswith("during")] == []


def test_energy():
    turns = [watched(power_of="VDD_IN", energy=mj) for mj in (10.0, 14.0, 12.0)]
    assert summarise(turns, FOUR).energy_mj_per_inference == 12.0
    assert notes(turns) == (
        "energy: 12 mJ per inference, from the mean power of VDD_IN while it ran: idle power is"
        " in it",
    )
    assert notes(turns[:1])[0].startswith("energy: 10 mJ per inference")


@pytest.mark.parametrize(
    "other", [{}, {"power_of": "VDD_IN"}, {"power_of": "POM_5V_IN", "energy": 10.0}]
)
def test_no_energy_of_turns_that_are_not_alike(other):
    turns = [watched(power_of="VDD_IN", energy=10.0), watched(**other)]
    assert summarise(turns, FOUR).energy_mj_per_inference is None
    assert notes(turns) == ()
