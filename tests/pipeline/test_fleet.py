"""Pushes side by side: every device has a result, whatever happens to one, and after Ctrl-C too."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edgecompress import together
from edgecompress.pipeline.fleet import side_by_side
from edgecompress.spec.device import Device
from edgecompress.spec.pushed import Pushed
from edgecompress.together import Interrupted, Stop

RELEASE = "0123456789abcdef"
DEADLINE_S = 60.0


def devices(*names: str) -> list[Device]:
    return [Device(id=name, target="local", transport="local") for name in names]


def done(device: Device) -> Pushed:
    return Pushed(device=device.id, outcome="success", release=RELEASE, active=RELEASE)


def deep(_: object) -> object:
    return deep(_)


def test_what_nobody_meant_is_one_device_s_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def push(device: Device, _: Stop) -> Pushed:
        if device.id == "b":
            deep(0)
        if device.id == "c":
            raise KeyError("no \udc80 text \x1b[31m")
        if device.id == "d":
            raise SystemExit("a library gives up")
        return done(device)

    found = side_by_side(devices("a", "b", "c", "d", "e"), RELEASE, push, pytest.fail)
    assert [one.device for one in found.results] == ["a", "b", "c", "d", "e"]
    assert [one.outcome for one in found.results] == [
        "success",
        "inconsistent",
        "inconsistent",
        "inconsistent",
        "success",
    ]
    assert not found.interrupted
    reason = found.results[1].reasons[0]
    assert "RecursionError" in reason
    assert "edgecompress status b" in reason
    assert r"\udc80 text \x1b[31m" in found.results[2].reasons[0]
    assert "SystemExit: a library gives up" in found.results[3].reasons[0]
    traceback = Path(reason.partition(" with ")[2].partition(":")[0])
    assert "in deep" in traceback.read_text()
    assert "\x1b" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_an_interrupt_ends_what_can_turn_back_and_keeps_what_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "AT_ONCE", 2)
    is_done, said = threading.Event(), []

    def push(device: Device, stop: Stop) -> Pushed:
        if device.id == "quick":
            is_done.set()
            return done(device)
        assert is_done.wait(DEADLINE_S)
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + DEADLINE_S
        try:
            while time.monotonic() < end:
                stop.check()
                time.sleep(0.01)
        except Interrupted as error:
            return Pushed(
                device=device.id,
                outcome="rolled_back",
                release=RELEASE,
                active=None,
                reasons=(str(error),),
            )
        raise AssertionError("the interrupt did not come")

    names = ("quick", "slow", *(f"later{number}" for number in range(200)))

    def one_after_the_other(device: Device, stop: Stop) -> Pushed:
        if device.id.startswith("later"):
            # The interrupt has come, or is about to.
            end = time.monotonic() + DEADLINE_S
            while not stop.has_come and time.monotonic() < end:
                time.sleep(0.01)
            return done(device)
        return push(device, stop)

    found = side_by_side(devices(*names), RELEASE, one_after_the_other, said.append)
    assert found.interrupted
    assert [one.device for one in found.results] == list(names)
    assert found.results[0].outcome == "success"
    assert found.results[1].outcome == "rolled_back"
    assert found.results[1].reasons[0].startswith("interrupted; ")
    assert found.results[-1].reasons == ("interrupted before it was begun",)
    assert said == [
        "interrupted: devices at work turn back at their next step; once more leaves them"
    ]


def test_the_second_interrupt_leaves_who_does_not_turn_back() -> None:
    release = threading.Event()

    def push(device: Device, stop: Stop) -> Pushed:
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + DEADLINE_S
        while not stop.has_come and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(DEADLINE_S)
        return done(device)

    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side(devices("hangs"), RELEASE, push, lambda _: None)
    finally:
        release.set()
