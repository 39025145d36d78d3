"""Builds engines with trtexec, where Python has no TensorRT.

What it prints is read by the patterns of its own lines; only its banner's PASSED is a success.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence

from .builders import Builder, Flags, Job, memory_notes, type_notes
from .failure import Failure
from .files import whole

BANNER = re.compile(
    r"^&&&& (RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec \[TensorRT v(\d+)\]", re.MULTILINE
)
LEVEL = re.compile(r"^(?:\[[^\]]*\] )?(?:\[TRT\] )?\[(?P<level>[VIWEF])\] (?:\[TRT\] )?")
REASONS = (
    r".*Error Code \d+: .+",
    r"Error\[\d+\]: .+",
    r"\[\d+\] .+",
    r"(?!(?:ERROR: )?\S+\.(?:cpp|hpp|h|cu):\d|Failed to parse|Parsing model failed).+",
    r".+",
)
"""What an error is best named by: first what the library says went wrong, and not the file and line
of the parser that met it, last the step of trtexec that failed therefore."""
NOT_PARSED = "Failed to parse onnx file"
MIB = 1 << 20
NO_PYTHON = "this Python has no tensorrt: the engine was built with trtexec and cannot be run here"


class TrtexecLog(NamedTuple):
    """A trtexec log."""

    version: str | None
    """Such as '10.3.0'; None without a banner."""
    passed: bool
    errors: Sequence[str]
    """Each with the lines below it that have no prefix, which belong to it."""
    warnings: Sequence[str]

    @property
    def reason(self) -> str | None:
        lines = [line.strip() for error in self.errors for line in error.splitlines()]
        found = (line for pattern in REASONS for line in lines if re.fullmatch(pattern, line))
        return next(found, None)


def read_log(text: str) -> TrtexecLog:
    banners = BANNER.findall(text)
    told: list[tuple[str, str]] = []
    for line in text.splitlines():
        prefix = LEVEL.match(line)
        if prefix is not None:
            told.append((prefix["level"], line[prefix.end() :]))
        elif line.startswith("ERROR: "):
            # Before TensorRT 8 the parser prints its own lines.
            told.append(("E", line))
        elif told and not line.startswith("&&&&"):
            level, said = told.pop()
            told.append((level, f"{said}\n{line}"))
    return TrtexecLog(
        version=_version(int(banners[-1][1])) if banners else None,
        passed=bool(banners) and banners[-1][0] == "PASSED",
        errors=[said for level, said in told if level in "EF"],
        warnings=[said for level, said in told if level == "W"],
    )


def _version(number: int) -> str:
    """v8502 is 8.5.2, v100300 is 10.3.0."""
    major, minor, patch = (
        (number // 1000, number // 100 % 10, number % 100)
        if number < 10000
        else (number // 10000, number // 100 % 100, number % 100)
    )
    return f"{major}.{minor}.{patch}"


def arguments(job: Job, version: str, engine: str, timing_cache: str) -> list[str]:
    """The options that build that engine; each release has its own words.

    Source: `trtexec --help` of 8.x and 10.x; 11 has no --fp16, --int8 and no --stronglyTyped to
    ask for, because it always is.
    """
    major = _major(version)
    size = max(1, job.flags.workspace_bytes // MIB)
    options = [f"--onnx={job.model}", f"--saveEngine={engine}", f"--timingCacheFile={timing_cache}"]
    # Costs nothing at run time, and lets `optimise` tell every layer's type.
    options.append("--profilingVerbosity=detailed")
    if major < 10:
        options += [f"--workspace={size}", "--buildOnly"]
    else:
        options += [f"--memPoolSize=workspace:{size}", "--skipInference"]
    if not _is_typed(job.flags, major):
        options += _precisions(job.flags, job.quantized)
    elif major == 10:
        options.append("--stronglyTyped")
    if job.flags.sparse_weights:
        options.append("--sparsity=enable")
    if job.shapes:
        shapes = (f"{name}:{'x'.join(map(str, shape))}" for name, shape in job.shapes.items())
        options.append("--shapes=" + ",".join(shapes))
    return options


def _precisions(flags: Flags, quantized: bool) -> list[str]:
    """--int8 for Q/DQ files only: elsewhere trtexec would make up the scales."""
    return ["--int8"] * quantized + ["--fp16"] * flags.fp16


class TrtexecBuilder(Builder):
    how = "trtexec"

    def __init__(self, program: str) -> None:
        """Raises Failure when it does not say which TensorRT it is."""
        self.program = program
        text = self._run(["--help"]).stdout
        version = read_log(text).version
        if version is None:
            raise Failure("runtime", f"{program} --help prints no '&&&& .. [TensorRT v..]' line")
        self.version = version

    def build(self, job: Job) -> list[str]:
        with whole(job.engine) as engine, _kept(job.timing_cache) as timings:
            done = self._run(arguments(job, self.version, engine, timings))
            log = read_log(done.stdout)
            if done.returncode or not log.passed or not _is_filled(engine):
                raise self._failure(job.model, done, log)
        typed = _is_typed(job.flags, _major(self.version))
        return [
            NO_PYTHON,
            *type_notes(job.flags, typed, self.version),
            *memory_notes(log.warnings),
        ]

    def _run(self, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.program, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise Failure(
                "runtime", f"{self.program} cannot be started: {error.strerror}"
            ) from None

    def _failure(
        self, model: str, done: subprocess.CompletedProcess[str], log: TrtexecLog
    ) -> Failure:
        kind = "input" if NOT_PARSED in done.stdout else "runtime"
        if log.reason is not None:
            why = log.reason
        elif not log.passed:
            why = f"it ended without '&&&& PASSED' (exit code {done.returncode})"
        else:
            why = f"it wrote no engine (exit code {done.returncode})"
        return Failure(kind, f"{model}: trtexec of TensorRT {self.version}: {why}")


def _is_typed(flags: Flags, major: int) -> bool:
    return major > 10 or (major == 10 and flags.strongly_typed)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _is_filled(file: str) -> bool:
    return Path(file).is_file() and Path(file).stat().st_size > 0


@contextmanager
def _kept(timing_cache: str) -> Iterator[str]:
    """A copy for trtexec to read and write; becomes the cache when the block ends without error."""
    part = Path(f"{timing_cache}.{os.getpid()}.part")
    try:
        if Path(timing_cache).is_file():
            shutil.copyfile(timing_cache, part)
        yield str(part)
        if part.is_file():
            part.replace(timing_cache)
    finally:
        if part.exists():
            part.unlink()
