"""Numbers that are not finite, for which JSON has none."""

import math
from typing import Any

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: object) -> object:
    """The same with words in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return next(word for word, number in NOT_FINITE.items() if repr(number) == repr(value))
    return value


def restore(data: Any, loc: tuple[int | str, ...]) -> None:
    """Put the number back where a string stands for one that is not finite."""
    *outer, last = loc
    for key in outer:
        data = data[key]
    data[last] = NOT_FINITE[data[last]]
