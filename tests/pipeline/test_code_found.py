"""How the code that a stage runs is found, on small packages in the place of edgecompress."""

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from edgecompress.pipeline import code

Reached = Callable[..., tuple[set[str], set[str]]]


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    """Writes modules, and says which of them, and which libraries, `a:work` runs."""
    caches = (code._parsed, code._is_module, code._digests)
    monkeypatch.setattr(code, "_PACKAGE", tmp_path)

    def clear() -> None:
        for cached in caches:
            cached.cache_clear()

    def find(modules: dict[str, str], *also: str) -> tuple[set[str], set[str]]:
        for name, source in modules.items():
            path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
        clear()
        found = code._reached(("edgecompress.a:work", *also))
        return {name.removeprefix("edgecompress.") for name in found.modules}, {*found.libraries}

    clear()
    yield find
    clear()


B = """
    import torch
    VALUE = torch.zeros(1)
    def used(): return other()
    def other(): return VALUE
    def unused():
        import onnx
        return onnx.load
"""


@pytest.mark.parametrize(
    "a",
    [
        "from edgecompress.b import used\ndef work(): return used()",
        "from edgecompress.b import used as named\ndef work(): return named()",
        "import edgecompress.b as b\ndef work(): return b.used()",
        "from edgecompress import b\ndef work(): return b.used()",
        "def work():\n    from edgecompress import b\n    return b.used()",
        "def work():\n    from edgecompress.b import used\n    return used()",
        "from edgecompress.b import used\nTABLE = {'a': used}\ndef work(): return TABLE['a']()",
        "from edgecompress.b import used\nclass work:\n    def run(self): return used()",
        "from edgecompress.b import used\ndef work(): return inner()\ndef inner(): return used()",
        "if 1 < 2:\n    from edgecompress.b import used\ndef work(): return used()",
        "if 1 > 2: pass\nelse:\n    from edgecompress.b import used\ndef work(): return used()",
        "try:\n    from edgecompress.b import used\nexcept OSError: pass\ndef work(): used()",
        "try: pass\nexcept OSError:\n    from edgecompress.b import used\ndef work(): used()",
        "try: pass\nexcept OSError: pass\nelse:\n    from edgecompress.b import used\n"
        "def work(): return used()",
        # What runs whenever the module is imported counts too.
        "from edgecompress.b import used\nused()\ndef work(): pass",
        "from edgecompress.b import used\nx: object = used\ndef work(): return x",
        "from edgecompress.b import used\nx = 1\nx += used()\ndef work(): return x",
        "from edgecompress.b import used\nx, (y, z) = used()\ndef work(): return z",
        "from edgecompress.b import used\nasync def work(): return used()",
    ],
)
def test_what_is_named_is_followed(a: str, reached: Reached) -> None:
    assert reached({"a": a, "b": B}) == ({"a", "b"}, {"torch"})


@pytest.mark.parametrize(
    "a",
    [
        "from edgecompress.b import used\ndef work(): pass",
        "from edgecompress.b import used\ndef work(): pass\ndef other(): return used()",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edgecompress.b import used\n"
        "def work(): return used()",
        # A name that is bound is not one that is read.
        "from edgecompress.b import used\ndef work():\n    used = 1",
    ],
)
def test_what_is_not_named_is_not(a: str, reached: Reached) -> None:
    assert reached({"a": a, "b": B}) == ({"a"}, set())


def test_only_what_is_named_of_a_module_is_followed(reached: Reached) -> None:
    assert reached({"a": "from edgecompress.b import unused\ndef work(): unused()", "b": B}) == (
        {"a", "b"},
        {"onnx"},
    )
    everything = "edgecompress.b:"
    assert reached({"a": "def work(): pass", "b": B}, everything) == ({"a", "b"}, {"onnx", "torch"})


def test_a_name_inside_of_a_function_hides_the_one_outside(reached: Reached) -> None:
    a = """
        from edgecompress.c import used
        def work():
            from edgecompress.b import used
            return used()
    """
    assert reached({"a": a, "b": B, "c": "import onnx\ndef used(): return onnx"})[0] == {"a", "b"}


@pytest.mark.parametrize(
    ("a", "libraries"),
    [
        ("import numpy as np\ndef work(): return np.ones", {"numpy"}),
        ("import torch.nn\ndef work(): return torch.nn.Linear", {"torch"}),
        ("from torch import onnx\ndef work(): return onnx.export", {"torch"}),
        ("import torch\ndef work(): return torch.onnx.export", {"torch"}),
        ("def work():\n    import ai_edge_litert.interpreter", {"ai-edge-litert"}),
        ("import litert_torch\ndef work(): return litert_torch.convert", {"litert-torch"}),
        ("import json, os.path\ndef work(): return json, os.path", set()),
        ("import pydantic\nfrom typing_extensions import Self\ndef work(): pydantic, Self", set()),
    ],
)
def test_libraries_are_those_that_are_named(a: str, libraries: set[str], reached: Reached) -> None:
    assert reached({"a": a}) == ({"a"}, libraries)


