"""NVIDIA's `tegrastats`, from TX1 to Thor: one line a sample.

Format: Jetson Linux Developer Guide, "tegrastats Utility". Its MB are 2^20 bytes.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import (
    NUMBER,
    SIGNED,
    VendorText,
    complete_lines,
    integer,
    number,
    only,
    scaled,
    unread,
)

ALONE = r"(?<!\S){}(?!\S)"
"""A word has to end where its pattern does, or a broken number would pass for a shorter one."""


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(ALONE.format(f"(?:{pattern})"), re.ASCII)


TIME = re.compile(r"[0-9]{2}-[0-9]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}(?!\S)")
RAM = _words(r"RAM (?P<used>[0-9]+)/(?P<total>[0-9]+)MB")
SWAP = _words(r"SWAP (?P<used>[0-9]+)/(?P<total>[0-9]+)MB")
CPU = _words(r"(?:CPU|cpu) \[(?P<cores>[^\[\]]*)\](?:@(?P<mhz>[0-9]+))?")
CORE = re.compile(r"(?P<load>[0-9]+)%(?:@(?P<mhz>[0-9]+))?")
CLOCK = r"[0-9]+|\[[0-9]+(?:,[0-9]+)*\]"
NO_VALUE = "N/?A|-"
ENGINE = _words(
    r"(?P<name>[A-Z][A-Z0-9_]*) "
    rf"(?:(?P<off>off)|(?P<load>[0-9]+)%(?:@(?P<at>{CLOCK}))?|@(?P<only>{CLOCK})"
    rf"|(?P<alone>[0-9]+)|(?P<none>{NO_VALUE}))"
)
"""On Thor a clock without a load."""
TEMPERATURE = _words(
    rf"(?P<name>[A-Za-z]\w*)@(?:(?P<value>{SIGNED})C(?:/{SIGNED}C)?|(?:{NO_VALUE})C?)"
)
"""Since JetPack 7.2 a second figure stands behind the reading."""
WATTS = rf"-?{NUMBER}(?:mW|W)"
RAIL = _words(
    rf"(?P<name>[A-Z][A-Z0-9_]*) (?P<now>{WATTS})/(?P<mean>{WATTS})(?:/{WATTS})?"
    r"|(?P<bare>[A-Z][A-Z0-9_]*) (?P<bare_now>-?[0-9]+)/(?P<bare_mean>-?[0-9]+)(?:/-?[0-9]+)?"
)
"""Without a unit before JetPack 5; with a third figure since JetPack 7.2."""
NOT_KEPT = _words(
    r"\(lfb [^()]*\)|\(cached [0-9]+MB\)|IRAM [0-9]+/[0-9]+kB ?\(lfb [0-9]+kB\)"
    r"|MTS fg [0-9]+% bg [0-9]+%"
)
NOT_RAILS = ("RAM", "SWAP", "IRAM")
RAILS = ("VDD", "VIN", "POM", "NC")
OFF_C = -256.0
"""What the BPMP answers for a zone whose part has no power."""
WHOLE_MODULE = ("VDD_IN", "POM_5V_IN")
"""Rails that feed the whole module; on an AGX Orin none does, and the rails are parts of it."""
MILLIWATTS = {"mW": Decimal(1), "W": Decimal(1000)}


class Core(Spec):
    """A CPU core; load and clock are None when it is off."""

    load_percent: int | None
    clock_mhz: int | None


class JetsonEngine(Spec):
    """A part with a clock of its own: EMC_FREQ (memory), GR3D_FREQ (GPU), NVENC, VIC, APE, ..."""

    name: str
    off: bool
    load_percent: int | None
    clocks_mhz: tuple[int, ...]
    """The clock of each of its clusters; one on most."""


class JetsonTemperature(Spec):
    name: str
    temperature_c: float | None


class Rail(Spec):
    name: str
    """'NC' is not connected, and may be there twice."""
    power_mw: int
    mean_power_mw: int
    """Since tegrastats was started."""


class TegrastatsSample(Spec):
    time: str | None
    """MM-DD-YYYY HH:MM:SS on the board's clock; older releases print none."""
    ram_used_mib: int
    ram_total_mib: int
    swap_used_mib: int | None
    swap_total_mib: int | None
    cores: tuple[Core, ...] | None
    engines: tuple[JetsonEngine, ...]
    temperatures: tuple[JetsonTemperature, ...]
    rails: tuple[Rail, ...]

    @property
    def module_power_mw(self) -> int | None:
        """The power of the rail that feeds the whole module, where there is one."""
        return only(rail.power_mw for rail in self.rails if rail.name in WHOLE_MODULE)


