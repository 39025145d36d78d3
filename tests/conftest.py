"""Makes the helpers beside this file importable from every test."""

import gc
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import deploying
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from declared_files import DeclaredFiles
    from quantizing import ZooFiles

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch loads, here and in the programs that tests start: the cores are taken by the
    # other workers, and threads that spin for a core make everybody slow.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs so, and the programs that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The same examples in every run; HYPOTHESIS_PROFILE=default draws others.
# No deadline: how long an example takes says something of the machine alone.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=4,
        help="how often tests/pipeline/test_kill.py kills a deploy; the promise is about 30",
    )
    parser.addoption(
        "--faults",
        type=int,
        default=200,
        help="how many seeds tests/push/test_push_faults.py tries; the promise is about 10000",
    )
    parser.addoption(
        "--mutations",
        type=int,
        default=3000,
        help="how many broken logs tests/vendor/test_mutations.py reads; the promise is 100000",
    )
    parser.addoption(
        "--hostile",
        type=int,
        default=300,
        help="how many answers of each channel tests/hostile reads; the promise is 25000",
    )
    parser.addoption(
        "--networks",
        type=int,
        default=2,
        help="how many random networks tests/runtimes/test_same_integers.py runs; 100 were seen",
    )
    parser.addoption(
        "--kill-stride",
        type=int,
        default=16,
        help="tests/push/test_push_kill.py kills at every n-th place; the promise is about 1",
    )
    parser.addoption(
        "--states",
        type=int,
        default=60,
        help="of a device's folder that tests/push/test_push_any_state.py makes; 5000 were seen",
    )
    parser.addoption(
        "--fleet",
        type=int,
        default=10,
        help="devices that tests/pipeline/test_push_fleet.py pushes to; the promise is about 50",
    )
    parser.addoption(
        "--resume-mb",
        type=int,
        default=4,
        help="size of the model that tests/push/test_push_ssh.py resumes; the promise is about 100",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """For `--dist loadgroup`, as `make test` has it."""
    if config.getvalue("dist") != "loadgroup":
        return None
    import sharing

    return sharing.Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        import sharing

        here = Path(__file__).parent
        items.sort(key=lambda item: sharing.place(item.path.relative_to(here).parts[0]))


def pytest_collection_finish() -> None:
    """What all imports have made stays, so no test needs to look through it for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """What a file draws when it is imported is the same, whatever was imported before it."""
    if isinstance(collector, pytest.Module):
        _seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws is the same, whichever tests ran before it in its process."""
    _seed()


def _seed() -> None:
    import numpy
    import torch

    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[deploying.Cli]:
    """`edgecompress`, in processes that need not import torch."""
    started = deploying.Cli(tmp_path_factory.mktemp("cli"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def zoo_files(tmp_path_factory: pytest.TempPathFactory) -> "ZooFiles":
    """Quantised ONNX files of tests/zoo, each made once."""
    from quantizing import ZooFiles

    return ZooFiles(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def declared_files(tmp_path_factory: pytest.TempPathFactory) -> "DeclaredFiles":
    """Files with a declaration, each made once."""
    from declared_files import DeclaredFiles

    return DeclaredFiles(tmp_path_factory.mktemp("declared"))
