"""Whether other code still writes the same files: records what is deployed, compares two records.

    python benchmarks/same_files.py record before [--data DIR] [--models DIR] [--only 'demo/*']
    PYTHONPATH=OTHER_CHECKOUT python benchmarks/same_files.py record after
    python benchmarks/same_files.py compare before after

A record is a folder CASE/TARGET of the exported files (baseline and model) and facts.json: the
report without what differs from run to run. It takes about 20 minutes of one core; a case that is
there already is not made again. What is deployed is in same_files_cases.py: the demo, networks of
zoo_catalogue.py, those of the other benchmarks (--data and --models as formats.py and schemes.py
want them) and every construct of the tests. edgecompress is used by its command line only, so any
two versions of it can be compared; both need the same packages and the same machine.

`compare` exits with 1 when something differs that is not the origin that a file states (digests of
the recipe and the task, versions).
"""

import argparse
import fnmatch
import importlib
import json
import multiprocessing
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from same_files_cases import ROOT, WARM_UP, Case, cases
from same_files_contents import Found, Kind, compare

FACTS, VERSIONS = "facts.json", "versions.json"
DIFFERS_ANYWAY = (
    "run", "created", "task", "recipe_digest", "artifacts", "stages", "versions", "comparison",
)  # fmt: skip
"""Keys of a report that say when and where; nothing is measured here."""
STORED = re.compile(r"runs/store/[0-9a-f/]+")
"""How an error names a file: its digest is of the recipe's too."""
TOKEN = re.compile(r"_token_\d+")
"""How ONNX Runtime tells nodes of its own apart; which one gets it differs from run to run."""
FORK = multiprocessing.get_context("fork")
TOLD = 300
"""Characters of a case's stderr that are shown where it ends without an answer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("folder", type=Path)
    record.add_argument("--data", type=Path)
    record.add_argument("--models", type=Path)
    record.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="in this order")
    compared = commands.add_parser("compare")
    compared.add_argument("before", type=Path)
    compared.add_argument("after", type=Path)
    compared.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN")
    arguments = parser.parse_args()
    if arguments.command == "record":
        record_all(arguments)
    else:
        sys.exit(compare_all(arguments.before, arguments.after, arguments.only))


def record_all(arguments: argparse.Namespace) -> None:
    """Each case in a process of its own, as the command line would be."""
    # Threads add in any order.
    os.environ.update(OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
    there = list(cases(arguments.data, arguments.models))
    wanted = {
        case.name: case
        for pattern in arguments.only
        for case in there
        if fnmatch.fnmatch(case.name, pattern) and not (arguments.folder / case.name).exists()
    }
    warm_up()
    for case in wanted.values():
        start = _cpu_seconds()
        said = record_case(case, arguments.folder)
        print(f"{case.name:32} {_cpu_seconds() - start:6.1f} s  {said}", flush=True)


def warm_up() -> None:
    """Deploy a small net here: what is then imported, parsed and built need not be in each case,
    which saves ten seconds of it.
    """
    import edgecompress

    print(f"code: {Path(edgecompress.__file__).parent}", flush=True)
    sys.path.append(str(ROOT / "tests"))
    # It declares operators, which must be there when their translations are parsed.
    importlib.import_module("torchao.quantization.pt2e.quantize_pt2e")
    importlib.import_module("torchlib").parse_once()
    here = Path.cwd()
    kept = [os.dup(number) for number in (1, 2)]
    with TemporaryDirectory(prefix="same-files-") as name:
        with suppress(SystemExit):
            deploy(written(WARM_UP, Path(name)), WARM_UP.targets)
        sys.stdout.flush()
        os.chdir(here)
    for number, descriptor in zip((1, 2), kept, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def record_case(case: Case, records: Path) -> str:
    """What came of it, in words."""
    records.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", dir=records) as name:
        folder = written(case, Path(name).resolve())
        process = FORK.Process(target=deploy, args=(folder, case.targets))
        process.start()
        process.join()
        try:
            document = json.loads((folder / "stdout").read_text())
        except ValueError:
            said = (folder / "stderr").read_text(errors="replace").strip()
            return f"no answer (exit {process.exitcode}): {said[-TOLD:]}"
        if "error" in document:
            return f"refused as a whole: {document['error']['message'][:TOLD]}"
        made = folder / "record"
        failed = [keep(outcome, made / target, folder) for target, outcome in outcomes(document)]
        (records / case.name).parent.mkdir(parents=True, exist_ok=True)
        made.rename(records / case.name)
    return f"{failed.count(None)} of {len(failed)} targets" + "".join(
        f"; {text[:TOLD]}" for text in failed if text is not None
    )


def written(case: Case, folder: Path) -> Path:
    (folder / "deploy.yaml").write_text(case.text)
    (folder / "none.yaml").write_text("devices: []\n")
    return folder


def deploy(folder: Path, targets: tuple[str, ...]) -> None:
    """`edgecompress deploy` in a folder; the whole of a process."""
    from edgecompress.cli import main as command_line

    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["edgecompress", "deploy", *targets, "--inventory", "none.yaml", "--json"]
    command_line()


def outcomes(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a deploy of several targets gave: each with its report, or its error."""
    for report in document["reports"]:
        yield report["target"], report
    for failure in document["failed"]:
        yield failure["target"], failure


