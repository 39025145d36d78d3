"""The command line: parses and calls, nothing else."""

import logging
import os
import sys
import warnings

from edgecompress.cli.app import app
from edgecompress.cli.failure import INTERRUPTED, debugging, failure_of, tell
from edgecompress.errors import EXIT_INTERRUPTED, EXIT_SHIP
from edgecompress.interrupts import hear_lost_interrupts
from edgecompress.launched import launched


def main() -> None:
    """Run the command that `sys.argv` names, and exit with its code."""
    # Read by OpenMP when torch loads. Threads that spin while they wait for one that has lost its
    # core make training several times slower on a machine that is also doing something else.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    hear_lost_interrupts()
    sys.exit(_in_processes(sys.argv[1:]))


def _in_processes(arguments: list[str]) -> int:
    """Run the command; where a launcher started several processes, in the main one of them."""
    found = launched(os.environ)
    if found is None:
        return _run(arguments)
    if not debugging():
        _quieten_libraries()
    try:
        # Imports torch, which a command in one process may do without.
        from edgecompress.pipeline.processes import take_part

        return take_part(found, lambda: _run(arguments))
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
    tell(failure, "--json" in arguments)
    return failure.exit_code


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    if not debugging():
        _quieten_libraries()
    try:
        code = app(args=arguments or ["--help"], prog_name="edgecompress", standalone_mode=False)
        # Typer turns Ctrl-C into this code before it gets here.
        failure = INTERRUPTED if code == EXIT_INTERRUPTED else None
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
    if failure is None:
        return EXIT_SHIP if code is None else code
    tell(failure, as_json)
    return failure.exit_code


def _quieten_libraries() -> None:
    """Warnings of torch and its exporters are about their own deprecations, on which a user
    cannot act; what edgecompress has to say goes through Progress.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
