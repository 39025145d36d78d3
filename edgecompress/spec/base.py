"""What every spec shares: unknown keys are refused, values are frozen, content has a digest."""

import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecompress.errors import SpecError

S = TypeVar("S", bound="Spec")


class Spec(BaseModel):
    """A frozen description that came from YAML or JSON, or goes there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def digest(self) -> str:
        """sha256 of the canonical JSON: equal content, equal digest."""
        return digest(self.model_dump(mode="json"))


def digest(value: Any) -> str:
    """sha256 hex of a JSON value, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse(spec: type[S], data: object, where: str) -> S:
    """Validate plain data (from YAML or JSON) as `spec`.

    Raises:
        SpecError: one line naming `where`, the key, and what is known or expected.

    """
    try:
        # Through JSON, because strict mode then still takes a list for a tuple.
        return spec.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise SpecError(f"{where}: {explain(spec, error)}") from None
    except (TypeError, ValueError) as error:
        raise SpecError(f"{where}: not plain data: {error}") from None


def explain(spec: type[BaseModel], error: ValidationError) -> str:
    """The first problem of a ValidationError as one line; how many more there are at its end."""
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        text = f"unknown key '{key}'; known: {', '.join(_siblings(spec, first['loc']))}"
    elif first["type"] == "missing":
        text = f"missing key '{key}'"
    elif first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        text = f"{key}: {message}" if key else message
    else:
        text = f"{key}: {first['msg']} (got {first['input']!r})"
    more = len(problems) - 1
    return text + (f" (and {more} more)" if more else "")


def _siblings(spec: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Keys allowed beside the last part of `loc`."""
    models = [spec]
    for part in loc[:-1]:
        inner: list[type[BaseModel]] = []
        for model in models:
            field = model.model_fields.get(str(part))
            inner += _models_in(field.annotation) if field else []
        # Union tags and list indices are parts of `loc` that name no field.
        models = inner or models
    return sorted({name for model in models for name in model.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in _models_in(a)]
