"""Two files in turns, on the real agent; and the figures made of given samples."""

import dataclasses

import numpy as np
import onnx_files
import pytest
from turns import FOUR, conditions, make_turn

from edgecompress.errors import AgentError, ArtifactError, TaskError
from edgecompress.measure.compare import compare, measure_file, speedup_of, summarise
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.statistics import turn_ratio
from edgecompress.measure.turns import Session
from edgecompress.spec.device import Device
from edgecompress.spec.measurement import MeasuredInputs, Turn
from edgecompress.spec.memory import MemoryUse
from edgecompress.spec.protocol import Throughput

HERE = Device(id="here", target="local", transport="local")


@pytest.fixture
def inputs():
    """Three inferences, by order and not by name."""
    samples = np.random.default_rng(0).standard_normal((3, 1, 1, 512), np.float32)
    return Inputs(tuple(tuple(sample) for sample in samples), "evaluation")


@pytest.fixture
def small(tmp_path):
    onnx_files.linear(tmp_path / "small.onnx", features=512, classes=2)
    return onnx_files.loaded(tmp_path / "small.onnx")


@pytest.fixture
def big(tmp_path):
    onnx_files.linear(tmp_path / "big.onnx", features=512, classes=20_000)
    return onnx_files.loaded(tmp_path / "big.onnx")


def test_what_the_inventory_calls_emulated_is(agent, protocol, inputs, small):
    once = protocol.model_copy(update={"turns": 1})
    emulated = HERE.model_copy(update={"emulated": True})
    assert compare(Session(agent, once, 1, inputs), small, small, emulated).emulated


def test_turns_alternate_and_are_told(agent, protocol, inputs, small, big):
    told = []
    session = Session(agent, protocol, 1, inputs, lambda name, n, turn: told.append((name, n)))
    found = compare(session, big, small, HERE)
    assert told[:4] == [("baseline", 1), ("candidate", 1), ("candidate", 2), ("baseline", 2)]
    # A busy machine has turns measured again, and not for ever.
    assert len(told) <= 8
    assert found.device == "here"
    assert not found.emulated
    for measurement in (found.baseline, found.candidate):
        assert len(measurement.turns) >= 2
        assert all(len(turn.latency_ms) >= 20 for turn in measurement.turns)
        assert measurement.latency_ms_p50 <= measurement.latency_ms_p90
        assert measurement.latency_ms_p90 <= measurement.latency_ms_p99
        assert measurement.inputs == MeasuredInputs(split="evaluation", samples=3)
        assert all(turn.bursts_ms for turn in measurement.turns)
    # 10,000 times the work, 40 MB more weights: no load of the machine turns that round.
    assert found.speedup > 2
    assert found.speedup_low > 1
    assert found.baseline.peak_rss_bytes - found.candidate.peak_rss_bytes > 30_000_000


def test_integer_inputs_are_quantised_for_the_file(agent, protocol, tmp_path):
    onnx_files.doubler_int8(tmp_path / "int8.onnx")
    file = onnx_files.loaded(tmp_path / "int8.onnx", {"x": (0.5, 10), "y": (0.25, -3)})
    inputs = Inputs(((np.ones((1, 4), "float32"),),), "evaluation")
    found = measure_file(Session(agent, protocol, 1, inputs), file)
    assert len(found.turns) >= 2


def test_changed_artifact_is_not_measured(agent, protocol, inputs, small, big):
    small.file.write_bytes(big.file.read_bytes())
    told = []
    with pytest.raises(ArtifactError, match=r"small\.onnx: content has changed"):
        compare(
            Session(agent, protocol, 1, inputs, lambda *turn: told.append(turn)), big, small, HERE
        )
    assert told == []


def test_inputs_that_do_not_fit(agent, protocol, small):
    inputs = Inputs(((np.ones((1, 9), "float32"),),), "evaluation")
    with pytest.raises(TaskError, match=r"small\.onnx: input 'x' takes shape"):
        measure_file(Session(agent, protocol, 1, inputs), small)


def test_summary_is_of_the_pooled_samples():
    turns = [
        make_turn(range(1, 51), init_time_ms=9.0, peak_rss_bytes=7),
        make_turn(range(51, 102), init_time_ms=11.0, peak_rss_bytes=5),
    ]
    turns[0] = turns[0].model_copy(update={"first_inference_ms": 5.0})
    found = summarise(turns, FOUR)
    assert (found.latency_ms_p50, found.latency_ms_p90, found.latency_ms_p99) == (51, 91, 100)
    assert (found.init_time_ms, found.first_inference_ms) == (10, 3.5)
    assert found.peak_rss_bytes == 7


