"""Which installed package could not be imported."""

import importlib
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgecompress.packages import misfit, version_of


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a package of a source, as an installer would, and says what its import raises."""
    folder = tmp_path / "lib" / "site-packages"
    monkeypatch.syspath_prepend(folder)

    def raised_by(name: str, source: str, other: str = "") -> BaseException:
        for package, text in ((name, source), ("another", other)):
            (folder / package).mkdir(parents=True, exist_ok=True)
            (folder / package / "__init__.py").write_text(text)
            monkeypatch.delitem(sys.modules, package, raising=False)
        importlib.invalidate_caches()
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it raises
            importlib.import_module(name)
        return caught.value

    return raised_by


def test_the_package_that_raises_is_named_with_the_torch_it_does_not_fit(installed) -> None:
    error = installed("crooked", "raise RuntimeError('operator torchvision::nms does not exist')")
    assert misfit(error) == (
        f"crooked cannot be imported beside torch {version('torch')};"
        " install versions that fit one another"
    )


def test_what_a_package_imports_is_the_one_that_is_named(installed) -> None:
    error = installed("metrics", "import another", "raise OSError('undefined symbol')")
    assert str(misfit(error)).startswith("another cannot be imported")


def test_a_name_that_a_package_lacks_for_us(installed) -> None:
    error = installed("fine", "__name__ = 'edgecompress.compress.x'\nfrom another import missing")
    assert str(misfit(error)).startswith("another cannot be imported")


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_module_at_all",
        "__name__ = 'edgecompress.x'\nraise RuntimeError('ours')",
        "__name__ = 'edgecompress.x'\nfrom edgecompress.errors import missing",
    ],
    ids=["just not there", "a defect of ours", "a missing name of ours"],
)
def test_what_is_no_misfit(installed, source: str) -> None:
    assert misfit(installed("fine", source)) is None


def test_a_users_own_module_is_no_package() -> None:
    source = compile("raise RuntimeError('mine')", "/home/me/project/helper.py", "exec")
    with pytest.raises(RuntimeError) as caught:
        exec(source, {"__name__": "helper"})  # noqa: S102
    assert misfit(caught.value) is None


def test_versions_by_the_name_of_a_module() -> None:
    assert version_of("torch") == version("torch")
    assert version_of("torch_pruning") == version("torch-pruning")
    assert version_of("yaml") == version("pyyaml")
    assert version_of("no_such_module_at_all") is None