def keep(outcome: dict[str, Any], record: Path, folder: Path) -> str | None:
    """Copy what is compared; the message of an error."""
    record.mkdir(parents=True)
    for artifact in outcome.get("artifacts", ()):
        shutil.copy(folder / artifact["path"], record)
    facts = {key: value for key, value in outcome.items() if key not in DIFFERS_ANYWAY}
    if "verdict" in facts:
        facts["verdict"] = in_short(facts["verdict"])
    text = json.dumps(facts, indent=1)
    for place in (f"{ROOT}/", f"{folder}/"):
        text = text.replace(place, "")
    text = TOKEN.sub("", STORED.sub("runs/store/FILE", text))
    (record / FACTS).write_text(text + "\n")
    (record / VERSIONS).write_text(json.dumps(outcome.get("versions", {}), indent=1) + "\n")
    return str(outcome["error"]["message"]) if "error" in outcome else None


def in_short(verdict: dict[str, Any]) -> dict[str, Any]:
    """Without its sentences: how it tells what the other facts say may be worded anew."""
    statuses = [reason.split(":")[0] for reason in verdict["reasons"]]
    return {"decision": verdict["decision"], "statuses": statuses}


def compare_all(before: Path, after: Path, patterns: list[str]) -> int:
    """Print what is not the same, then how many are; the exit code."""
    counts: Counter[Kind] = Counter()
    for name in names(before, after):
        if any(fnmatch.fnmatch(name, f"{pattern}*") for pattern in patterns):
            found = compare(before / name, after / name)
            if Path(name).name == VERSIONS:
                tell_versions(name, found)
                continue
            counts[found.kind] += 1
            if found.kind is not Kind.SAME:
                print(f"{name}: {found.kind.value}: {'; '.join(found.what)}".rstrip(": "))
    print(f"{sum(counts.values())} files")
    for kind in Kind:
        if counts[kind]:
            print(f"  {counts[kind]:5} {kind.value}")
    return 0 if counts and all(kind.is_harmless for kind in counts) else 1


def names(before: Path, after: Path) -> list[str]:
    """The files of both, those of one case together. A case that was not recorded again is not
    lost: the record may be of a part.
    """
    there = {path.relative_to(after).parts[:2] for path in after.glob("[!.]*/*")}
    files = [
        path.relative_to(folder)
        for folder in (before, after)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    return sorted({str(path) for path in files if path.parts[:2] in there})


def tell_versions(name: str, found: Found) -> None:
    """Another package may write another file; another version of edgecompress should not."""
    if found.kind is Kind.DIFFERS:
        print(f"{name}: {'; '.join(found.what)}")


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
