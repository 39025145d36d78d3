"""`off`, which YAML 1.1 takes for a truth value, where a spec has a meaning for it."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel

OFF = "off"

Words = Mapping[str, str | None]
"""Key -> what the plain word `off` behind it stands for."""


def words_of(spec: type[BaseModel]) -> dict[str, str | None]:
    """For a spec and all inside it: the word itself where it is one of the known ones, else what
    leaving the key out means, where it may be left out with the value None.
    """
    found: dict[str, str | None] = {}
    for model in dict.fromkeys(_models(spec)):
        for key, field in model.model_fields.items():
            choices = set(_choices(field.annotation))
            if OFF in choices:
                found[key] = OFF
            elif type(None) in choices and not field.is_required():
                found.setdefault(key, None)
    return found


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation)
    for argument in get_args(annotation):
        yield from _models(argument)


def _choices(annotation: object) -> Iterator[object]:
    """Types and literal values that a field may have."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from get_args(annotation)
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _choices(argument)
    elif origin is Annotated:
        yield from _choices(get_args(annotation)[0])
    else:
        yield annotation
