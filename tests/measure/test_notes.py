"""What may make a latency wrong is said."""

import pytest
from turns import FOUR, make_turn

from edgecompress.measure.compare import summarise
from edgecompress.measure.notes import is_emulated
from edgecompress.measure.validity import Rules
from edgecompress.spec.measurement import Probe, Turn
from edgecompress.spec.protocol import Paced, Sustained, Throughput

STEADY = [1.0] * 30
SLOWER = [1.0] * 10 + [1.1] * 10 + [1.2] * 10


def notes(turns: list[Turn], cores: int = 4) -> tuple[str, ...]:
    return summarise(turns, FOUR._replace(cores=cores)).notes


def test_nothing_to_say():
    assert notes([make_turn(STEADY), make_turn(STEADY)], cores=4) == ()


@pytest.mark.parametrize("samples", [[1.0], [1.0, 2.0]])
def test_too_few_samples_have_no_drift(samples):
    assert notes([make_turn(samples)], cores=4) == ()


def test_drift_inside_a_turn():
    note, _ = notes([make_turn(STEADY), make_turn(SLOWER)], cores=4)
    assert "+20%" in note
    assert note.endswith("(turn 2 of 2)")


def test_one_turn_has_no_drift_from_turn_to_turn():
    (note,) = notes([make_turn(SLOWER)], cores=4)
    assert note == "latency drifted by +20% from the first to the last third of the samples"


def test_drift_of_a_tenth_is_none():
    for last, count in ((1.09, 0), (1.11, 1), (0.91, 0), (0.89, 1)):
        assert len(notes([make_turn([1.0] * 20 + [last] * 10)], cores=4)) == count


def test_drift_from_turn_to_turn():
    turns = [make_turn([ms] * 30) for ms in (1.0, 1.0, 0.8)]
    drifted, differ = notes(turns, cores=4)
    assert drifted == "latency drifted by -20% from the first to the last third of the turns"
    assert differ == "turns differ: their medians are between 0.8 and 1 ms"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("0x50005", "under-voltage, throttled, under-voltage since boot, throttled since boot"),
        ("0x8", "soft temperature limit"),
        ("0x20000", "frequency capped since boot"),
        ("hot", "unknown flags"),
        ("light", "Android's thermal status"),
    ],
)
def test_throttling(word, expected):
    (note,) = notes([make_turn(STEADY), make_turn(STEADY, throttled=word)], cores=4)
    assert note == f"the board says throttled={word} ({expected}) (turn 2 of 2)"


@pytest.mark.parametrize("word", [None, "0x0", "none"])
def test_no_throttling(word):
    assert notes([make_turn(STEADY, throttled=word)], cores=4) == ()


def test_load():
    turns = [make_turn(STEADY, load_1m=1.0), make_turn(STEADY, load_1m=4.5)]
    assert notes(turns, cores=4) == ("the machine was busy: load 4.5 on 4 cores (turn 2 of 2)",)
    assert notes(turns, cores=5) == ()
    # One for each core is no more than they can do.
    assert notes([make_turn(STEADY, load_1m=4.0)], cores=4) == ()
    assert notes([make_turn(STEADY, load_1m=None)], cores=4) == ()


@pytest.mark.parametrize(
    ("machine", "feature", "kernel", "expected"),
    [
        ("x86_64", "sse2", None, False),
        ("aarch64", "asimd", None, False),
        ("aarch64", "sse2", None, True),
        ("armv7l", "sse2", None, True),
        ("x86_64", "asimd", None, True),
        ("x86_64", "sse2", "x86_64", False),
        ("armv7l", "asimd", "aarch64", False),
        ("aarch64", "asimd", "x86_64", True),
    ],
)
def test_emulated(machine, feature, kernel, expected):
    probe = Probe(
        machine=machine,
        system="Linux",
        python="3.11",
        cpu_model=None,
        cpu_features=("fpu", feature),
        cores=4,
        memory_bytes=None,
        versions={},
        kernel_machine=kernel,
    )
    assert is_emulated(probe) is expected
    assert is_emulated(probe.model_copy(update={"is_emulator": True}))


@pytest.mark.parametrize(
    ("protocol", "turn", "note"),
    [
        (
            Sustained(turns=1, min_duration_s=0.03),
            make_turn([1.0] * 20 + [1.05] * 10),
            "it holds for 0.03 s: the last third of the time takes +5.0% against the first",
        ),
        (
            Sustained(turns=1, min_duration_s=0.03),
            make_turn([1.0] * 20 + [1.5] * 10),
            "it does not hold for 0.03 s: the last third of the time takes +50.0% against the"
            " first",
        ),
        (
            Paced(turns=1, min_duration_s=0.03),
            make_turn([1.0] * 200, late=1),
            "1 of 200 paced inferences began late",
        ),
        (
            Throughput(turns=1, min_duration_s=0.03),
            make_turn([1.0] * 200, streams=2, batch=4, samples_per_s=7812.34),
            "7,812.3 samples per second; sessions at once: 2, samples of an inference: 4",
        ),
    ],
)
def test_what_a_protocol_looks_for_is_told_first(protocol, turn, note):
    assert summarise([turn], Rules(protocol, 4)).notes[0] == note