class Tegrastats(VendorText):
    """What is unread are words of a line, or all of one that is no sample."""

    samples: tuple[TegrastatsSample, ...]
    """In order. A line without RAM, or with two, is a broken one and is left out."""


class _Read(NamedTuple):
    sample: TegrastatsSample | None
    unread: tuple[str, ...]


def parse_tegrastats(text: str) -> Tegrastats:
    """Read every whole line; the last one, if tegrastats was killed while it wrote it, is none."""
    lines = [_line(line) for line in complete_lines(text)]
    return Tegrastats(
        samples=tuple(line.sample for line in lines if line.sample is not None),
        unread=unread(words for line in lines for words in line.unread),
    )


def _line(line: str) -> _Read:
    memory = [(integer(ram["used"]), integer(ram["total"])) for ram in RAM.finditer(line)]
    used, total = memory[0] if len(memory) == 1 else (None, None)
    if used is None or total is None:
        return _Read(None, (line,) if re.search("[0-9]", line) else ())
    time, swap, cpu = TIME.match(line), SWAP.search(line), CPU.search(line)
    cores = _cores(cpu) if cpu else None
    rails = dict(_rails(line))
    engines = list(filter(_is_engine, ENGINE.finditer(line)))
    temperatures = list(TEMPERATURE.finditer(line))
    understood = [*RAM.finditer(line), *NOT_KEPT.finditer(line), *engines, *temperatures, *rails]
    understood += [found for found in (time, swap) if found is not None]
    understood += [cpu] if cpu is not None and cores is not None else []
    sample = TegrastatsSample(
        time=time.group() if time else None,
        ram_used_mib=used,
        ram_total_mib=total,
        swap_used_mib=integer(swap["used"]) if swap else None,
        swap_total_mib=integer(swap["total"]) if swap else None,
        cores=cores,
        engines=tuple(map(_engine, engines)),
        temperatures=tuple(map(_temperature, temperatures)),
        rails=tuple(rails.values()),
    )
    return _Read(sample, tuple(_between(line, understood)))


def _between(line: str, understood: list[re.Match[str]]) -> Iterator[str]:
    """The words of the line that are in none of the matches."""
    at = 0
    for begin, end in sorted(found.span() for found in understood):
        yield from filter(None, [line[at:begin].strip()])
        at = max(at, end)
    yield from filter(None, [line[at:].strip()])


def _cores(cpu: re.Match[str]) -> tuple[Core, ...] | None:
    """None when one of them is neither off nor a load and a clock."""
    cores = []
    for word in cpu["cores"].split(","):
        found = CORE.fullmatch(word.strip())
        if found is not None:
            clock = integer(cpu["mhz"] if found["mhz"] is None else found["mhz"])
            core = Core(load_percent=integer(found["load"]), clock_mhz=clock)
        elif word.strip() == "off":
            core = Core(load_percent=None, clock_mhz=None)
        else:
            return None
        cores.append(core)
    return tuple(cores)


def _is_engine(found: re.Match[str]) -> bool:
    """A name without a value may be that of a rail too."""
    is_rail = found["none"] is not None and found["name"].startswith(RAILS)
    return not is_rail and found["name"] not in NOT_RAILS


def _engine(found: re.Match[str]) -> JetsonEngine:
    clocks = [
        integer(word)
        for word in re.findall(r"[0-9]+", found["at"] or found["only"] or found["alone"] or "")
    ]
    return JetsonEngine(
        name=found["name"],
        off=found["off"] is not None,
        load_percent=integer(found["load"]),
        clocks_mhz=tuple(clock for clock in clocks if clock is not None),
    )


def _temperature(found: re.Match[str]) -> JetsonTemperature:
    value = number(found["value"])
    return JetsonTemperature(name=found["name"], temperature_c=None if value == OFF_C else value)


def _rails(line: str) -> Iterator[tuple[re.Match[str], Rail]]:
    for found in RAIL.finditer(line):
        name = found["name"] or found["bare"]
        now, mean = (
            _milliwatts(found[key] if found["name"] else found[f"bare_{key}"])
            for key in ("now", "mean")
        )
        if name not in NOT_RAILS and now is not None and mean is not None:
            yield found, Rail(name=name, power_mw=now, mean_power_mw=mean)


def _milliwatts(text: str) -> int | None:
    """None for what is no whole number of mW."""
    unit = text.lstrip("-.+0123456789eE")
    value = scaled(text[: len(text) - len(unit)], MILLIWATTS[unit or "mW"])
    return int(value) if value is not None and value.is_integer() else None