def measurement(level_ms: list[float], spread: float, seed: int, samples: int = 400):
    generator = np.random.default_rng(seed)
    turns = [make_turn(level * (1 + spread * generator.random(samples))) for level in level_ms]
    return summarise(turns, FOUR)


def interval(baseline, candidate):
    return speedup_of(baseline, candidate, FOUR.protocol)[1:]


def test_interval_holds_the_true_ratio_and_repeats():
    baseline, candidate = measurement([2.0] * 5, 0.1, 1), measurement([1.0] * 5, 0.1, 2)
    low, high = interval(baseline, candidate)
    assert 1.9 < low < 2.0 < high < 2.1
    assert interval(baseline, candidate) == (low, high)


def test_interval_knows_that_turns_differ():
    """Ever so many samples of two unlike turns do not make the ratio certain."""
    candidate = measurement([1.0, 1.0, 1.0, 1.0], 0.01, 2, samples=3000)
    steady = measurement([2.0, 2.0, 2.0, 2.0], 0.01, 1, samples=3000)
    uneven = measurement([1.5, 2.5, 1.5, 2.5], 0.01, 1, samples=3000)
    low, high = interval(steady, candidate)
    assert high - low < 0.02
    low, high = interval(uneven, candidate)
    assert high - low > 0.9


def test_a_lone_turn_is_judged_by_its_parts():
    """Samples that lie next to each other are alike, so that they do not count one by one."""
    candidate = measurement([1.0], 0.01, 2)
    low, high = interval(measurement([2.0], 0.01, 1), candidate)
    assert 1.98 < low < high < 2.02
    waves = [2.0 + 0.4 * np.sin(at / 40) for at in range(400)]
    low, high = interval(summarise([make_turn(waves)], FOUR), candidate)
    assert high - low > 0.2


def test_interval_draws_neighbours_together():
    """A machine that is slow for both in a turn does not make the ratio uncertain."""
    baseline = measurement([2.0, 6.0, 2.0, 6.0], 0.01, 1)
    candidate = measurement([1.0, 3.0, 1.0, 3.0], 0.01, 2)
    low, high = interval(baseline, candidate)
    assert 1.9 < low <= high < 2.1


def test_what_changes_while_both_run_is_in_neither_ratio():
    """A machine as fast as ever, or half as fast, for whole bursts and for longer."""
    generator = np.random.default_rng(3)
    sides: dict[str, list[Turn]] = {"baseline": [], "candidate": []}
    for _ in range(5):
        slowness = np.repeat(generator.choice([1.0, 2.0], 10), 4)
        for name, level_ms in (("baseline", 2.1), ("candidate", 2.0)):
            bursts = level_ms * slowness * np.exp(generator.normal(0.0, 0.01, slowness.size))
            sides[name].append(make_turn(np.repeat(bursts, 9), bursts_ms=tuple(bursts)))
    found = speedup_of(*(summarise(turns, FOUR) for turns in sides.values()), FOUR.protocol)
    assert 1.04 < found.low <= found.value <= found.high < 1.06
    alone = [
        summarise([turn.model_copy(update={"bursts_ms": None}) for turn in turns], FOUR)
        for turns in (sides["baseline"], sides["candidate"][::-1])
    ]
    assert speedup_of(*alone, FOUR.protocol).low < 1, "turns of other moments do not tell"


def test_a_lone_pair_is_judged_by_its_bursts():
    generator = np.random.default_rng(4)
    slowness = np.linspace(1.0, 3.0, 40)
    one, two = (
        summarise([make_turn([1.0] * 30, bursts_ms=tuple(level * slowness * noise))], FOUR)
        for level, noise in zip((2.0, 1.0), np.exp(generator.normal(0, 0.01, (2, 40))), strict=True)
    )
    low, high = interval(one, two)
    assert 1.95 < low < 2.0 < high < 2.05


def test_bursts_that_are_not_of_the_same_moments_are_not_paired():
    one = make_turn([2.0] * 30, bursts_ms=(9.0, 9.0, 9.0))
    two = make_turn([1.0] * 30, bursts_ms=(1.0, 1.0))
    assert turn_ratio(one, two) == 2.0


