"""What a sensor or a vendor's tool said and the agent did not understand: never lost in silence."""

from __future__ import annotations

LINES = 8
LENGTH = 120


class Unread:
    """A few such words, each once and fit to be shown, for the notes of a turn."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    def add(self, source: str, text: str) -> None:
        """Keep what looks like data, which has a digit; `source` is a program or a file."""
        if any("0" <= char <= "9" for char in text) and len(self._notes) < LINES:
            words = ascii(text.strip())[1:-1]
            words = words if len(words) <= LENGTH else f"{words[:LENGTH]}.."
            self._notes[f"{source} says what is not understood, and not used: {words}"] = None

    def notes(self) -> list[str]:
        return list(self._notes)
