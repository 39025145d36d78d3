"""A command that goes wrong, in a real process: exit codes, and what the user reads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PATCHED = """
import sys
from edgecompress.cli import app, main

app.registered_commands = [c for c in app.registered_commands if c.callback.__name__ != "init"]


@app.command()
def init(as_json: bool = False) -> None:
    from edgecompress.cli.output import output
    with output(as_json) as out:
        {body}


main()
"""


def patched(folder: Path, body: str) -> list[str]:
    script = folder / "patched.py"
    script.write_text(PATCHED.replace("{body}", body))
    return [sys.executable, str(script), "init"]


def run_patched(
    folder: Path, body: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*patched(folder, body), *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_defect_saves_its_traceback_and_asks_to_report_it(tmp_path: Path) -> None:
    done = run_patched(tmp_path, "raise LookupError('two\\nlines')", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    (saved,) = tmp_path.glob("edgecompress-traceback-*.txt")
    assert done.stderr == (
        f"error: a defect of edgecompress, please report it with {saved}: LookupError: two lines\n"
    )
    assert "LookupError: two" in saved.read_text()
    assert "patched.py" in saved.read_text()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    body = "from edgecompress.errors import ModelError; raise ModelError('cannot be traced')"
    done = run_patched(tmp_path, body, EDGECOMPRESS_DEBUG="1")
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("error: cannot be traced\n")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        (
            "import errno; raise OSError(errno.ENOSPC, 'No space left on device', 'runs/x')",
            2,
            "runs/x: No space left on device; free the space or choose another folder",
        ),
        (
            "raise PermissionError(13, 'Permission denied', 'runs')",
            2,
            "runs: Permission denied; free the space or choose another folder",
        ),
        (
            "import no_such_package",
            4,
            "package 'no_such_package' is missing; edgecompress doctor says how to add it",
        ),
        ("raise KeyboardInterrupt", 130, "interrupted; run the same command again to resume"),
        (
            "from edgecompress.errors import AgentError; raise AgentError('pi: no answer')",
            4,
            "pi: no answer",
        ),
    ],
)
def test_exit_codes(tmp_path: Path, body: str, code: int, line: str) -> None:
    done = run_patched(tmp_path, body)
    assert done.stderr == f"error: {line}\n"
    assert done.returncode == code


def test_ctrl_c(tmp_path: Path) -> None:
    body = "print('ready', flush=True); import time; time.sleep(600)"
    with subprocess.Popen(
        patched(tmp_path, body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"  # stdout is kept for results
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        out = process.stdout.read()
    assert rest == "error: interrupted; run the same command again to resume\n"
    assert out == ""
    assert process.returncode == 130


def test_whatever_prints_to_stdout_cannot_spoil_the_document(tmp_path: Path) -> None:
    body = (
        "import os; print('from Python'); os.write(1, b'from C\\n');"
        " os.system('echo from a child'); out.result({'a': 1}, lambda console: None)"
    )
    done = run_patched(tmp_path, body, "--as-json")
    assert json.loads(done.stdout) == {"a": 1}
    assert sorted(done.stderr.splitlines()) == ["from C", "from Python", "from a child"]
