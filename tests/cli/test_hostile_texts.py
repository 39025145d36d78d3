"""A device's words on every way out: tables, progress, errors, JSON, report.html.

They are seen as escaped text, obeyed nowhere, and not lost.
"""

import html
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic
from hostile.printed import assert_plain, printed
from hostile.texts import HOSTILE, SEEN, hostile
from rich.console import Console

from edgecompress.cli import device_tables, run_tables, tables, target_tables
from edgecompress.cli.deployed import Deployed, show_report
from edgecompress.cli.failure import Failure, failure_of, tell
from edgecompress.cli.output import Output
from edgecompress.devices.rows import Checked
from edgecompress.doctor import Health, TargetHealth
from edgecompress.errors import DeviceError
from edgecompress.init import Started
from edgecompress.progress import PlainProgress
from edgecompress.progress_live import LiveProgress
from edgecompress.push import DeviceStatus, History
from edgecompress.push.documents import (
    HistoryEntry,
    Journal,
    Manifest,
    Owner,
    ReleaseState,
    ValidationRecord,
)
from edgecompress.report.html import render_html
from edgecompress.spec.device import Device
from edgecompress.spec.health import Problem, TrainingHealth, missing, ok
from edgecompress.spec.layers import LayerComparison, LayerDifference, UnpairedActivation
from edgecompress.spec.load import list_targets
from edgecompress.spec.report import to_json
from edgecompress.store import RunRow

REPORT = synthetic.make_report("ship").model_copy(update={"pushed": synthetic.pushed()})
COMPARISON = synthetic.comparison()
MANIFEST = Manifest(
    file="model.onnx",
    format="onnx",
    sha256="0",
    size_bytes=1,
    target="t",
    recipe_digest="0",
    inputs=(),
    outputs=(),
)
RECORD = ValidationRecord(
    release="r", sha256="0", device="d", at="now", by="me", edgecompress="1", run="run"
)
STATUS = DeviceStatus(
    device="d",
    current="r",
    previous=None,
    releases=(ReleaseState(id="r", manifest=MANIFEST, whole=True, validated=RECORD),),
    journal=Journal(release="r", before=None, previous=None, state="activating"),
    holder=Owner(nonce="0", user="u", host="h", machine="", pid=1, renewed=0, quiet_s=1),
    in_the_way=("a folder of yours",),
)
HISTORY = History(
    entries=(
        HistoryEntry(
            at="now",
            by="me",
            action="push",
            release="r",
            before="b",
            outcome="success",
            reason="why",
            run="run",
            metric="Accuracy",
            value=0.5,
        ),
    )
)
CHECKED = Checked(
    device="d",
    target="t",
    usable=False,
    rows=(ok("connection", "Linux"), missing("python", "no Python", "install it")),
)
PROBLEM = Problem(text="missing", fix="pip install")
HEALTH = Health(
    python="3",
    machine="m",
    cpu_model="c",
    int8_features=("f",),
    governor="g",
    cuda="c",
    packages={"torch": "2", "onnxruntime": "1"},
    problems=(PROBLEM,),
    targets=(TargetHealth(name="t", board="b", problems=(PROBLEM,), notes=("n",)),),
    training=TrainingHealth(hardware="h", processes=1, accelerate="1"),
)
LAYERS = LayerComparison(
    samples=1,
    layers=(LayerDifference(layer="l", max_steps=1.0, differing=0.5),),
    first_apart="l",
    unpaired=(UnpairedActivation(file="a", layer="m", reason="r"),),
)
RUN = RunRow("id", "t", "d", "now", "now", "ship", "Accuracy", 0.5, 0.5, 2.0, False)
INSPECTION = REPORT.candidate.inspection

