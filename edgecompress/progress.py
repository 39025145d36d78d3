"""Progress: how a long job tells a person where it is, without knowing who listens.

Everything goes to stderr, because stdout belongs to results.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from edgecompress.shown import shown

TELL_S = 0.9
SILENT_SHARE = 0.7
"""A log is silent for at most this share of the time between its lines, for a look may be late."""
RATE_S = 5.0
"""A rate is the mean of so long."""
Lane = Callable[[int, int, str], None]
"""As `Progress.step`, for one of several things that go on at the same time."""


class Progress(Protocol):
    """What a stage is given; all of it may be called as often as one likes."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Everything inside the `with` belongs to this stage; stages may nest."""

    def step(self, done: int, total: int, text: str) -> None:
        """`done` of `total` (0: not known) in the current stage; `text`: 'epoch 3, loss 0.21'."""

    def note(self, text: str) -> None:
        """One line that stays on the screen."""

    def lane(self, name: str) -> AbstractContextManager[Lane]:
        """A line of its own for one of several, told from a thread of its own."""


class Transfer:
    """Words for bytes that move, about once a second: 'uploading 3.1 of 8.2 MB, 41 kB/s'.

    Each that begins anew, because it counts less or to another end, has a rate of its own.
    """

    def __init__(self, lane: Lane, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage = ""
        """What it belongs to, in words that go before: 'validating'."""
        self._lane = lane
        self._clock = clock
        self._seen: list[tuple[float, int]] = []
        self._what = ("", 0)
        self._told_at = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` bytes of `total` (0: not known); called as often as one likes."""
        now = self._clock()
        if self._what != (what, total) or done < self._seen[-1][1]:
            self._what, self._seen = (what, total), [(now, done)]
            # What has no end in sight may be over at once, and not worth a word.
            self._told_at = now - TELL_S if total else now
        self._seen.append((now, done))
        while now - self._seen[1][0] > RATE_S:
            self._seen.pop(0)
        if now - self._told_at < TELL_S and not 0 < total == done:
            return
        self._told_at = now
        since, before = self._seen[0]
        elapsed = now - since
        rate = f", {_size((done - before) / elapsed)}/s" if elapsed >= TELL_S else ""
        stage = f"{self.stage}: " if self.stage else ""
        of = f" of {_size(total)}" if total else ""
        self._lane(done, total, f"{stage}{what} {_size(done)}{of}{rate}")


def _size(count: float) -> str:
    """In the units that links are sold by."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _left(elapsed_s: float, done: int, total: int) -> str:
    """', about 12 s left', where enough is done to tell."""
    if not 0 < done < total or elapsed_s < TELL_S:
        return ""
    left_s = elapsed_s * (total - done) / done
    text = f"{left_s:.0f} s" if left_s < 120 else f"{left_s / 60:.0f} min"
    return f", about {text} left"


class SilentProgress:
    """Says nothing."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        yield

    def step(self, done: int, total: int, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    @contextmanager
    def lane(self, name: str) -> Iterator[Lane]:
        yield self.step


class HandedOn:
    """Another's progress, for those that change a part of what it is told."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def stage(self, name: str) -> AbstractContextManager[None]:
        return self._progress.stage(name)

    def step(self, done: int, total: int, text: str) -> None:
        self._progress.step(done, total, text)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def lane(self, name: str) -> AbstractContextManager[Lane]:
        return self._progress.lane(name)


class Labelled(HandedOn):
    """Another's progress, whose stages also say whom they are for."""

    def __init__(self, progress: Progress, label: str) -> None:
        super().__init__(progress)
        self._label = label

    def stage(self, name: str) -> AbstractContextManager[None]:
        return self._progress.stage(f"{name}: {self._label}")


class Counted(HandedOn):
    """Another's progress, whose stages are numbered: '5 of about 19, finetune'. A stage inside of
    another has no number of its own.
    """

    def __init__(self, progress: Progress, total: int | None) -> None:
        """`total`: how many there were the last time; None: it is not known."""
        super().__init__(progress)
        self._total = total
        self._count = self._depth = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if not self._depth:
            self._count += 1
            known = self._total is not None and self._count <= self._total
            name = f"{self._count}{f' of about {self._total}' * known}, {name}"
        self._depth += 1
        try:
            with self._progress.stage(name):
                yield
        finally:
            self._depth -= 1


class PlainProgress:
    """One line per event, for logs and pipes; and one every so often where nothing happens, because
    nobody can tell what is silent from what hangs.
    """

    def __init__(self, stream: TextIO, every_s: float = 5.0) -> None:
        self._stream = stream
        self._every_s = every_s
        self._open: list[tuple[str, float]] = []
        """Name and beginning of each stage that is not finished."""
        self._last_step = 0.0
        self._last_line = 0.0
        self._over = threading.Event()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        self._open.append((name, start))
        self._last_step = start
        self._line("started")
        if len(self._open) == 1 and self._every_s > 0:
            self._over = threading.Event()
            threading.Thread(target=self._be_heard, args=(self._over,), daemon=True).start()
        try:
            yield
            self._line(f"finished in {time.monotonic() - start:.1f} s")
        finally:
            self._open.pop()
            if not self._open:
                self._over.set()

    def _be_heard(self, over: threading.Event) -> None:
        """Until the outermost stage is over."""
        while not over.wait(self._every_s * SILENT_SHARE / 4):
            open_now = self._open[-1:]
            now = time.monotonic()
            if open_now and now - self._last_line >= self._every_s * SILENT_SHARE:
                self._line(f"goes on, {now - open_now[0][1]:.0f} s so far")

    def step(self, done: int, total: int, text: str) -> None:
        # A log with a line per batch would be unreadable; the last step is always told.
        now = time.monotonic()
        if done == total or now - self._last_step >= self._every_s:
            self._last_step = now
            left = _left(now - self._open[-1][1], done, total) if self._open else ""
            self._line(f"{done}/{total} {text}{left}" if total else text)

    def note(self, text: str) -> None:
        self._line(text)

    @contextmanager
    def lane(self, name: str) -> Iterator[Lane]:
        last, told = "", 0.0

        def step(done: int, total: int, text: str) -> None:
            nonlocal last, told
            now = time.monotonic()
            if text != last or done == total or now - told >= self._every_s:
                last, told = text, now
                self._line(f"{name}: {text}" + (f" ({100 * done // total} %)" if total else ""))

        yield step

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        where = f"[{self._open[-1][0]}] " if self._open else ""
        print(shown(f"{where}{text}".rstrip()), file=self._stream, flush=True)


def progress_on_stderr() -> Progress:
    """Live bars on a terminal, plain lines anywhere else."""
    if not sys.stderr.isatty():
        return PlainProgress(sys.stderr)
    # Home of rich, which a quiet command need not load.
    from edgecompress.progress_live import LiveProgress

    return LiveProgress()
