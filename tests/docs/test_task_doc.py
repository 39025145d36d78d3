"""docs/task.md tells of every method that a user may write, and of no other."""

import inspect
import re
from pathlib import Path

from edgecompress import ClassificationTask, Task

DOC = (Path(__file__).parents[2] / "docs" / "task.md").read_text()


def public(task: type[Task]) -> set[str]:
    return {name for name, _ in inspect.getmembers(task) if not name.startswith("_")}


def test_every_method_is_told() -> None:
    told = set(re.findall(r"^\| `(\w+)[`(]", DOC, re.MULTILINE))
    assert told | {"label_smoothing"} == public(ClassificationTask)
    assert "`label_smoothing`" in DOC


def test_arguments_are_told() -> None:
    for name, arguments in re.findall(r"^\| `(\w+)\((.*?)\)`", DOC, re.MULTILINE):
        parameters = list(inspect.signature(getattr(Task, name)).parameters)
        assert [part for part in arguments.split(", ") if part] == parameters[1:]


def test_what_must_be_written() -> None:
    needed = DOC.split("## ClassificationTask")[1].split("## Task")[0]
    told = set(re.findall(r"^\| `(\w+)[`(]", needed, re.MULTILINE))
    assert told == ClassificationTask.__abstractmethods__
