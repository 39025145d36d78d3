"""One line for a ValidationError: which key, what is wrong, what is known or expected."""

import difflib
import re
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Loc = tuple[int | str, ...]
LONGEST_NAME = 100

_KEYS = "keys (name: value)"
_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": _KEYS,
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
}
_LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0}
_BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
_UNITS = {
    # part of a key: (what it counts, how many of that one written unit is)
    "s": ("seconds", _SECONDS),
    "ms": ("milliseconds", {name: factor * 1e3 for name, factor in _SECONDS.items()}),
    "bytes": ("bytes", _BYTES),
}
_UNIT_WORDS = {"s", "ms", "us", "sec", "bytes", "kb", "mb", "gb"}


def explain(spec: type[BaseModel], error: ValidationError, data: object) -> str:
    """The most telling problem of `error`, which validating `data` gave, as one line."""
    problems = error.errors(include_url=False)
    keys = [_key(problem, data) for problem in problems]
    kept = [i for i in range(len(problems)) if not _is_other_branch(i, problems, keys)]
    # A misspelt key is also a missing one: the spelling is what to mend.
    first = min(kept, key=lambda i: problems[i]["type"] != "extra_forbidden")
    same = [problems[i] for i in kept if keys[i] == keys[first]]
    text = _text(spec, keys[first], same)
    more = len({keys[i] for i in kept}) - 1
    return text + (f" (and {more} more)" if more else "")


def _key(problem: ErrorDetails, data: Any) -> str:
    """Dotted path, without the labels that pydantic adds for the branches of a union."""
    names: list[int | str] = []
    for part in problem["loc"]:
        # Of a list that is too short, what is missing has a place that is not there.
        is_index = isinstance(part, int) and isinstance(data, list) and part < len(data)
        if is_index or (isinstance(data, dict) and part in data):
            data = data[part]
            names.append(part)
    if problem["type"] == "missing":
        names.append(problem["loc"][-1])
    return ".".join(map(str, names))


def _is_other_branch(index: int, problems: list[ErrorDetails], keys: list[str]) -> bool:
    """Whether it only says that the value is not of a union's branch which was not meant."""
    if not _is_mismatch(problems[index]):
        return False
    key = keys[index]
    return any(
        other.startswith(f"{key}.") or (other == key and not _is_mismatch(problem))
        for problem, other in zip(problems, keys, strict=True)
    )


def _is_mismatch(problem: ErrorDetails) -> bool:
    return problem["type"] in _EXPECTED or problem["type"] == "literal_error"


def _text(spec: type[BaseModel], key: str, problems: list[ErrorDetails]) -> str:
    problem = problems[0]
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    at = f"{key}: " if key else ""
    if kind == "extra_forbidden":
        return _unknown("key", key, _siblings(spec, problem["loc"]))
    if kind == "missing":
        return f"missing key '{key}'"
    if kind == "union_tag_not_found":
        return f"missing key '{key}.{_quoted(context['discriminator'])[0]}'"
    if kind == "union_tag_invalid":
        name = f"{key}.{_quoted(context['discriminator'])[0]}"
        return _unknown(name, str(context["tag"]), _quoted(context["expected_tags"]))
    if kind == "literal_error" and len(problems) == 1:
        known = _quoted(context["expected"]) or [str(context["expected"])]
        return _unknown(key, value, known)
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        return f"{at}must be {words} {context[limit]:g}, got {_shown(value)}"
    if kind == "value_error":
        return at + problem["msg"].removeprefix("Value error, ")
    if _is_mismatch(problem):
        wanted = " or ".join(dict.fromkeys(_wanted(p, key) for p in problems))
        return f"{at}expected {wanted}, got {_shown(value)}{_in_right_unit(key, value)}"
    return f"{at}{problem['msg']}, got {_shown(value)}"


def _unknown(what: str, value: object, known: list[str]) -> str:
    name = str(value).rpartition(".")[2] if what == "key" else str(value)
    # What is longer than any name was not misspelt, and takes long to compare.
    near = _nearest(name, known) if len(name) <= LONGEST_NAME else None
    hint = f"did you mean '{near}'? " if near else ""
    subject = f"unknown key '{value}'" if what == "key" else f"{what} {_shown(value)} is unknown"
    return f"{subject}; {hint}known: {', '.join(sorted(known))}"


def _nearest(name: str, known: list[str]) -> str | None:
    """The known key that was probably meant: the same words in another order, with another unit
    or with more words, or letters alike.
    """
    words = sorted(name.split("_"))
    for candidate in known:
        if sorted(candidate.split("_")) == words:
            return candidate
    for candidate in known:
        if set(candidate.split("_")) - _UNIT_WORDS == set(words) - _UNIT_WORDS:
            return candidate
    longer = [candidate for candidate in known if set(words) <= set(candidate.split("_"))]
    if len(longer) == 1:
        return longer[0]
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.7)), None)


def _wanted(problem: ErrorDetails, key: str) -> str:
    if problem["type"] == "literal_error":
        return str(problem["ctx"]["expected"])
    wanted = _EXPECTED[problem["type"]]
    unit = _unit_of(key)
    return f"{wanted} of {unit[0]}" if unit and wanted.endswith("number") else wanted


def _unit_of(key: str) -> tuple[str, dict[str, float]] | None:
    words = key.rpartition(".")[2].split("_")
    return next((_UNITS[word] for word in reversed(words) if word in _UNITS), None)


def _in_right_unit(key: str, value: object) -> str:
    """'; write 0.5' for a value such as '500 ms' or '1 %'."""
    found = re.fullmatch(r"'\s*([0-9]+\.?[0-9]*)\s*([a-zA-Z]+|%)\s*'", repr(value))
    if not found:
        return ""
    unit = _unit_of(key)
    factors = {"%": 0.01} if unit is None else unit[1]
    factor = factors.get(found[2].lower())
    return f"; write {float(found[1]) * factor:.12g}" if factor else ""


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quoted(text: object) -> list[str]:
    return re.findall(r"'([^']*)'", str(text))


def _siblings(spec: type[BaseModel], loc: Loc) -> list[str]:
    """Keys allowed beside the last part of `loc`."""
    models = [spec]
    for part in loc[:-1]:
        fields = [m.model_fields[str(part)] for m in models if str(part) in m.model_fields]
        inner = [model for field in fields for model in _models_in(field.annotation)]
        # Otherwise a list index, or the label of one branch of a union.
        models = inner or [model for model in models if _has_label(model, part)] or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _has_label(model: type[BaseModel], label: int | str) -> bool:
    literals = (f.annotation for f in model.model_fields.values())
    tags = [tag for a in literals if get_origin(a) is Literal for tag in get_args(a)]
    return model.__name__ == label or label in tags
