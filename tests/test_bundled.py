from edgecompress import bundled


def test_checkout_is_found():
    assert (bundled.agent_dir() / "__main__.py").is_file()
    assert (bundled.devices_dir() / "inventory.yaml").is_file()
    assert list(bundled.targets_dir().glob("*.yaml"))


def test_wheel_comes_before_what_lies_beside_it(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "edgecompress"
    inside, beside = package / "_bundled" / "devices", package.parent / "devices"
    for folder in (inside, beside):
        folder.mkdir(parents=True)
    monkeypatch.setattr(bundled, "_PACKAGE", package)
    assert bundled.devices_dir() == inside
