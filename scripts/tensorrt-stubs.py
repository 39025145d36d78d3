#!/usr/bin/env python3
"""Check the agent's TensorRT code against TensorRT's real Python API, without a GPU or TensorRT.

    scripts/tensorrt-stubs.py FOLDER            check; FOLDER keeps what was downloaded
    scripts/tensorrt-stubs.py FOLDER --write    and rewrite tests/agent/tensorrt_api/*.json

NVIDIA publishes the extension module of every release as a small wheel. Importing it needs shared
libraries that come with the real thing, and about a dozen functions from them. So this script
compiles libraries of those names whose functions do nothing, imports the module, and asks it what
it has (`tensorrt-api.py` beside this file). From that come

- a run of what in the agent needs no more than the bindings: imports, logger, shapes, flags;
- .pyi files (pybind11-stubgen), against which mypy checks devices/agent: every attribute, keyword
  and type, in each release;
- one JSON file per release with the classes that the agent uses, which is committed, so that
  ordinary tests can check the same calls without a network (tests/agent/test_tensorrt_api.py).

It also compiles the tests' recording of libcudart against the headers of CUDA 11, 12 and 13, whose
prototypes must agree, and looks up what the agent calls in those real libraries.

This is a check of calls, not of results: nothing can be built or run this way. Needs Python 3.11
with mypy and numpy, pip's package index, gcc, nm and readelf. Exit code 1: something does not fit.
"""

import argparse
import ast
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

