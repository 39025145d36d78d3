"""What the agent says: read, checked, and turned into errors."""

import signal
from collections.abc import Callable
from typing import Literal

from pydantic import JsonValue

from edgecompress.errors import AgentError, ArtifactError, DeviceError, RuntimeMissing, SpecError
from edgecompress.spec.base import S, Spec, parse
from edgecompress.spec.untrusted import NotJson, read_json
from edgecompress.transport import Completed
from edgecompress.transport.base import STDOUT_BYTES

_SHELL = 128
LAST_BYTES = 1000
"""The end of stderr in which its last line is looked for."""


class AgentFault(Spec):
    kind: Literal["missing", "input", "runtime", "killed"]
    message: str


class Answer(Spec):
    schema_version: Literal[1]
    ok: bool
    result: JsonValue = None
    error: AgentFault | None = None


class Usable(Spec):
    """A runtime that has what was asked of it."""


class Inferred(Spec):
    samples: int
    model_sha256: str


class Optimised(Spec):
    runtime: str
    machine: str


class Together(Spec):
    """The answers on files that ran side by side."""

    answers: tuple[Answer, ...]
    """In their order."""


def run_again_if_killed(run: Callable[[], Completed], where: str, retried: list[str]) -> Completed:
    """What a program on the device did; once more in a fresh process where a signal ended it.

    Native runtimes were seen to die once in dozens of runs of the same file. Deadlines, and errors
    that a program reports itself, are not tried again.

    Args:
        run: starts the program and waits for it.
        where: the device and the command.
        retried: given a line for the report.

    """
    completed = run()
    name = _signal_of(completed)
    if name is None:
        return completed
    retried.append(f"{where}: the program on the device died of {name}, and was tried once more")
    return run()


def _signal_of(completed: Completed) -> str | None:
    """Name of the signal that ended it; a shell between says 128 and more."""
    code = completed.returncode
    number = -code if code < 0 else code - _SHELL
    known = {number.value: number.name for number in signal.Signals}
    if code < 0:
        return known.get(number, f"signal {number}")
    return known.get(number)


def answer_of(completed: Completed, where: str) -> Answer:
    last_words = completed.stderr[-LAST_BYTES:].decode(errors="replace").strip().splitlines()[-1:]
    said = f"; it last said: {last_words[0]}" if last_words else ""
    name = _signal_of(completed)
    if name is not None:
        why = " (out of memory?)" if name == "SIGKILL" else ""
        raise AgentError(f"{where}: died of {name}{why}{said}")
    try:
        document = read_json(completed.stdout, STDOUT_BYTES)
    except NotJson as error:
        raise AgentError(
            f"{where}: no answer in JSON: {error} (exit code {completed.returncode}){said}"
        ) from None
    return checked(Answer, document, where)


def result_of(answer: Answer, spec: type[S], where: str, model: str | None) -> S:
    """What was answered to one command, which asked about `model`.

    Raises what `error_of` gives, and AgentError.
    """
    answer = _consistent(answer, where)
    if answer.error is not None:
        raise error_of(answer.error, where, model)
    return checked(spec, answer.result, where)


def killed(answer: Answer) -> bool:
    """Whether a signal ended the program, as `run_again_if_killed` sees it of a lone one."""
    return answer.error is not None and answer.error.kind == "killed"


def _consistent(answer: Answer, where: str) -> Answer:
    if answer.ok == (answer.error is not None):
        raise AgentError(f"{where}: the answer's ok and error contradict each other")
    return answer


def error_of(fault: AgentFault, where: str, model: str | None) -> DeviceError | ArtifactError:
    if fault.kind == "missing":
        return RuntimeMissing(f"{where}: {fault.message}")
    if fault.kind == "input" and model is not None:
        return ArtifactError(f"{model}: {fault.message}")
    return AgentError(f"{where}: {fault.message}")


def checked(spec: type[S], data: object, where: str) -> S:
    try:
        return parse(spec, data, where)
    except SpecError as error:
        raise AgentError(f"{error}; is the agent on the device another version?") from None
