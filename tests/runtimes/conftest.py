import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """These models are far too small for two threads, which cost more than they save."""
    torch.set_num_threads(1)
