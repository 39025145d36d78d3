"""A PostgreSQL server of a test's own, the real one, where it is installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "not-to-be-shown"  # noqa: S105
_OWNER = "postgres" if os.geteuid() == 0 else None
"""It refuses to run as root."""


def tool(name: str) -> str | None:
    """Debian does not put them on the path."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(places[-1]) if places else None)


def missing() -> str | None:
    """Why there can be no server here."""
    lacking = [name for name in ("initdb", "pg_ctl") if tool(name) is None]
    if lacking:
        return f"{', '.join(lacking)} of PostgreSQL not installed: scripts/install-test-tools.sh"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    return None


@contextmanager
def server() -> Iterator[str]:
    """The URL of an empty database, with a password in it, while its server runs."""
    with tempfile.TemporaryDirectory(prefix="edgecompress-pg-") as name:
        folder = Path(name)
        if _OWNER is not None:
            shutil.chown(folder, _OWNER)
        data = folder / "data"
        _run(folder, "initdb", "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        _run(
            folder,
            "pg_ctl",
            "-D",
            str(data),
            "-l",
            str(folder / "log"),
            "-o",
            options,
            "-w",
            "start",
        )
        try:
            yield f"postgresql+psycopg://tester:{PASSWORD}@/postgres?host={folder}"
        finally:
            _run(folder, "pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")


def _run(folder: Path, program: str, *arguments: str) -> None:
    found = tool(program)
    assert found is not None
    subprocess.run(
        [found, *arguments],
        cwd=folder,
        user=_OWNER,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
