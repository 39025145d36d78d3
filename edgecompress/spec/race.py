"""What came of a race: which files ran against one another on a board, and why each lost."""

from typing import Literal

from edgecompress.spec.base import Spec

Variant = Literal["original", "half", "float", "ptq", "direct", "recipe"]
"""What was done to the model: nothing, in float32 or in what halves it; all but quantising; the
recipe, quantised without training; quantised alone, nothing else; the recipe as it is written.
"""
Ending = Literal["won", "slower", "refused", "uncertain", "failed"]
"""won: it ships, or is the original that nothing beats. slower: another is faster, and keeps the
metric. refused, uncertain: it was fast enough, and its verdict was that. failed: no file could be
made, or its runtime did not take it.
"""


class RaceEntrant(Spec):
    """One file that ran."""

    name: str
    """'the recipe (openvino)'."""
    target: str
    runtime: str
    variant: Variant
    threads: int
    model_size_bytes: int | None
    latency_ms_p50: float | None
    """Median of the turns' medians; None: it never ran."""
    latency_ms_low: float | None = None
    latency_ms_high: float | None = None
    """95 % interval of that, from the rounds that it ran; None of a single round."""
    rounds: int
    """How many turns it had before it left."""
    metric: float | None = None
    """The file's, where it came so far that it was evaluated."""
    ending: Ending
    why: str
    """A sentence for people."""


class Race(Spec):
    """All that ran for one board, the fastest first."""

    board: str
    device: str
    entrants: tuple[RaceEntrant, ...]
    best_float: str
    """Name of the fastest float original of any runtime."""
    turns: int
    """Measured in all."""
    full_turns: int
    """What a full grid of the same entrants would have taken."""
    error_rate: float
    """Chance that the fastest file left early, at most, as the rule promises it."""
    absent: tuple[str, ...] = ()
    """Runtimes of the board, and types of floats, that did not run, each with what is lacking."""
