"""What is asked of a device's files and programs, and a look at what comes."""

from pathlib import Path

from edgecompress.transport import Transport

PLACE = "/device/x"
DEADLINE_S = 0.2
"""Every call's, so that silence costs little."""


class FileCalls:
    """Each call gives an answer of the right type, or raises."""

    transport: Transport
    _folder: Path
    _source: Path

    def _size(self) -> object:
        return checked(self.transport.files.size(PLACE), int)

    def _entries(self) -> object:
        return dict(self.transport.files.entries(f"{PLACE}/"))

    def _read(self) -> object:
        found = self.transport.files.read(PLACE, 4096)
        assert found is None or len(found) <= 4096
        return checked(found, bytes)

    def _write(self) -> object:
        return self.transport.files.write(PLACE, b"content")

    def _append(self) -> object:
        return self.transport.files.append(
            self._source, PLACE, 0, timeout_s=DEADLINE_S, sent=lambda _: None
        )

    def _sha256(self) -> object:
        return checked(self.transport.files.sha256(PLACE, timeout_s=DEADLINE_S), str)

    def _make_folder(self) -> object:
        return checked(self.transport.files.make_folder(PLACE), bool)

    def _rename(self) -> object:
        return self.transport.files.rename(PLACE, "/device/y")

    def _remove(self) -> object:
        return self.transport.files.remove(PLACE)

    def _read_link(self) -> object:
        return checked(self.transport.files.read_link(PLACE), str)

    def _free_bytes(self) -> object:
        return checked(self.transport.files.free_bytes("/device"), int)

    def _stat(self) -> object:
        return self.transport.stat(PLACE, timeout_s=DEADLINE_S)

    def _run(self) -> object:
        return self.transport.run(["program"], b"stdin", timeout_s=DEADLINE_S)

    def _put(self) -> object:
        return self.transport.put(self._source, "/device/work/x", timeout_s=DEADLINE_S)

    def _get(self) -> object:
        target = self._folder / "got"
        self.transport.get(PLACE, target, timeout_s=DEADLINE_S, limit_bytes=1 << 20)
        assert target.stat().st_size <= 1 << 20
        return target


def checked(found: object, kind: type) -> object:
    assert found is None or type(found) is kind, found
    return found