BINDINGS = {
    "8.6.1": "tensorrt-bindings",
    "10.3.0": "tensorrt-cu12-bindings",
    "10.13.3.9": "tensorrt-cu13-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}
"""From a release to the package that has its bindings; JetPack 6.0, 6.2, 7.1 and later."""
CUDA = {
    "11.8.89": "nvidia-cuda-runtime-cu11",
    "12.9.79": "nvidia-cuda-runtime-cu12",
    "13.5.37": "nvidia-cuda-runtime",
}
STUBGEN = "pybind11-stubgen==3.0.0"
ROOT = Path(__file__).resolve().parent.parent
AGENT = ROOT / "devices" / "agent"
COMMITTED = ROOT / "tests" / "agent" / "tensorrt_api"
CUDART = ROOT / "tests" / "agent" / "recording" / "libcudart.c"
BEFORE_8_5 = "tensorrt_bindings.py"
"""Imported only where an engine has no num_io_tensors; TensorRT 10 has none of its calls."""
CANARY = "import tensorrt as trt\n\ntrt.BuilderFlag.NO_SUCH_FLAG\n"
USE = """
import tensorrt as trt
from agent import builder_python, builders, runner_tensorrt, tensorrt_io, tensorrt_log
log = tensorrt_log.Log()
for severity, text in ((trt.ILogger.Severity.ERROR, "no"), (trt.ILogger.Severity.WARNING, "hm")):
    log.log(severity, text)
assert (log.errors, log.warnings) == (["no"], ["hm"])
assert tensorrt_io.values(trt.Dims([2, -1, 8])) == [2, -1, 8]
assert tensorrt_io.checked("x", True, trt.DataType.HALF, [1, 2]).dtype == "float16"
flags = builders.Flags(True, True, True, 1)
print("network flags", builder_python._creation_flags(builder_python._is_typed(flags)))
"""
"""What of the agent runs on the bindings alone: imports, the logger, shapes, types, flags."""
MYPY_CONFIG = """
[mypy]
strict = true
python_version = 3.10
mypy_path = {stubs}
cache_dir = {cache}
# The other runtimes publish no types, and some of them may not be installed.
ignore_missing_imports = true
# pybind11-stubgen leaves types in C++ here and there; what the agent uses is mended below.
[mypy-tensorrt.*]
ignore_errors = true
ignore_missing_imports = false
"""
EMPTY_MACROS = (
    *("__host__", "__device__", "__global__", "__device_builtin__", "__cudart_builtin__"),
    *("__inline_hint__", "__device_builtin_texture_type__", "__device_builtin_surface_type__"),
    *("CUDARTAPI", "CUDARTAPI_CDECL"),
)
"""What crt/host_defines.h, of another package, makes of them for a plain C compiler."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    faults = [fault for version in BINDINGS for fault in check(folder, version, options.write)]
    faults += [fault for version in CUDA for fault in check_cuda(folder, version)]
    for fault in faults:
        print(f"FAULT {fault}")
    sys.exit(1 if faults else 0)


def check(folder: Path, version: str, write: bool) -> list[str]:
    """What does not fit that release of TensorRT."""
    site = unpack(folder, BINDINGS[version], version)
    package = site / "tensorrt"
    if not package.exists():
        # As the real thing is laid out; the wheel is meant for another package to re-export.
        (site / "tensorrt_bindings").rename(package)
    libraries = empty_libraries(package / "tensorrt.so", site / "lib")
    api = run([sys.executable, ROOT / "scripts" / "tensorrt-api.py"], libraries, site)
    faults = compare(json.loads(api)["version"], api, write)
    used = run([sys.executable, "-c", USE], libraries, site, AGENT.parent)
    print(f"TensorRT {version}: the agent's modules import it: {used.strip()}")
    stubs = site / "stubs"
    tools = install(folder, STUBGEN)
    command = [sys.executable, "-m", "pybind11_stubgen", "tensorrt", "-o", stubs]
    run([*command, "--ignore-all-errors"], libraries, site, tools)
    mend(stubs / "tensorrt" / "tensorrt.pyi", json.loads(api)["classes"])
    files = sorted(AGENT.glob("*.py"))
    if not version.startswith("8."):
        files = [file for file in files if file.name != BEFORE_8_5]
    canary = site / "canary.py"
    canary.write_text(CANARY)
    said = typecheck(folder, stubs, [*files, canary])
    wrong = [line for line in said if not line.startswith(str(canary))]
    print(f"TensorRT {version}: mypy on {len(files)} files: {len(wrong)} faults")
    faults += [f"{version}: {line}" for line in wrong]
    if not any("NO_SUCH_FLAG" in line for line in set(said) - set(wrong)):
        faults.append(f"{version}: mypy does not see a flag that is not there: the check is blind")
    return faults


def compare(version: str, api: str, write: bool) -> list[str]:
    """Against the committed description, which tests use."""
    committed = COMMITTED / f"{version}.json"
    if write:
        committed.write_text(api)
    same = committed.is_file() and committed.read_text() == api
    print(f"TensorRT {version}: {len(json.loads(api)['classes'])} classes, as committed: {same}")
    return [] if same else [f"{committed.name} is not what the bindings say; run with --write"]


def typecheck(folder: Path, stubs: Path, files: list[Path]) -> list[str]:
    """What mypy says. All releases share a cache, which has Python's own stubs and numpy's; of a
    module that is not as it was mypy takes nothing from there, nor of those that import it.
    """
    config = stubs / "mypy.ini"
    config.write_text(MYPY_CONFIG.format(stubs=stubs, cache=folder / "mypy"))
    command = [sys.executable, "-m", "mypy", "--config-file", config, "--no-error-summary"]
    done = subprocess.run(
        [*command, "--follow-imports=silent", *files], capture_output=True, text=True, cwd=ROOT
    )
    return (done.stdout + done.stderr).splitlines()


def mend(file: Path, classes: dict[str, dict[str, dict[str, object]]]) -> None:
    """Make the stub parse, and say what its generator could not: C++ types, buffers."""
    lines = []
    current = ""
    for line in file.read_text().splitlines():
        found = re.match(r"class (\w+)", line)
        current = found.group(1) if found else current
        defined = re.match(r"    def (\w+)\(", line)
        if defined:
            line = re.sub(r": \.\.\.(?=[,)=])", ": typing.Any", line)
            member = classes.get(current, {}).get(defined.group(1), {})
            line = line.replace("-> ...", f"-> {member.get('returns', 'typing.Any')}")
            if not _parses(line):
                line = re.sub(r"\(.*\)( ->|:)", r"(*args: typing.Any, **kw: typing.Any)\1", line)
        lines.append(line)
        if found and "__buffer__" in classes.get(current, {}):
            lines.append("    def __buffer__(self, flags: int, /) -> memoryview: ...")
    ast.parse("\n".join(lines))
    file.write_text("\n".join(lines))


def _parses(line: str) -> bool:
    try:
        ast.parse(line.strip() + (" ..." if line.rstrip().endswith(":") else ""))
    except SyntaxError:
        return False
    return True


def empty_libraries(extension: Path, folder: Path) -> Path:
    """Shared libraries under the names that the extension asks for, whose functions return 0."""
    folder.mkdir(exist_ok=True)
    names = re.findall(r"\[(libnv\S+)\]", tool("readelf", "-d", extension))
    wanted = re.findall(r"^ +U (\w+)$", tool("nm", "-D", "--undefined-only", extension), re.M)
    process = ctypes.CDLL(None)
    source = folder / "empty.c"
    # Python and the C library are there already.
    missing = [name for name in wanted if not hasattr(process, name)]
    lines = [f"void *{name}(void) {{ return 0; }}" for name in missing]
    source.write_text("\n".join(lines) + "\n")
    for name in names:
        tool("gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", "-o", folder / name, source)
    print(f"{extension.parent.parent.name}: {len(lines)} empty functions in {', '.join(names)}")
    return folder


def check_cuda(folder: Path, version: str) -> list[str]:
    """The recording's prototypes against the real header; the agent's calls in the real library."""
    site = unpack(folder, CUDA[version], version)
    shim = folder / "shim" / "crt"
    shim.mkdir(parents=True, exist_ok=True)
    macros = [f"#define {name}" for name in EMPTY_MACROS]
    macros += [f"#define {name}(n)" for name in ("__align__", "__builtin_align__")]
    (shim / "host_defines.h").write_text("\n".join(macros) + "\n")
    (shim / "host_config.h").write_text("")
    include = next(site.rglob("cuda_runtime_api.h")).parent
    gcc = [shutil.which("gcc") or "gcc", "-fsyntax-only", "-DCUDA_HEADER", "-Werror"]
    done = subprocess.run(
        [*gcc, f"-I{shim.parent}", f"-I{include}", CUDART], capture_output=True, text=True
    )
    faults = [f"CUDA {version}: {line}" for line in done.stderr.splitlines() if "error" in line]
    library = ctypes.CDLL(str(next(site.rglob("libcudart.so.*"))))
    sys.path.insert(0, str(ROOT / "devices"))
    from agent.cuda import PROTOTYPES

    missing = [name for name in PROTOTYPES if not hasattr(library, name)]
    faults += [f"CUDA {version}: {name} is not in libcudart" for name in missing]
    same = "as in its header" if not done.returncode else "NOT as in its header"
    print(f"CUDA {version}: {len(PROTOTYPES)} functions, {len(missing)} missing, {same}")
    return faults + ([] if faults or not done.returncode else [f"CUDA {version}: gcc failed"])


def unpack(folder: Path, package: str, version: str) -> Path:
    """That wheel's content, downloaded once."""
    site = folder / f"{package}-{version}"
    if not site.exists():
        wheels = folder / "wheels"
        pip("download", "--only-binary=:all:", "-d", wheels, f"{package}=={version}")
        wheel = next(wheels.glob(f"{package.replace('-', '_')}-{version}-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return site


def install(folder: Path, requirement: str) -> Path:
    target = folder / "tools"
    if not target.exists():
        pip("install", "--target", target, requirement)
    return target


def pip(command: str, *arguments: object) -> None:
    quiet = ["-q", "--no-deps", "--disable-pip-version-check"]
    tool(sys.executable, "-m", "pip", command, *quiet, *arguments)


def run(command: list[object], libraries: Path, *paths: Path) -> str:
    """In a process of its own, because the module cannot be unloaded; `paths`: to import from."""
    found = os.pathsep.join(map(str, paths))
    env = {**os.environ, "PYTHONPATH": found, "LD_LIBRARY_PATH": str(libraries)}
    return tool(*command, env=env)


def tool(*command: object, env: dict[str, str] | None = None) -> str:
    program = shutil.which(str(command[0]))
    if program is None:
        sys.exit(f"tensorrt-stubs.py: {command[0]} is not on PATH")
    done = subprocess.run(
        [program, *map(str, command[1:])], capture_output=True, text=True, env=env
    )
    if done.returncode:
        sys.exit(f"tensorrt-stubs.py: {' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
