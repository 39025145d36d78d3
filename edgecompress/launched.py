"""Whether a launcher started this command in several processes, and which of them this is.

`accelerate launch` and `torchrun` say so by the environment. On a machine without GPUs
`accelerate launch --num_processes N` starts one process whatever N is, and leaves it to that one to
start the others, so `Launched.start_others` does.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Every command imports this module, and nearly none starts a process with it.
    import subprocess

_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torch.distributed asks of the environment."""
_STARTED_BY = "EDGECOMPRESS_STARTED_BY"
_PR_SET_PDEATHSIG = 1
_ENDING_S = 20.0


@dataclass
class Launched:
    """A process among those of one command."""

    rank: int
    """0: the main process, which does all but train; the others only train."""
    size: int
    others: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    """Those that this process started itself."""

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def start_others(self, arguments: Sequence[str]) -> None:
        """Start the other processes where the launcher started this one alone.

        Args:
            arguments: of this command.

        """
        import subprocess

        if "RANK" in os.environ:
            return
        shared = {
            "WORLD_SIZE": str(self.size),
            "LOCAL_WORLD_SIZE": str(self.size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
        }
        for rank in range(1, self.size):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), _STARTED_BY: str(os.getpid())}
            command = [sys.executable, "-m", "edgecompress", *arguments]
            self.others.append(
                subprocess.Popen(
                    command, env={**os.environ, **shared, **own}, stdin=subprocess.DEVNULL
                )
            )
        os.environ.update({**shared, "RANK": "0", "LOCAL_RANK": "0"})

    def end_others(self) -> None:
        """Wait for those that this process started; one that does not end is ended."""
        import subprocess

        for other in self.others:
            try:
                other.wait(_ENDING_S)
            except subprocess.TimeoutExpired:
                other.kill()
                other.wait()


def launched(environment: Mapping[str, str]) -> Launched | None:
    """None: this command runs in one process."""
    if all(environment.get(name) for name in _NAMES):
        numbers = environment["RANK"], environment["WORLD_SIZE"]
        # Words of these names may come from something else than a launcher.
        if not all(number.isdecimal() for number in numbers):
            return None
        rank, count = map(int, numbers)
        return Launched(rank, count) if rank < count and count > 1 else None
    # What accelerate sets where it starts one process for several.
    if "RANK" in environment or not {"MASTER_ADDR", "ACCELERATE_USE_CPU"} <= environment.keys():
        return None
    size = _asked_of_accelerate()
    return Launched(0, size) if size > 1 else None


def end_with_the_main_process() -> None:
    """Let this process end when the one that started it does, however that ends (Linux)."""
    started_by = os.environ.get(_STARTED_BY)
    if started_by is None or sys.platform != "linux":
        return
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(started_by):
        sys.exit(1)


def _asked_of_accelerate() -> int:
    """`--num_processes` of the `accelerate launch` that started this process, which does not hand
    it on; 1 where that cannot be found out.
    """
    try:
        import psutil
        from accelerate.commands.launch import launch_command_parser
    except ImportError:
        return 1
    with contextlib.suppress(psutil.Error, ValueError):
        words = psutil.Process(os.getppid()).cmdline()
        if "launch" in words:
            after = words[words.index("launch") + 1 :]
        else:
            after = words[next(i for i, word in enumerate(words) if "launch" in word) + 1 :]
        with contextlib.suppress(SystemExit):
            asked, _ = launch_command_parser().parse_known_args(after)
            return _number(asked.num_processes, asked.config_file)
    return 1


def _number(asked: int | None, config_file: str | None) -> int:
    """What was asked for on the command line, or else in accelerate's file of settings."""
    if asked is not None:
        return asked
    from accelerate.commands.config import load_config_from_file

    with contextlib.suppress(OSError, ValueError):
        return int(load_config_from_file(config_file).num_processes)
    return 1


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
