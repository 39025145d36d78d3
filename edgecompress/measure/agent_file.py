"""The agent as one file, which is what travels to a device."""

import io
import zipfile

from edgecompress.bundled import agent_dir

PACKAGE = "edgecompress_agent"
MAIN = f"from {PACKAGE}.__main__ import main\n\nmain()\n"
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def build_agent() -> bytes:
    """The agent as one .pyz: equal sources give equal bytes, on every machine.

    Raises:
        EdgecompressError: its sources are not there.

    """
    sources = {f"{PACKAGE}/{file.name}": file.read_bytes() for file in agent_dir().glob("*.py")}
    sources["__main__.py"] = MAIN.encode()
    buffer = io.BytesIO()
    # Stored, because compressed bytes differ between versions of zlib.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, sources[name])
    return buffer.getvalue()
