"""The lines of a trtexec log: its banners, its levels, and what it says went wrong."""

import re

from edgecompress.vendor.text import integer, matches

BANNER = re.compile(
    r"&&&& (?P<state>RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec "
    r"(?:\[TensorRT v(?P<version>[0-9]{4,6})\] )?(?:\[b(?P<build>[0-9]+)\] )?# (?P<command>.+)"
)
"""TensorRT 7 leaves its version out."""
LINE = re.compile(
    r"(?:\[(?=[^\]]*[0-9])[^\]]*\] )?(?:\[TRT\] )?\[(?P<level>[VIWEF])\] ?(?:\[TRT\] )?(?P<text>.*)"
)
REASONS = tuple(
    re.compile(pattern)
    for pattern in (
        r".*Error Code [0-9]+: .+",
        r"Error\[[0-9]+\]: .+",
        r"\[[0-9]+\] .+",
        r"(?!(?:ERROR: )?\S+\.(?:cpp|hpp|h|cu):[0-9]|Failed to parse|Parsing model failed).+",
        r".+",
    )
)
"""What an error is best named by: first what the library says went wrong, and not the file and line
of the parser that met it, last the step of trtexec that failed therefore."""
INVALID_NODE = re.compile(r"\[[0-9]+\] Invalid Node - [^:]+")
"""What is wrong with it stands in the next line."""
BANNERS = re.compile(r"^&&&& \w+ TensorRT")
ERROR = "ERROR: "
"""Before TensorRT 8 the parser prints its own lines."""


def version(text: str | None) -> str | None:
    """v8502 is 8.5.2, v100300 is 10.3.0."""
    digits = integer(text)
    if digits is None:
        return None
    if digits < 10000:
        return f"{digits // 1000}.{digits // 100 % 10}.{digits % 100}"
    return f"{digits // 10000}.{digits // 100 % 100}.{digits % 100}"


def reason(raw: list[str]) -> str | None:
    """The errors, and the lines below each that have no prefix: they belong to it."""
    told: list[str] = []
    in_error = False
    for line in raw:
        prefixed = LINE.fullmatch(line)
        if prefixed is not None:
            in_error = prefixed["level"] in "EF"
        elif line.startswith(ERROR):
            in_error = True
        elif line.startswith("&&&&"):
            in_error = False
        if in_error:
            words = (line if prefixed is None else prefixed["text"]).strip()
            if prefixed is None and told and INVALID_NODE.fullmatch(told[-1]):
                told[-1] += f": {words}"
            else:
                told.append(words)
    found = (matches(pattern, told) for pattern in REASONS)
    return next((lines[0].group() for lines in found if lines), None)
