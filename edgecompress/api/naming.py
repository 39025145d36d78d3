"""What a caller wrote, in errors and in options: arguments, where a task in a file has methods."""

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgecompress.api.quiet import quietly
from edgecompress.errors import EdgecompressError, SpecError
from edgecompress.progress import Progress, SilentProgress, progress_on_stderr

_METHOD = re.compile(r"\bGiven\w*\.(\w+)\(\)")
_CLASS = re.compile(r"\bGiven\w*: ")
_ARGUMENTS = {
    "train_data": "train",
    "calibration_data": "train",
    "eval_data": "evaluate",
    "validation_data": "validate",
    "update": "metric.update()",
}


@contextmanager
def as_arguments() -> Iterator[None]:
    """Raises what is raised inside, naming the arguments that the caller gave; libraries are quiet
    meanwhile.
    """
    try:
        with quietly():
            yield
    except EdgecompressError as error:
        text = renamed(str(error))
        if text == str(error):
            raise
        # Without the one in between, which says the same; what the user's code raised stays.
        raise type(error)(text) from error.__cause__


def renamed(text: str) -> str:
    """'evaluate batch 0: ..' for 'GivenTask.eval_data() batch 0: ..'."""
    text = _METHOD.sub(lambda found: _ARGUMENTS.get(found[1], found[1]), text)
    text = _CLASS.sub("", text).replace("example_inputs()", "example_inputs")
    return text.replace("return model.", "give model.")


def check_options(call: str, given: Mapping[str, object], known: type) -> None:
    """Raises SpecError for an argument that there is none of, with the nearest that there is."""
    names = list(known.__annotations__)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise SpecError(
                f"{call}: unknown argument '{name}'; {hint}known: {', '.join(sorted(names))}"
            )


def told_by(progress: bool | Progress) -> Progress:
    """Who is told: lines on stderr, nobody, or whoever is given."""
    if isinstance(progress, bool):
        return progress_on_stderr() if progress else SilentProgress()
    return progress


def path_of(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)
