"""docs/models.md is what `python benchmarks/zoo.py` writes, and these five rows are as it says."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = list(sys.path)
sys.path.append(str(ROOT / "benchmarks"))
try:
    from zoo_catalogue import CATALOGUE
    from zoo_packages import prepared
    from zoo_page import RUNTIMES, write_page
    from zoo_rows import WAYS, Hop, Row, load, store
    from zoo_run import row
finally:
    sys.path[:] = PATH  # benchmarks/zoo.py there would hide the package of the other tests

PAGE = (ROOT / "docs" / "models.md").read_text()
TABLE = {
    cells[0]: dict(zip(("package", *RUNTIMES), cells[1:], strict=True))
    for cells in (
        line.strip("| ").split(" | ")
        for line in PAGE[PAGE.index("| architecture") :].split("\n\n")[0].splitlines()[2:]
    )
}
CELL = re.compile(
    r"(\d+)%, (-?\d+) dB, ([\d.e+]+) steps, (passes|refused)(, \d+ rules broken)?, \d+ s"
)
AGAIN = (
    ("resnet8", "onnxruntime"),
    ("ds_cnn", "litert"),
    ("deep_autoencoder", "litert"),
    ("lenet5", "tensorrt"),
    ("tc_resnet8", "onnxruntime"),
)
"""One of those that need no package."""
NEAR_DB = 2.0
"""Between machines: float sums, and so ranges, differ a little."""


def test_every_architecture_has_its_line() -> None:
    assert list(TABLE) == list(CATALOGUE)
    assert [cells["package"] for cells in TABLE.values()] == [n.package for n in CATALOGUE.values()]
    assert len(CATALOGUE) >= 60
    assert sum(net.pruned for net in CATALOGUE.values()) >= 15


@pytest.mark.parametrize("way", RUNTIMES)
def test_nearly_all_give_a_file(way: str) -> None:
    cells = [line[way] for line in TABLE.values() if line[way] != "not run"]
    files = [cell for cell in cells if CELL.fullmatch(cell) and "rules broken" not in cell]
    assert len(cells) >= 60
    assert len(files) >= len(cells) * (0.9 if way == "tensorrt" else 0.95)
    assert not [cell for cell in cells if "defect" in cell]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), AGAIN)
def test_the_page_is_current(
    name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # a task's folder is put there
    if way == "litert":
        pytest.importorskip("litert_torch", reason="needs litert-torch: pip install '.[litert]'")
    found = row(name, way, tmp_path)
    said = CELL.fullmatch(TABLE[name][way])
    assert said is not None, TABLE[name][way]
    assert found.outcome == "file", found.error
    assert f"{found.int8:.0%}" == f"{said[1]}%"
    assert found.sqnr_db >= int(said[2]) - NEAR_DB
    if way != "onnxruntime":  # there weights have 8 bits where the CPU has VNNI, and 7 elsewhere
        assert found.sqnr_db <= int(said[2]) + NEAR_DB
    assert found.steps <= max(1.0, float(said[3]))
    assert found.decision != "refuse", found.failed


def test_an_architecture_whose_package_is_absent_is_said_so() -> None:
    with pytest.raises(ImportError):
        prepared("no-such-package")


def test_rows_are_kept_and_a_page_written_of_them(tmp_path: Path) -> None:
    good = Row(
        name="resnet8",
        way="litert",
        outcome="file",
        int8=1.0,
        relative_error=0.01,
        hops=(Hop(kind="exported", top1=1.0, steps=0.0),),
        decision="unmeasured",
        code="now",
    )
    dead = Row(name="m5", way="litert", outcome="killed", error="SIGSEGV: in | native code")
    for each in (good, dead):
        store(tmp_path, each)
    rows = load(tmp_path)
    assert sorted(rows, key=lambda r: r.name) == [dead, good]
    write_page(tmp_path / "page.md", rows, "now")
    page = (tmp_path / "page.md").read_text()
    assert "| resnet8 | own | not run | 100%, 40 dB, 0 steps, passes, 0 s | not run |" in page
    assert "| m5 | own | not run | no file: killed | not run |" in page
    assert "- m5, LiteRT: killed: SIGSEGV: in \\| native code" in page
    assert "1 of 2 rows were made by older code than this page." in page
    assert set(WAYS) == {*RUNTIMES, "pruned"}
