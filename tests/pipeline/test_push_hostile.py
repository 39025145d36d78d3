"""A push to devices of which some say what no device would: a result and a row for each."""

import sys
from pathlib import Path

import deploying
import misbehaving
import pytest
from hostile.printed import assert_plain
from pushed_project import Project
from pushing import opened
from sshd import needs_sshd, ssh_device

HELPER = """\
#!{python}
import struct, sys
print("edgecompress python 3.11", flush=True)
sys.stdin.buffer.read(int(sys.stdin.buffer.readline()))
out = sys.stdout.buffer
out.write(b"\\0edgecompress helper 1\\n")
out.flush()
while sys.stdin.buffer.readline():
    body = b"[" * 50000 + b"]" * 50000
    out.write(struct.pack(">cI", b"A", len(body)) + body)
    out.flush()
"""


def helper(folder: Path) -> str:
    """A program that greets as the helper does, and answers every question with brackets."""
    path = folder / "python-helper"
    path.write_text(HELPER.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


@needs_sshd
@pytest.mark.slow
def test_whatever_one_says_the_others_have_their_results(
    finished: Path, tmp_path: Path, cli: deploying.Cli
) -> None:
    project = Project.of(finished, tmp_path / "project", cli)
    bad = {
        case: project.local(case.replace("_", "-"), misbehaving.script(project.folder, case))
        for case in ("deep", "escapes", "endless")
    }
    locks = project.local("locks")
    for name in ("²", "9" * 250, "1e9", "-1"):
        (locks / "locks" / name).mkdir()
    (locks / "journal.json").write_text("[" * 60_000)
    (locks / "history.json").write_text('{"schema_version": ' + "9" * 5_000 + "}")
    board = ssh_device(
        tmp_path / "board", device_id="helper", target="tiny", python=helper(project.folder)
    )
    project.add(board)
    names = ("deep", "helper", "escapes", "endless", "locks")
    done = project.cli.run(
        project.folder, "push", "latest", *names, "--deadline", "60", "--inventory", "all.yaml"
    )
    assert done.returncode == 4, done.stderr
    assert_plain(done.stdout)
    assert_plain(done.stderr)
    *table, counts = done.stdout.splitlines()
    assert counts == "4 rolled back, 1 success"
    for name in names:
        assert [line for line in table if name in line.split()[:1]], name
    reasons = dict(
        line.removeprefix("[push] ").split(": rolled_back: ")
        for line in done.stderr.splitlines()
        if ": rolled_back: " in line
    )
    assert "no answer in JSON: more than 10000 lists and objects" in reasons["deep"]
    assert "the helper there talks nonsense: more than" in reasons["helper"]
    assert r"\x1b]0;owned\x07[red]" in reasons["escapes"]
    assert "more than 8,388,608 bytes come of it" in reasons["endless"]
    assert "defect" not in done.stderr
    new = opened(locks)
    assert new not in {opened(root) for root in bad.values()}
    told = project.document("history", "locks")
    assert told["entries"][-1]["release"] == new
