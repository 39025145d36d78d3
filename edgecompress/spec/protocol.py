"""`measurement:` of a target: how a latency is taken, by one of several protocols."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, JsonValue

from edgecompress.errors import SpecError
from edgecompress.spec.base import Spec

ProtocolName = Literal["quick", "standard", "sustained", "paced", "throughput"]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, le=600)]
WarmupSeconds = Annotated[float, Field(ge=0, le=600)]


class MeasurementProtocol(Spec):
    """What all have in common; the samples of all turns are kept."""

    shows_heat: ClassVar[bool] = False
    """Whether a board that slows down is what is looked for, and makes nothing invalid."""
    shows_clock: ClassVar[bool] = False
    """The same of clocks that change."""
    one_by_one: ClassVar[bool] = True
    """Whether inferences follow one another at once, which the tools of phones can do too."""

    @property
    def in_bursts(self) -> bool:
        """Whether files may run side by side, burst by burst: heat takes minutes of one alone."""
        return self.one_by_one and not self.shows_heat

    protocol: ProtocolName
    warmup_iterations: Count = 20
    """At least so many; see max_warmup_s."""
    max_warmup_s: WarmupSeconds = 3.0
    """How long to wait for a steady state at most; 0: whether it is steady is not looked at."""
    min_iterations: Positive = 200
    """Per turn; a turn ends when both minima are reached."""
    min_duration_s: Seconds = 2.0
    turns: Positive = 5
    """Baseline and candidate run side by side this many times, each turn in a fresh process."""

    def request(self) -> dict[str, JsonValue]:
        """What the agent is told of it."""
        return {
            "warmup_iterations": self.warmup_iterations,
            "max_warmup_s": self.max_warmup_s,
            "min_iterations": self.min_iterations,
            "min_duration_s": self.min_duration_s,
        }

    @property
    def choosing(self) -> "MeasurementProtocol":
        """That by which files are picked, before what was picked is measured by this one: a choice
        asks for the latency alone, and not for minutes.
        """
        return self if self.protocol in ("quick", "standard") else Standard()

    @property
    def racing(self) -> "MeasurementProtocol":
        """That by which many files race: twice the turns of `choosing`, and short ones. Most files
        leave after few of them, and what befalls a device for seconds is in fewer of more.
        """
        once = self.choosing
        shorter = {
            "max_warmup_s": min(once.max_warmup_s, _RACING.max_warmup_s),
            "min_iterations": min(once.min_iterations, _RACING.min_iterations),
            "min_duration_s": min(once.min_duration_s, _RACING.min_duration_s),
        }
        return once.model_copy(update={"turns": 2 * once.turns, **shorter})

    @property
    def longest_s(self) -> float:
        """What a turn takes beyond its least number of inferences."""
        return self.max_warmup_s + self.min_duration_s


class Quick(MeasurementProtocol):
    """A look."""

    protocol: Literal["quick"] = "quick"
    warmup_iterations: Count = 5
    max_warmup_s: WarmupSeconds = 1.0
    min_iterations: Positive = 50
    min_duration_s: Seconds = 0.25
    turns: Positive = 3


_RACING = Quick(min_duration_s=0.5)
"""A turn of a race takes no longer."""


class Standard(MeasurementProtocol):
    """What a verdict rests on."""

    protocol: Literal["standard"] = "standard"


class Sustained(MeasurementProtocol):
    """Whether it holds when hot."""

    shows_heat = True
    shows_clock = True

    protocol: Literal["sustained"] = "sustained"
    min_duration_s: Seconds = 180.0
    turns: Positive = 2


class Paced(MeasurementProtocol):
    """One inference every so often, as a camera gives pictures; asleep between."""

    shows_clock = True
    one_by_one = False

    protocol: Literal["paced"] = "paced"
    warmup_iterations: Count = 5
    min_iterations: Positive = 100
    min_duration_s: Seconds = 10.0
    turns: Positive = 3
    interval_ms: Annotated[float, Field(gt=0, le=60_000)] = 1000 / 30
    """From the start of one inference to that of the next."""

    def request(self) -> dict[str, JsonValue]:
        return {**super().request(), "interval_ms": self.interval_ms}


class Throughput(MeasurementProtocol):
    """As many inferences a second as there can be."""

    one_by_one = False

    protocol: Literal["throughput"] = "throughput"
    streams: Annotated[int, Field(ge=0, le=1024)] = 0
    """Sessions at once, each with the target's threads; 0: as many as there are cores for."""
    batch: Annotated[int, Field(gt=0, le=65_536)] = 1
    """Samples of one inference; more than one needs a file whose batch is free."""

    def request(self) -> dict[str, JsonValue]:
        return {**super().request(), "streams": self.streams, "batch": self.batch}


PROTOCOLS: dict[str, type[MeasurementProtocol]] = {
    "quick": Quick,
    "standard": Standard,
    "sustained": Sustained,
    "paced": Paced,
    "throughput": Throughput,
}


def protocol_named(name: str, usual: MeasurementProtocol) -> MeasurementProtocol:
    """A protocol for one run: `usual`, the target's own, where it is of that name.

    Raises:
        SpecError: there is none; the known ones are listed.

    """
    if name not in PROTOCOLS:
        raise SpecError(f"protocol '{name}' is unknown; known: {', '.join(PROTOCOLS)}")
    return usual if usual.protocol == name else PROTOCOLS[name].model_validate({})


def _standard_unless_named(data: Any) -> Any:
    """Targets were written before there were several."""
    if isinstance(data, dict) and "protocol" not in data:
        return {**data, "protocol": "standard"}
    return data


if TYPE_CHECKING:
    AnyProtocol = MeasurementProtocol
else:
    AnyProtocol = Annotated[
        reduce(or_, PROTOCOLS.values()),
        Field(discriminator="protocol"),
        BeforeValidator(_standard_unless_named),
    ]
