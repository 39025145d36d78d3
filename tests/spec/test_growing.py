"""Keys that came later leave what was written before them as it was."""

from typing import ClassVar

from edgecompress.spec.base import GrowingSpec, Spec, parse


class Section(GrowingSpec):
    newer: ClassVar[frozenset[str]] = frozenset({"rounding", "limit"})

    mode: str = "ptq"
    rounding: str = "nearest"
    limit: float | None = None


class Whole(Spec):
    section: Section | None


def test_a_newer_key_with_its_default_is_left_out() -> None:
    assert Section().model_dump(mode="json") == {"mode": "ptq"}
    written = {"section": {"mode": "ptq"}}
    assert Whole(section=Section()).model_dump(mode="json") == written
    assert Whole(section=Section(rounding="nearest")).digest() == Whole(section=Section()).digest()


def test_one_that_says_something_is_written_and_read_again() -> None:
    asked = Whole(section=Section(rounding="adaptive", limit=0.0))
    written = asked.model_dump(mode="json")
    assert written == {"section": {"mode": "ptq", "rounding": "adaptive", "limit": 0.0}}
    assert asked.digest() != Whole(section=Section()).digest()
    assert parse(Whole, written, "here") == asked


def test_what_is_left_out_beside_it_stays_out() -> None:
    section = Section(rounding="adaptive")
    assert section.model_dump(mode="json", exclude={"mode"}) == {"rounding": "adaptive"}
