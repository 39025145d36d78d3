"""Files that race on the real agent of this machine, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from turns import make_turn

from edgecompress.measure.agent import Agent
from edgecompress.measure.agent_answer import Answer
from edgecompress.measure.inputs import Inputs
from edgecompress.measure.race import race
from edgecompress.measure.statistics import cost_ms, costs_of_round, turn_ratio
from edgecompress.measure.turns import Lane, Session
from edgecompress.spec.protocol import MeasurementProtocol

ROUNDS = 3


@pytest.fixture
def lanes(agent: Agent, protocol: MeasurementProtocol, tmp_path: Path) -> dict[str, Lane]:
    """A small file and one of 10,000 times the work, which no load of the machine turns round."""
    inputs = Inputs(((np.zeros((1, 512), np.float32),),), "evaluation")
    session = Session(agent, protocol, 1, inputs)
    found = {}
    for name, classes in (("small", 2), ("large", 20_000)):
        onnx_files.linear(tmp_path / f"{name}.onnx", features=512, classes=classes)
        found[name] = Lane(session, onnx_files.loaded(tmp_path / f"{name}.onnx"))
    return found


def test_the_slow_one_leaves_and_the_broken_one_holds_nobody_up(
    lanes: dict[str, Lane], tmp_path: Path
) -> None:
    onnx_files.linear(tmp_path / "broken.onnx", features=512, classes=2)
    file = onnx_files.loaded(tmp_path / "broken.onnx")
    lanes = {"broken": Lane(lanes["small"].session, file), **lanes}
    session = lanes["small"].session
    told: list[tuple[int, Sequence[str]]] = []
    measuring = session.agent.measuring  # type: ignore[attr-defined]

    def sent(*arguments: object) -> dict[str, object]:
        asked: dict[str, object] = measuring(*arguments)
        # What was sent is not what arrives.
        return {**asked, "threads": 0} if arguments[0] is file else asked

    session.agent.measuring = sent  # type: ignore[attr-defined]
    ran = race([lanes], ROUNDS, lambda *step: told.append(step))
    assert told[0] == (1, ["broken", "small", "large"])
    assert ran["broken"].failure is not None
    assert "threads must be an integer of at least 1" in ran["broken"].failure
    assert ran["broken"].costs_ms == []
    assert ran["large"].failure is ran["small"].failure is None
    assert ran["large"].latency_ms > 2 * ran["small"].latency_ms
    assert all("broken" not in names for _, names in told[1:])


def test_who_was_killed_is_tried_once_more(
    lanes: dict[str, Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = lanes["small"].session
    real, calls = Agent.together, 0

    def together(*arguments: object) -> tuple[Answer, ...]:
        nonlocal calls
        calls += 1
        if calls > 1:
            return real(*arguments)  # type: ignore[arg-type]
        fault = {"kind": "killed", "message": "it ended without an answer (signal 9)"}
        answer = Answer.model_validate({"schema_version": 1, "ok": False, "error": fault})
        return (answer, answer)

    monkeypatch.setattr(Agent, "together", together)
    ran = race([lanes], 1, lambda *_: None)
    assert ran["small"].failure is ran["large"].failure is None
    assert any("tried once more" in line for line in session.agent.retried)


@given(st.data())
def test_costs_of_a_round_keep_the_ratios_of_its_bursts(data: st.DataObject) -> None:
    """Whatever the machine did in each burst."""
    count = data.draw(st.integers(1, 9))
    times = st.lists(st.floats(0.01, 100), min_size=count, max_size=count)
    moments = np.array(data.draw(times))
    levels = data.draw(st.lists(st.floats(0.1, 50), min_size=2, max_size=5))
    turns = {
        str(at): make_turn([1.0] * 5, bursts_ms=tuple(level * moments))
        for at, level in enumerate(levels)
    }
    costs = costs_of_round(turns)
    for at, level in enumerate(levels):
        assert costs[str(at)] / costs["0"] == pytest.approx(level / levels[0])
        assert turn_ratio(turns[str(at)], turns["0"]) == pytest.approx(level / levels[0])
    assert min(costs.values()) >= 0.999 * min(levels) * moments.min()


def test_costs_of_turns_alone_are_their_medians() -> None:
    turns = {"a": make_turn([1.0, 2.0, 9.0]), "b": make_turn([3.0], bursts_ms=(3.0,))}
    assert costs_of_round(turns) == {name: cost_ms(turn) for name, turn in turns.items()}
