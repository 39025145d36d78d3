"""`measurement:` of targets, as they are and as they were before there were several protocols."""

import pytest

from edgecompress.errors import SpecError
from edgecompress.spec.base import parse
from edgecompress.spec.load import load_target
from edgecompress.spec.protocol import PROTOCOLS, Paced, Quick, Standard, Sustained, Throughput
from edgecompress.spec.target import Target, measured_by

TARGET = load_target("local-litert")


def read(measurement: dict[str, object]) -> Target:
    return parse(Target, {**TARGET.model_dump(mode="json"), "measurement": measurement}, "mine")


def test_a_target_without_a_name_is_standard_as_ever() -> None:
    old = {"warmup_iterations": 7, "min_iterations": 30, "min_duration_s": 0.5, "turns": 3}
    found = read(dict(old)).measurement
    assert isinstance(found, Standard)
    assert found.model_dump(include=set(old)) == old


@pytest.mark.parametrize(
    ("measurement", "kind"),
    [
        ({"protocol": "quick"}, Quick),
        ({"protocol": "sustained", "min_duration_s": 300.0}, Sustained),
        ({"protocol": "paced", "interval_ms": 100.0}, Paced),
        ({"protocol": "throughput", "streams": 4, "batch": 8}, Throughput),
    ],
)
def test_each_has_a_section_of_its_own(measurement: dict[str, object], kind: type) -> None:
    found = read(measurement)
    assert isinstance(found.measurement, kind)
    # It travels through a report as it is.
    assert parse(Target, found.model_dump(mode="json"), "again") == found


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        ({"protocol": "slow"}, "measurement.protocol 'slow' is unknown; known: paced, quick,"),
        ({"protocol": "quick", "interval_ms": 3.0}, "unknown key 'measurement.interval_ms'"),
        (
            {"protocol": "paced", "interval_ms": 0.0},
            "measurement.interval_ms: must be greater than 0",
        ),
        ({"protocol": "throughput", "batch": 0}, "measurement.batch: must be greater than 0"),
        (
            {"protocol": "sustained", "min_duration_s": 4000.0},
            "min_duration_s: must be at most 600",
        ),
        ({"protocol": 5}, "measurement.protocol"),
        ([1], "measurement"),
    ],
)
def test_what_is_wrong_is_named(measurement: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(measurement)
    assert message in str(caught.value)


def test_one_run_may_have_another() -> None:
    assert measured_by(TARGET, None) is TARGET
    assert measured_by(TARGET, "standard").measurement == TARGET.measurement
    assert measured_by(TARGET, "paced").measurement == Paced()
    with pytest.raises(SpecError, match="protocol 'slow' is unknown; known: quick, standard"):
        measured_by(TARGET, "slow")


def test_files_are_picked_without_minutes() -> None:
    for name, kind in PROTOCOLS.items():
        choosing = kind.model_validate({}).choosing
        assert choosing.protocol == (name if name in ("quick", "standard") else "standard")
        racing = kind.model_validate({}).racing
        assert racing.turns == 2 * choosing.turns
        assert racing.longest_s <= 1.5


def test_the_agent_is_told_what_it_needs() -> None:
    plain = {"warmup_iterations", "max_warmup_s", "min_iterations", "min_duration_s"}
    assert set(Standard().request()) == plain
    assert set(Paced().request()) == plain | {"interval_ms"}
    assert Throughput(streams=2, batch=4).request()["batch"] == 4
