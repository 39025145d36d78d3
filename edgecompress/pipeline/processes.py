"""A command in several processes: one does it, the others train with it and end with its code."""

import os
import signal
import sys
from collections.abc import Callable

from edgecompress.compress.messages import End
from edgecompress.compress.processes import ProcessLost, connect
from edgecompress.compress.worker import serve
from edgecompress.errors import EXIT_INTERRUPTED, EdgecompressError
from edgecompress.launched import Launched, end_with_the_main_process


def take_part(launched: Launched, command: Callable[[], int]) -> int:
    """Do the command in the main process; train in another one.

    Args:
        launched: which process this is.
        command: does it and tells what came of it; raises nothing.

    Returns:
        The code to exit with.

    Raises:
        EdgecompressError: of the main process: it cannot meet the others.

    """
    return _main_process(launched, command) if launched.is_main else _other_process(launched)


def _main_process(launched: Launched, command: Callable[[], int]) -> int:
    launched.start_others(sys.argv[1:])
    try:
        group = connect(launched)
        code = command()
        if group.in_step:
            try:
                group.tell([None, *[End(code)] * (group.size - 1)])
            except ProcessLost:
                # It has trained what there was to train.
                group.in_step = False
        group.leave()
        return code
    finally:
        launched.end_others()


def _other_process(launched: Launched) -> int:
    """Says nothing, for the main process talks; an interrupt comes to that one, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_the_main_process()
    if os.environ.get("EDGECOMPRESS_DEBUG") != "1":
        _fall_silent()
    try:
        group = connect(launched)
        code = serve(group)
    except ProcessLost:
        return EXIT_INTERRUPTED
    except EdgecompressError as error:
        return error.exit_code
    group.leave()
    return code


def _fall_silent() -> None:
    """What the task prints here is printed by the main process as well."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())
    os.close(nothing)