def test_by_throughput_inferences_per_second_decide():
    """Two sessions at once take longer each, and less together."""
    one = summarise([make_turn([1.0] * 30, samples_per_s=1000.0)] * 3, FOUR)
    two = summarise([make_turn([1.6] * 30, samples_per_s=1250.0)] * 3, FOUR)
    assert speedup_of(one, two, Throughput()).value == pytest.approx(1.25)
    assert speedup_of(one, two, FOUR.protocol).value == pytest.approx(1 / 1.6)
    assert two.samples_per_s == 1250.0


class Board:
    """Measures nothing: gives the turns of a list, and then the last one for ever."""

    transport = None
    python_agent = None
    memory: MemoryUse | AgentError | None = None

    def __init__(self, probe, *turns):
        self._probe, self.turns, self.asked = probe, list(turns), 0

    def probe(self):
        return self._probe

    def measure(self, *_):
        self.asked += 1
        return self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]

    def usage(self, *_):
        if isinstance(self.memory, Exception):
            raise self.memory
        return self.memory


def test_memory_is_that_of_its_own_process_or_else_the_turns(agent, inputs, small):
    board = Board(agent.probe(), make_turn([1.0] * 30, peak_rss_bytes=5000))
    session = Session(board, FOUR.protocol, 1, inputs)
    found = measure_file(session, small)
    assert (found.memory, found.peak_rss_bytes) == (None, 5000)
    board.memory = MemoryUse(
        runtime_rss_bytes=9, runtime_was_used=True, loaded_rss_bytes=1, peak_rss_bytes=4000
    )
    found = measure_file(session, small)
    assert (found.memory, found.peak_rss_bytes) == (board.memory, 4000)
    board.memory = AgentError("board: agent usage: died of SIGKILL")
    found = measure_file(session, small)
    assert (found.memory, found.peak_rss_bytes) == (None, 5000)
    assert any("not watched" in note and "SIGKILL" in note for note in found.notes)
    alone = dataclasses.replace(session, memory=False)
    assert measure_file(alone, small).peak_rss_bytes == 5000


QUIET = make_turn([1.0] * 30, running=conditions())
STOPPED = make_turn([1.0] * 30, running=conditions(stops=1))
SLOW = make_turn([3.0] * 30, running=conditions())


@pytest.fixture
def measured(agent, inputs, small):
    """measured(turns wanted, *turns): what comes of a board that gives those."""
    probe = agent.probe()

    def run(wanted, *turns):
        board = Board(probe, *turns)
        protocol = FOUR.protocol.model_copy(update={"turns": wanted})
        return board, measure_file(Session(board, protocol, 1, inputs), small)

    return run


def test_a_disturbed_turn_is_measured_again_and_counted(measured):
    board, found = measured(3, QUIET, STOPPED, QUIET)
    assert (board.asked, len(found.turns), found.validity.valid) == (4, 3, True)
    assert [each.kind for each in found.discarded] == ["stopped"]


def test_a_turn_that_is_slow_for_no_reason_that_is_seen_is_kept(measured):
    """Whoever puts away what looks slow finds what they wish. All together do not agree, so that
    the measurement as a whole is made again, once.
    """
    board, found = measured(3, QUIET, QUIET, SLOW, QUIET)
    assert board.asked == 6
    assert found.validity.valid
    assert [each.kind for each in found.discarded] == ["drift"]


def test_what_does_not_pass_is_invalid_after_twice_as_many(measured):
    board, found = measured(3, STOPPED)
    assert (board.asked, len(found.turns), found.discarded) == (6, 6, ())
    assert [each.kind for each in found.validity.reasons] == ["stopped"]
    assert "(turn 1 of 6, the worst of 6 such)" in found.validity.reasons[0].text


def test_an_emulator_is_asked_once(agent, inputs, small):
    """Nothing follows from its figures."""
    board = Board(agent.probe(), STOPPED)
    protocol = FOUR.protocol.model_copy(update={"turns": 2})
    emulated = HERE.model_copy(update={"emulated": True})
    found = compare(Session(board, protocol, 1, inputs), small, small, emulated)
    assert (board.asked, found.valid) == (4, False)


def test_a_partner_is_measured_again_too(agent, inputs, small):
    """Turns are compared with those next to them."""
    board = Board(agent.probe(), QUIET, STOPPED, QUIET)
    protocol = FOUR.protocol.model_copy(update={"turns": 2})
    found = compare(Session(board, protocol, 1, inputs), small, small, HERE)
    assert board.asked == 6
    assert found.valid
    assert found.protocol == protocol
    assert [len(side.turns) for side in (found.baseline, found.candidate)] == [2, 2]
    assert [len(side.discarded) for side in (found.baseline, found.candidate)] == [0, 1]
