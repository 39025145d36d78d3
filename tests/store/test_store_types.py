"""Whatever lies in `runs/` in the place of what should: one line, and what can be is mended."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgecompress.cli.app import app
from edgecompress.cli.failure import failure_of
from edgecompress.errors import EXIT_BAD_INPUT, EdgecompressError
from edgecompress.spec.report import Report
from edgecompress.store import Store

Lay = Callable[[Path], None]

LAID: dict[str, Lay] = {
    "nothing": lambda path: None,
    "rubbish": lambda path: path.write_bytes(b"\0rubbish" * 99) and None,
    "a full folder": lambda path: (path / "of").mkdir(parents=True),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
PLACES = (
    "",
    "index.sqlite",
    "index.sqlite-journal",
    "index.sqlite-wal",
    "store",
    "store/{blob:.2}",
    "store/{blob:.2}/{blob}",
    "work",
    "work/stage",
    "quarantine",
    "quarantine/{blob}",
    "tmp",
    "locks",
    "locks/stage",
    "locks/.in-use",
    "sums",
    "sums/{run}",
    "hashes",
    "{run}",
    "{run}/report.json",
    "{run}/report.html",
)


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """Who opens a pipe may wait for ever."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def use(root: Path, make_report: Callable[..., Report]) -> None:
    """What a deploy does with its store."""
    store = Store(root, lambda _: None)
    with store.lock("stage"):
        if store.stage("stage") is None:
            (store.work_dir("stage") / "train.pt").write_bytes(b"epoch")
            store.record_stage("stage", "train", 1.0, {}, {"model": store.put(b"content")})
    store.keep_hashes(b"{}")
    run = store.start_run("synthetic", "0" * 64)
    try:
        store.finish_run(run, make_report(run), "<p></p>")
    finally:
        store.end_run(run)


@pytest.mark.parametrize("laid", LAID)
@pytest.mark.parametrize("place", PLACES)
def test_one_line(
    tmp_path: Path, make_report: Callable[..., Report], place: str, laid: str
) -> None:
    root = tmp_path / "runs"
    use(root, make_report)
    (run,) = Store(root).runs()
    (blob,) = (root / "store").glob("*/*")
    path = root / place.format(run=run.id, blob=blob.name)
    if path.exists():
        path.rename(tmp_path / "whole")
    path.parent.mkdir(exist_ok=True)
    LAID[laid](path)
    cli = CliRunner()
    for command in (
        ["runs", "--runs", str(root)],
        ["report", "latest", "--runs", str(root)],
        *([["report", "latest", "--html", "--runs", str(root)]] if "html" in place else []),
    ):
        error = cli.invoke(app, command).exception
        if error is not None:
            failure = failure_of(error)
            assert failure.exit_code == EXIT_BAD_INPUT, failure.message
    error = use_and_prune(root, make_report)
    if error is not None:
        # It names what has to be moved, after which all is well.
        assert str(path) in str(error)
        path.rename(tmp_path / "moved")
        assert use_and_prune(root, make_report) is None


def use_and_prune(root: Path, make_report: Callable[..., Report]) -> EdgecompressError | None:
    try:
        use(root, make_report)
        Store(root, lambda _: None).prune(keep=0)
    except EdgecompressError as error:
        return error
    return None
