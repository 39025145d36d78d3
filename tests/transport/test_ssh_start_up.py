"""What a login shell's start-up files do to a command, against a real OpenSSH server and bash."""

import shutil
from pathlib import Path

import pytest
from processes import DEADLINE_S
from sshd import needs_sshd, refused, ssh_device

from edgecompress.errors import DeviceError, RuntimeMissing
from edgecompress.transport import connect, ssh_greeting, ssh_process

pytestmark = needs_sshd

NAMED = "a start-up file of the login shell there (such as ~/.bashrc) "
ENDS = "the login shell there ends before it runs what it is given "
FLOOD = "head -c {count} /dev/zero | tr '\\0' x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "board"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those of whom nothing is heard anyway."""
    monkeypatch.setattr(ssh_greeting, "GREETING_S", 1.0)
    monkeypatch.setattr(ssh_greeting, "END_S", 1.0)
    monkeypatch.setattr(ssh_process, "END_S", 0.2)


def start_up(folder: Path, text: str, name: str = ".bashrc", server: str = ""):
    """A device whose login shell reads this file; bash reads ~/.bashrc for SSH's commands."""
    device = ssh_device(folder, server=server)
    file = folder / "home" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
    return device


@pytest.mark.parametrize(
    "text",
    [
        "echo Welcome; echo careful >&2",
        "return",
        "read -t 0.1 word",
        FLOOD.format(count=500_000),
        FLOOD.format(count=5_000_000) + " >&2",
        "set -eux; BASH_XTRACEFD=1",
        "trap 'echo debugging' DEBUG",
        "export PYTHONINSPECT=1 PYTHONVERBOSE=1",
    ],
)
def test_what_does_no_harm(folder, text):
    with connect(start_up(folder, text), folder) as transport:
        content = bytes(range(256)) * 1000
        assert transport.run(["cat"], content, timeout_s=DEADLINE_S).stdout == content


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit", ENDS + "(code 0: it says nothing)"),
        ("echo not today; exit 3", ENDS + "(code 3: not today)"),
        ("exec no-such-shell", "exec: no-such-shell: not found)"),
        ("exec < /dev/null", NAMED + "closes stdin"),
        ("exec <&-", NAMED + "closes stdin"),
        ("exec 5<&0; head -c 9 <&5 >/dev/null &", NAMED + "closes stdin, or leaves a program"),
        ("exec > log 2>&1", NAMED + "sends elsewhere what is printed"),
        (FLOOD.format(count=3_000_000), NAMED + "prints more than 1 MiB"),
    ],
)
def test_what_stands_in_the_way_is_named(folder, text, said):
    message = refused(start_up(folder, text), folder)
    assert said in message
    assert "~/.bashrc" in message
    assert "only for interactive shells" in message
    assert "Python" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("read word", NAMED + "reads stdin, which is ours"),
        ("cat > /dev/null", NAMED + "reads stdin, which is ours"),
        ("exec 5<&0; cat <&5 >/dev/null &", NAMED + "closes stdin, or leaves a program"),
        ("exec dash", ENDS),
        ("exec > log", NAMED + "sends elsewhere what is printed"),
        ("sleep 30", NAMED + "lets none of our commands run within 1 s: it waits"),
    ],
)
def test_what_keeps_silent_is_named_in_time(folder, text, said, hurried):
    message = refused(start_up(folder, text), folder)
    assert said in message
    assert "~/.bashrc" in message
    assert "Python" not in message


def test_what_goes_on_printing_is_named(folder):
    device = start_up(folder, "(while sleep 0.1; do echo still here; done) &")
    named = pytest.raises(DeviceError, match="start-up file of the login shell leave a program")
    with named, connect(device, folder) as transport:
        transport.run(["sleep", "10"], timeout_s=DEADLINE_S)


def test_another_shell_is_not_given_the_helper(folder, hurried):
    (folder / "home").mkdir(parents=True)
    read = folder / "home" / "read"
    refused(start_up(folder, f"exec tee {read}"), folder)
    assert read.read_bytes() == b""


@pytest.mark.parametrize(
    "command",
    [
        "/usr/sbin/nologin",
        "/bin/false",
        "internal-sftp",
        "echo This account is not available; exit 1",
    ],
)
def test_an_account_that_runs_no_commands(folder, command):
    message = refused(ssh_device(folder, server=f"ForceCommand {command}"), folder)
    assert message.startswith(f"board: {ENDS}(code 1: ")
    assert "the account runs no commands (nologin, ForceCommand)" in message


def test_a_restricted_shell(folder):
    server = 'ForceCommand bash -r -c "$SSH_ORIGINAL_COMMAND"'
    message = refused(ssh_device(folder, server=server), folder)
    assert "restricted one (code 1: bash: line 1: exec: restricted)" in message


@pytest.mark.parametrize(
    ("shell", "name", "reads", "exits"),
    [
        ("zsh", ".zshenv", "read word", "exit 3"),
        ("fish", ".config/fish/config.fish", "read word", "exec false"),
        ("tcsh", ".tcshrc", "set word = $<", "exec false"),
        ("ksh", None, None, None),
        ("dash", None, None, None),
    ],
)
def test_other_shells(folder, shell, name, reads, exits, hurried):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    server = f'ForceCommand exec {program} -c "$SSH_ORIGINAL_COMMAND"'
    connect(ssh_device(folder, server=server), folder).close()
    if name is not None:
        assert NAMED + "reads stdin" in refused(start_up(folder, reads, name, server), folder)
        assert ENDS in refused(start_up(folder, exits, name, server), folder)


@pytest.mark.parametrize(
    ("python", "kind", "said"),
    [
        ("#!/bin/sh\necho edgecompress python 3.6", RuntimeMissing, "is too old there; install"),
        (
            "#!/bin/sh\necho no such library >&2; exit 1",
            RuntimeMissing,
            "(code 1: no such library)",
        ),
        (
            "#!/bin/sh\necho edgecompress python 3.9; echo no json >&2; exit 1",
            DeviceError,
            "no json",
        ),
    ],
)
def test_a_python_that_does_not_serve(folder, python, kind, said):
    (folder / "home").mkdir(parents=True)
    program = folder / "home" / "python"
    program.write_text(python + "\n")
    program.chmod(0o755)
    message = refused(ssh_device(folder, python="~/python"), folder, kind)
    assert "'~/python'" in message
    assert said in message
    assert "start-up" not in message


def test_a_python_that_does_not_start(folder, hurried):
    (folder / "home").mkdir(parents=True)
    (folder / "home" / "python").write_text("#!/bin/sh\nexec cat > /dev/null\n")
    (folder / "home" / "python").chmod(0o755)
    message = refused(ssh_device(folder, python="~/python"), folder)
    assert "'~/python' does not start within 1 s; try there: ~/python --version" in message
