import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """These models are far too small for two threads, which cost more than they save."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared here to the last digits trains in the same precision on every CPU; what a
    CPU with AMX does by itself is of `test_hardware` and of whole deploys.
    """
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