Show = Callable[[Console], None]
SHOWN: dict[str, Show] = {
    "status": lambda console: device_tables.status(hostile(STATUS), console),
    "history": lambda console: device_tables.history(hostile(HISTORY), console),
    "pushed": lambda console: device_tables.pushed(hostile([synthetic.pushed()] * 2), console),
    "report": lambda console: show_report(hostile(REPORT), Path("page"), console),
    "checked": lambda console: tables.devices_checked([hostile(CHECKED)], console),
    "measured": lambda console: tables.measured(hostile(COMPARISON), console),
    "inspection": lambda console: tables.inspection(hostile(INSPECTION), console),
    "verdicts": lambda console: tables.verdicts(
        [Deployed("t", hostile(REPORT), Path("page")), Deployed(HOSTILE)], console
    ),
    "layers": lambda console: tables.layers(hostile(LAYERS), True, console),
    "runs": lambda console: run_tables.runs([hostile(RUN)], console),
    "health": lambda console: tables.health(hostile(HEALTH), console),
    "targets": lambda console: target_tables.targets(list(map(hostile, list_targets())), console),
    "target": lambda console: target_tables.target(hostile(list_targets()[0]), console),
    "devices": lambda console: tables.devices(
        [hostile(Device(id="d", target="t", transport="ssh", address="a", tags=("x",)))], console
    ),
    "started": lambda console: tables.started(Started((Path("a"),), "next" + HOSTILE), console),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_commands_print(name: str) -> None:
    printed(SHOWN[name])
    # So wide that nothing is folded.
    assert SEEN in printed(SHOWN[name], width=50_000)


@pytest.mark.parametrize("name", SHOWN)
def test_on_a_terminal_only_our_own_styles_are_obeyed(name: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    Output(stream, as_json=False).result({}, SHOWN[name])
    assert_plain(re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()))
    assert "\x1b]8" not in stream.getvalue()


def test_report_html() -> None:
    page = render_html(hostile(REPORT))
    assert_plain(page)
    assert "<script" not in page
    assert SEEN in html.unescape(page)
    assert page.encode()


@pytest.mark.parametrize(
    "document",
    [STATUS, HISTORY, synthetic.pushed(), CHECKED, COMPARISON],
    ids=lambda spec: type(spec).__name__,
)
def test_json(document: object) -> None:
    stream = io.StringIO()
    data = hostile(document).model_dump(mode="python")  # type: ignore[attr-defined]
    Output(stream, as_json=True).result(data, lambda _: None)
    assert_plain(stream.getvalue())
    assert json.loads(stream.getvalue()) == json.loads(json.dumps(data))
    assert r"\u001b" in stream.getvalue()


def test_a_report_in_json() -> None:
    stream = io.StringIO()
    Output(stream, as_json=True).result(to_json(hostile(REPORT)), lambda _: None)
    assert_plain(stream.getvalue())
    assert json.loads(stream.getvalue())["task"] == REPORT.task + HOSTILE


def test_errors(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECOMPRESS_DEBUG", "1")
    tell(failure_of(DeviceError("board: " + HOSTILE)), as_json=True)
    tell(failure_of(KeyError(HOSTILE)), as_json=False)
    tell(Failure(HOSTILE, HOSTILE, 4), as_json=True)
    out, err = capsys.readouterr()
    assert_plain(out)
    assert_plain(err)
    assert r"error: board: \x1b]0;owned\x07" in err


def test_messages_are_of_a_length_that_can_be_read() -> None:
    assert len(str(DeviceError("x " * 10_000_000))) < 3_000
    assert str(DeviceError("one\ntwo \udc80")) == r"one two \udc80"


@pytest.mark.parametrize("live", [False, True])
def test_progress(live: bool, capsys: pytest.CaptureFixture[str]) -> None:
    progress = LiveProgress() if live else PlainProgress(sys.stderr, every_s=0.0)
    with progress.stage("push" + HOSTILE):
        progress.step(1, 2, HOSTILE)
        progress.note(HOSTILE)
        with progress.lane(HOSTILE) as lane:
            lane(1, 2, HOSTILE)
    text = capsys.readouterr().err
    assert_plain(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text))
    assert r"\x1b]0;owned\x07" in re.sub(r"\s+", "", text)
