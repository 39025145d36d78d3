"""What a reader of a file is told of operators that were left in float on purpose."""

NOT_QUANTISED = "the file is not quantised"
KEPT = "kept in float by the recipe"


def kept_because(why: str) -> str:
    return f"{KEPT}: {why}" if why else KEPT