def test_of_a_class_the_method_that_is_called_is_followed(reached: Reached) -> None:
    a = """
        from edgecompress.b import unused, used
        class Runtime:
            def export(self): return used()
            def inspect(self): return unused()
    """
    assert reached({"a": a, "b": B}, "edgecompress.a:Runtime.export")[1] >= {"torch"}
    assert "onnx" not in reached({"a": a, "b": B}, "edgecompress.a:Runtime.export")[1]


def test_packages_that_run_outside_are_added(reached: Reached) -> None:
    assert reached({"a": "def work(): pass"}, "onnxruntime") == ({"a"}, {"onnxruntime"})


def test_a_package_is_a_module_too(reached: Reached) -> None:
    a = "from edgecompress.b import c\ndef work(): return c.used()"
    assert reached({"a": a, "b.__init__": "", "b.c": B}) == ({"a", "b.c"}, {"torch"})
    a = "from edgecompress.b import used\ndef work(): return used()"
    assert reached({"a": a, "b.__init__": "from edgecompress.b.c import used", "b.c": B}) == (
        {"a", "b", "b.c"},
        {"torch"},
    )


@pytest.mark.parametrize(
    "module",
    [
        *("errors", "progress", "progress_live", "bundled", "packages", "spec.deploy"),
        *("store.index", "transport.local", "pipeline.stages", "pipeline.code"),
    ],
)
def test_what_only_keeps_or_tells_results_is_not_followed(module: str, reached: Reached) -> None:
    a = f"from edgecompress.{module} import used\ndef work(): return used()"
    assert reached({"a": a, module: B}) == ({"a"}, set())
    beside = a.replace(module, f"other.{module}")
    assert reached({"a": beside, f"other.{module}": B})[0] == {"a", f"other.{module}"}


@pytest.mark.parametrize(
    ("module", "table"),
    [
        ("runtimes", "RUNTIMES"),
    ],
)
def test_of_a_table_a_stage_takes_what_it_names(module: str, table: str, reached: Reached) -> None:
    a = f"from edgecompress.{module} import {table}\ndef work(): return {table}"
    rows = f"from edgecompress.b import used\n{table} = (used,)\nOTHER = (used,)"
    assert reached({"a": a, "b": B, module: rows}) == ({"a"}, set())
    row = a.replace(table, "OTHER")
    assert reached({"a": row, "b": B, module: rows}) == ({"a", module, "b"}, {"torch"})


def test_a_key_has_the_sources_and_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "version_of", {"torch": "2.13"}.get)
    found = code.Code(("edgecompress.errors",), ("gone", "torch")).describe()
    assert found["libraries"] == {"torch": "2.13", "gone": "absent"}
    assert list(found["modules"]) == ["edgecompress.errors"]
    assert len(found["modules"]["edgecompress.errors"]) == 64


def test_the_outermost_function_is_where_a_stage_begins() -> None:
    def work() -> None:
        """Made inside of another, as stages' work is."""

    assert code.entry(work) == f"{__name__}:{work.__qualname__.partition('.')[0]}"
    assert code.entry(code.code_of) == "edgecompress.pipeline.code:code_of"
    assert code.entry(code._Module.named_by) == "edgecompress.pipeline.code:_Module.named_by"
    # One entry and what is called beside it.
    alone = code.code_of(code.entry)
    more = code.code_of(code.entry, ["edgecompress.compress.train:train", "onnxruntime"])
    assert {*alone.modules} < {*more.modules}
    assert "onnxruntime" in more.libraries
    assert "edgecompress.compress.train" in more.modules


def test_what_was_found_is_recalled_as_long_as_no_source_changes(
    reached: Reached, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def recalled(content: bytes) -> bool:
        """In a fresh process, which parses nothing if it need not."""
        monkeypatch.setattr(code, "_found", {})
        code._digests.cache_clear()
        code.recall(content)
        return bool(code._found)

    modules, libraries = reached({"a": "import torch\ndef work(): return torch.zeros(1)"})
    found = code.Code(tuple(f"edgecompress.{name}" for name in modules), tuple(libraries))
    monkeypatch.setattr(code, "_found", {("edgecompress.a:work",): found})
    content = code.dump()
    assert recalled(content)
    assert code._found == {("edgecompress.a:work",): found}
    (tmp_path / "a.py").write_text("def work(): return 0")
    assert not recalled(content)
    assert not recalled(b"{}")
