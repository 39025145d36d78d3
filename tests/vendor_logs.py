"""The logs of tests/vendor/logs, what each of them says, and who reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from edgecompress.spec.base import Spec
from edgecompress.vendor.benchmark_model import parse_benchmark_model
from edgecompress.vendor.dumpsys import parse_thermalservice

FOLDER = Path(__file__).parent / "vendor"
PARSERS: dict[str, Callable[[str], Spec | None]] = {
    "benchmark_model": parse_benchmark_model,
    "thermalservice": parse_thermalservice,
}


class Log(NamedTuple):
    name: str
    content: bytes
    parser: str
    expected: dict[str, JsonValue]
    """Without what is None or empty; of a long list, its length and some of its items."""

    def read(self) -> Spec | None:
        return parse(self.parser, self.content)


def parse(parser: str, content: bytes) -> Spec | None:
    return PARSERS[parser](content.decode("utf-8", "replace"))


def load(name: str) -> Log:
    document = json.loads((FOLDER / "expected" / f"{name}.json").read_text())
    content = (FOLDER / "logs" / name).read_bytes()
    return Log(name, content, document["parser"], document["expected"])


NAMES = sorted(path.name for path in (FOLDER / "logs").iterdir() if path.name != "SOURCES.txt")
