"""docs/deploy.md and edgecompress/spec/deploy.py name the same keys, with the same defaults."""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from edgecompress.spec import deploy
from edgecompress.spec.base import Spec

DOC = Path(__file__).parents[2] / "docs" / "deploy.md"
SECTIONS: dict[str, type[Spec]] = {
    "Top level": deploy.DeployConfig,
    "task": deploy.TaskRef,
    "train, finetune, quantize.train, prune.sparsify": deploy.TrainSpec,
    "prune with method: structured": deploy.StructuredPruneSpec,
    "prune.sparsify, further key": deploy.SparsifySpec,
    "prune with method: unstructured": deploy.UnstructuredPruneSpec,
    "prune with method: 2:4": deploy.TwoFourPruneSpec,
    "distill": deploy.DistillSpec,
    "quantize": deploy.QuantizeSpec,
    "budgets": deploy.Budgets,
}
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


def sections() -> dict[str, dict[str, str]]:
    """Heading -> {key: what the doc says of it when it is left out}."""
    parts = re.split(r"^## (.+)$", DOC.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {title: dict(ROW.findall(text)) for title, text in pairs}


def own_fields(spec: type[Spec]) -> dict[str, FieldInfo]:
    base = spec.__mro__[1]
    inherited = base.model_fields if issubclass(base, Spec) else {}
    return {name: field for name, field in spec.model_fields.items() if name not in inherited}


def in_words(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default is None:
        return "off"
    if isinstance(field.default, bool):
        # As YAML spells it.
        return str(field.default).lower()
    return str(field.default) if field.default not in ((), {}) else "none"


def test_every_spec_has_a_section_and_the_other_way_round() -> None:
    specs = {
        value
        for value in vars(deploy).values()
        if isinstance(value, type)
        and issubclass(value, Spec)
        and value.__module__ == deploy.__name__
    }
    assert specs == set(SECTIONS.values())
    assert list(sections()) == list(SECTIONS)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_names_every_key_and_its_default(title: str) -> None:
    fields, told = own_fields(SECTIONS[title]), sections()[title]
    assert list(told) == list(fields)
    for name, field in fields.items():
        # "see ..." is for a pair of keys of which one is needed.
        wanted = ("off", "see") if in_words(field) == "off" else (in_words(field),)
        assert told[name].startswith(wanted), f"{title}: {name}"


def test_the_default_distillation() -> None:
    default = deploy.DEFAULT_DISTILLATION
    values = f"{{temperature: {default.temperature}, weight: {default.weight}}}"
    assert values in sections()["Top level"]["distill"]


def words(annotation: object) -> set[str]:
    """Every word that a key of this type can be."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {word for part in get_args(annotation) for word in words(part)}


@pytest.mark.parametrize("spec", SECTIONS.values())
def test_words_that_a_key_can_be_are_told(spec: type[Spec]) -> None:
    for name, field in own_fields(spec).items():
        for word in words(field.annotation):
            assert f"`{word}`" in DOC.read_text(), f"{name}: {word}"
