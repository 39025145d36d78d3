"""What somebody has in a notebook, made once."""

import pytest
from notebooks import Notebook, trained


@pytest.fixture(scope="session")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Notebook:
    return trained(tmp_path_factory.mktemp("notebook") / "project")
