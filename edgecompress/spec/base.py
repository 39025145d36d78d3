"""What every spec shares: unknown keys are refused, values are frozen, content has a digest."""

import hashlib
import json
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from edgecompress.errors import SpecError
from edgecompress.spec.explain import explain

S = TypeVar("S", bound="Spec")
T = TypeVar("T")


class _FirstWrong(FailFast):
    """Part of an optional type must have a hash, and pydantic's own lacks one."""

    __hash__ = object.__hash__


Many = Annotated[tuple[T, ...], _FirstWrong()]
"""A list that a device may make long: its first wrong entry is told, not a million of them."""


class Spec(BaseModel):
    """A frozen description that came from YAML or JSON, or goes there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    def digest(self) -> str:
        """sha256 of the canonical JSON: equal content, equal digest."""
        return digest(self.model_dump(mode="json"))


class GrowingSpec(Spec):
    """A section that gets keys from time to time. A newer key is left out where it has its default,
    which means `as before`: content that was written before there was such a key keeps its digest,
    and what is in the store under it.
    """

    newer: ClassVar[frozenset[str]] = frozenset()
    """Names of those keys; a class that inherits from another has its keys too."""

    @model_serializer(mode="wrap")
    def _without_newer_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        kept: dict[str, Any] = write(self)
        fields = type(self).model_fields
        for name in type(self).newer:
            if getattr(self, name) == fields[name].default:
                kept.pop(name, None)
        return kept


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
        raise SpecError(f"{where}: {explain(spec, error, data)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(f"{where}: not plain data: {error}") from None
