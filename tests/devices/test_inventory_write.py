"""What `devices add` makes of the user's own file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgecompress.devices.inventory import add
from edgecompress.errors import SpecError, StorageError
from edgecompress.spec.device import Device
from edgecompress.spec.load import load_inventory

BY_HAND = """\
# Mine.
devices:   # all of them
- id: first   # in the kitchen
  target: local
  transport: local

# the end"""


def device(device_id: str = "kitchen-pi", **fields: object) -> Device:
    described = {"target": "raspberry-pi-5", "transport": "ssh", "address": "10.0.0.7", **fields}
    return Device.model_validate({"id": device_id, **described})


def test_a_first_device_makes_the_file(tmp_path: Path) -> None:
    wanted = device(
        user="0123",
        port=2222,
        tags=("yes", "a: b", "ünï \U0001f353"),
        python="/opt/1e3/python",
        root="~/x y",
    )
    assert add(wanted, None, tmp_path) == tmp_path / "devices.yaml"
    assert load_inventory(None, tmp_path).devices[0] == wanted
    assert [file.name for file in tmp_path.iterdir()] == ["devices.yaml"]


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "devices.yaml"
    file.write_text(BY_HAND)
    file.chmod(0o640)
    add(device(), None, tmp_path)
    add(device("other"), None, tmp_path)
    assert file.read_text().startswith(BY_HAND + "\n- id: kitchen-pi\n  target: raspberry-pi-5\n")
    assert file.stat().st_mode & 0o777 == 0o640
    ids = [found.id for found in load_inventory(file).devices]
    assert ids == ["first", "kitchen-pi", "other"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "mine.yaml"
    target.write_text(BY_HAND)
    (tmp_path / "devices.yaml").symlink_to(target)
    add(device(), None, tmp_path)
    assert (tmp_path / "devices.yaml").is_symlink()
    assert len(load_inventory(target).devices) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("devices: []\n", "nothing can be appended"),
        ("devices: [{id: a, target: local, transport: local}]\n", "nothing can be appended"),
        ("devices:\n- {id: a, target: local, transport: local}\n...\n", "nothing can be appended"),
        ("devices:\n- {id: a, target: local}\n", "missing key 'devices.0.transport'"),
    ],
)
def test_a_file_that_cannot_take_more_is_left_alone(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "devices.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=problem):
        add(device(), None, tmp_path)
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("taken", ["first", "this-machine"])
def test_an_id_is_given_once(tmp_path: Path, taken: str) -> None:
    (tmp_path / "devices.yaml").write_text(BY_HAND)
    with pytest.raises(SpecError, match=rf"devices\.yaml: id '{taken}' is taken"):
        add(device(taken), None, tmp_path)


def test_an_inventory_of_its_own_knows_nothing_of_the_bundled_one(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    add(device("this-machine"), file, tmp_path)
    assert [found.id for found in load_inventory(file).devices] == ["this-machine"]
    with pytest.raises(SpecError, match="is taken"):
        add(device("this-machine"), file, tmp_path)


def test_an_unknown_target_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'raspberry-pi-5'"):
        add(device(target="rasberry-pi-5"), None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="/no: No such file or directory; check the folder"):
        add(device(), None, tmp_path / "no")


def test_those_who_add_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [f"board-{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: add(device(name), None, tmp_path), names))
    found = load_inventory(tmp_path / "devices.yaml").devices
    assert sorted(one.id for one in found) == names
