"""`edgecompress doctor`: what is here, what is missing for which target, and what adds it."""

import os
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from edgecompress.devices.imports import try_imports
from edgecompress.devices.training import training_here
from edgecompress.errors import EdgecompressError
from edgecompress.measure.agent import Agent
from edgecompress.runtimes import runtime
from edgecompress.spec.health import UNMEASURED, Health, Problem, TargetHealth
from edgecompress.spec.load import list_targets, load_inventory, load_targets
from edgecompress.spec.measurement import Probe
from edgecompress.spec.target import Target
from edgecompress.transport import LocalTransport

INT8_FEATURES = ("avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""CPU features, as /proc/cpuinfo spells them, that multiply and add int8 in one instruction."""

# Those with compiled parts: installed, they may still fail to load.
NATIVE_MODULES = ("onnx", "onnxruntime", "torch", "torchao")


def examine(folder: Path, target: str | None, *, imports: bool = False) -> Health:
    """Look at this machine, for one target or for all that `folder` (deploy.yaml's) knows.

    Args:
        folder: that of deploy.yaml.
        target: a target's name, or a board's; None: all.
        imports: whether to load what is installed, too: a package's version says nothing about its
            libraries. It takes seconds, torch most of them.

    Raises:
        SpecError: the target is unknown, or its file is not valid.

    """
    targets = list_targets(folder) if target is None else load_targets(target, folder)
    requirements = _requirements()
    broken: list[Problem] = []
    cuda = None
    if imports:
        modules = [*NATIVE_MODULES, *(m for t in targets for m in _native_extras(t))]
        broken, cuda = _broken([m for m in dict.fromkeys(modules) if _installed(_dist(m))])
    probe, agent_problem = _probe()
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as scratch:
        training = training_here(Path(scratch))
    shared = (*_missing(requirements, None), *broken, *agent_problem, *_runs_folder(folder))
    return Health(
        python=".".join(map(str, sys.version_info[:3])),
        machine=probe.machine if probe else None,
        cpu_model=probe.cpu_model if probe else None,
        int8_features=tuple(f for f in INT8_FEATURES if probe and f in probe.cpu_features),
        governor=probe.state.governor if probe and probe.state else None,
        cuda=cuda,
        packages={r.name: _installed(r.name) for r in requirements},
        problems=shared,
        targets=tuple(_target_health(t, folder, requirements, shared, probe) for t in targets),
        training=training,
    )


def _target_health(
    target: Target,
    folder: Path,
    requirements: list[Requirement],
    shared: tuple[Problem, ...],
    probe: Probe | None,
) -> TargetHealth:
    problems = list(shared)
    extra = runtime(target.runtime.name).needs.extra
    if extra is not None:
        problems += _missing(requirements, extra)
    problems += _wrong_version(target)
    return TargetHealth(
        name=target.name,
        board=target.board or target.name,
        problems=tuple(problems),
        notes=tuple(_notes(target, folder, probe)),
    )


def _wrong_version(target: Target) -> list[Problem]:
    """`runtime.version` is what the board needs; this machine only where it is the board."""
    known = runtime(target.runtime.name)
    package = known.needs.packages[0].name
    installed = _installed(package)
    if target.cpu != "native" or installed is None:
        return []
    problem = known.problem(target.runtime, {package: installed}, "pip")
    return [problem] if problem else []


def _notes(target: Target, folder: Path, probe: Probe | None) -> list[str]:
    device = load_inventory(None, folder).for_target(target)
    if device is None:
        return [UNMEASURED]
    if probe is None or device.transport != "local":
        return []
    notes = []
    if target.cpu != "native" and probe.machine != target.cpu.architecture:
        notes.append(f"this machine is {probe.machine}, not {target.cpu.architecture}")
    if not set(INT8_FEATURES) & set(probe.cpu_features):
        notes.append("this CPU has no int8 dot product, so int8 gains less")
    return notes


def _requirements() -> list[Requirement]:
    """What the installed edgecompress requires, extras included; empty when it is not installed."""
    try:
        return [Requirement(line) for line in requires("edgecompress") or ()]
    except PackageNotFoundError:
        return []


def _missing(requirements: list[Requirement], extra: str | None) -> list[Problem]:
    """What the core (None), or one extra, wants and this environment lacks: one line brings it."""
    if not requirements:
        return [Problem(text="edgecompress is not installed here", fix="pip install -e .")]
    lacking = [r for r in requirements if _is_of(r, extra) and not _satisfied(r)]
    if not lacking:
        return []
    fix = f"pip install 'edgecompress[{extra}]'" if extra else "pip install edgecompress"
    return [Problem(text=", ".join(map(_shortage, lacking)), fix=fix)]


def _is_of(requirement: Requirement, extra: str | None) -> bool:
    marker = requirement.marker
    in_core = marker is None or marker.evaluate({"extra": ""})
    if extra is None or marker is None or in_core:
        return extra is None and in_core
    return marker.evaluate({"extra": extra})


def _satisfied(requirement: Requirement) -> bool:
    installed = _installed(requirement.name)
    return installed is not None and requirement.specifier.contains(installed, prereleases=True)


def _shortage(requirement: Requirement) -> str:
    installed = _installed(requirement.name)
    has = "is missing" if installed is None else f"{installed} is not {requirement.specifier}"
    return f"{requirement.name} {has}"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _dist(module: str) -> str:
    return module.replace("_", "-")


def _native_extras(target: Target) -> list[str]:
    needs = runtime(target.runtime.name).needs
    return [needs.packages[0].name.replace("-", "_")] if needs.extra is not None else []


def _broken(modules: list[str]) -> tuple[list[Problem], str | None]:
    """What is installed and cannot be imported; and the GPU that torch sees."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        imported = try_imports(LocalTransport(Path(folder)), sys.executable, modules)
    return [
        Problem(
            text=f"{_dist(module)} cannot be imported: {error}",
            fix=f"pip install --force-reinstall '{_dist(module)}=={_installed(_dist(module))}'",
        )
        for module, error in imported.errors.items()
    ], imported.cuda


def _probe() -> tuple[Probe | None, list[Problem]]:
    """What the agent, run here as on a device, says of this machine."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        try:
            return Agent(LocalTransport(Path(folder)), sys.executable).probe(), []
        except EdgecompressError as error:
            return None, [Problem(text=str(error), fix="report it, with this output")]


def _runs_folder(folder: Path) -> list[Problem]:
    runs = folder / "runs"
    place = runs if runs.exists() else folder
    if os.access(place, os.W_OK | os.X_OK):
        return []
    return [Problem(text=f"{place} cannot be written", fix="make it writable, or work elsewhere")]
