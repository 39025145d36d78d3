"""Where the trials of a search are kept, and what may be shown of that."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from edgecompress.errors import DeviceError, RuntimeMissing, SpecError, StorageError
from edgecompress.interrupts import held_interrupt
from edgecompress.store.files import (
    SQLITE_ERRORS,
    is_damage,
    release,
    storage_errors,
    take_lock,
)

_WAIT_S = 60
"""How long to wait for another process's write."""


class Place:
    """A file, or a database by its URL, whose password nobody is shown."""

    def __init__(self, place: str | Path) -> None:
        self._file = place if isinstance(place, Path) else None
        self._locked = self._file
        self._secrets: tuple[str, ...] = ()
        if self._file is not None:
            self.shown, self.url = str(place), "sqlite://"
            with storage_errors(self._file.parent):
                self._file.parent.mkdir(parents=True, exist_ok=True)
            return
        try:
            url = make_url(str(place))
        except (ArgumentError, ValueError):
            # The text is not repeated, because it may hold a password.
            raise SpecError(
                "--study: not a URL of a database; such as"
                " postgresql+psycopg://user@host/base or sqlite:///file"
            ) from None
        file = "" if url.database in (None, ":memory:") or "uri" in url.query else url.database
        if url.drivername.startswith("sqlite") and file:
            self._locked = Path(file)
        of_query = (value if isinstance(value, tuple) else (value,) for value in url.query.values())
        self._secrets = (str(place), str(url.password or ""), *itertools.chain(*of_query))
        # optuna takes what is in braces for its own.
        self.url = str(place).replace("{", "{{").replace("}", "}}")
        where = "" if url.host is None else f"{url.host}{f':{url.port}' if url.port else ''}"
        self.shown = f"{url.drivername}://{where}/{url.database or ''}"

    @property
    def engine(self) -> dict[str, Any]:
        """Arguments of SQLAlchemy's create_engine."""
        if self._file is None:
            waits = {"connect_args": {"timeout": _WAIT_S}} if self.url.startswith("sqlite") else {}
            return {"pool_pre_ping": True, **waits}
        file = self._file.absolute()

        def connect() -> sqlite3.Connection:
            # Not by a URL, in which some characters that a path may have mean something.
            return sqlite3.connect(file, timeout=_WAIT_S, check_same_thread=False)

        return {"creator": connect, "poolclass": QueuePool}

    @property
    def excludes(self) -> bool:
        """Whether `alone` keeps the others out."""
        return self._locked is not None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While open, no other process claims a trial: SQLite locks no rows, so that two could both
        find the same one waiting. Servers of databases see to that by themselves.
        """
        if self._locked is None:
            yield
            return
        path = self._locked.with_name(f".{self._locked.name}.lock")
        with storage_errors(path):
            handle = take_lock(path)
        try:
            yield
        finally:
            release(handle)

    @contextmanager
    def call(self) -> Iterator[None]:
        """While open, the database is at work, and Ctrl-C waits until it is not: in the middle of a
        call it leaves a connection that still reads, and then SQLite lets nobody write.

        Raises:
            EdgecompressError: what the database says, as one line without the URL's secrets.

        """
        came: list[int] = []
        try:
            with held_interrupt() as came, self._errors():
                yield
        finally:
            if came:
                raise KeyboardInterrupt

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except NoSuchModuleError:
            raise SpecError(f"--study: SQLAlchemy knows no database of {self.shown}") from None
        except ImportError as error:
            module = (error.name or "the driver").partition(".")[0]
            raise RuntimeMissing(
                f"--study {self.shown}: its driver '{module}' is not installed;"
                f" pip install '{module}'"
            ) from None
        except (SQLAlchemyError, RuntimeError) as error:
            raise self._told(error) from None

    def _told(self, error: Exception) -> Exception:
        cause = error.__cause__ or getattr(error, "orig", None) or error
        said = getattr(cause, "orig", None) or cause
        lines = str(said).strip().splitlines()
        what = self._without_secrets(lines[0] if lines else type(error).__name__)
        if self._file is not None:
            if isinstance(said, SQLITE_ERRORS) and not is_damage(said):
                # A full disk, or a lock that others hold: the trials are all there.
                with storage_errors(self._file):
                    raise said
            return StorageError(f"{self.shown}: {what}; move it away, and the search begins anew")
        return DeviceError(
            f"--study {self.shown}: {what}; finished trials are kept, run the same command again"
        )

    def _without_secrets(self, text: str) -> str:
        for secret in filter(None, (self.url, *self._secrets)):
            text = text.replace(secret, "***")
        return text
