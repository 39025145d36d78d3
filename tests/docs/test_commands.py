"""Every command line in the README and the docs can be parsed; docs/commands.md has them all."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from edgecompress.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^edgecompress (.+)$", re.MULTILINE)
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


def lines(page: Path) -> list[list[str]]:
    """The words after `edgecompress` of each line in a block, without its comment."""
    blocks = "\n".join(BLOCK.findall(page.read_text())).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in LINE.findall(blocks)]


def commands(group: TyperGroup, before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command's words, and its options."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, {option for one in command.params for option in one.opts}


def root() -> TyperGroup:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def test_there_are_lines_to_check() -> None:
    assert sum(len(lines(page)) for page in PAGES) >= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_can_be_parsed(page: Path) -> None:
    for words in lines(page):
        command, rest = root(), list(words)
        while isinstance(command, TyperGroup):
            command = command.commands[rest.pop(0)]
        # Raises what the command line would say.
        command.make_context(" ".join(words), rest)


def test_the_table_has_every_command_and_no_other_option() -> None:
    rows = [line.split(" | ")[0] for line in COMMANDS.splitlines() if line.startswith("| `")]
    told = [part for row in rows for part in re.findall(r"`(?:edgecompress )?([^`]+)`", row)]
    options = dict(commands(root()))
    named = set()
    for part in told:
        (name,) = [command for command in options if f"{part} ".startswith(f"{command} ")]
        named.add(name)
        assert set(re.findall(r"--[a-z][a-z0-9-]*", part)) <= options[name], part
    assert named == set(options)
