"""NVIDIA's `tegrastats`, on TX2, Xavier and Orin: one line a sample.

Format: Jetson Linux Developer Guide, "tegrastats Utility". Its MB are 2^20 bytes.
"""

import re

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import NUMBER, complete_lines, integer, number, only

TIME = re.compile(r"[0-9]{2}-[0-9]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}(?!\S)")
ALONE = r"(?<!\S){}(?!\S)"
"""A word has to end where its pattern does, or a broken number would pass for a shorter one."""
RAM = re.compile(ALONE.format(r"RAM (?P<used>[0-9]+)/(?P<total>[0-9]+)MB"))
SWAP = re.compile(ALONE.format(r"SWAP (?P<used>[0-9]+)/(?P<total>[0-9]+)MB"))
CPU = re.compile(ALONE.format(r"CPU \[(?P<cores>[^\[\]]*)\]"))
CORE = re.compile(r"(?P<load>[0-9]+)%@(?P<mhz>[0-9]+)")
CLOCK = r"[0-9]+|\[[0-9]+(?:,[0-9]+)*\]"
ENGINE = re.compile(
    ALONE.format(
        r"(?P<name>[A-Z][A-Z0-9_]*) "
        rf"(?:(?P<off>off)|(?P<load>[0-9]+)%(?:@(?P<at>{CLOCK}))?|(?P<alone>[0-9]+))"
    )
)
TEMPERATURE = re.compile(ALONE.format(rf"(?P<name>[A-Za-z]\w*)@(?P<value>-?{NUMBER})C"), re.ASCII)
RAIL = re.compile(
    ALONE.format(
        r"(?P<name>[A-Z][A-Z0-9_]*) (?P<now>[0-9]+)(?P<unit>(?:mW)?)/(?P<mean>[0-9]+)(?P=unit)"
    )
)
"""Without a unit before JetPack 5."""
NOT_RAILS = ("RAM", "SWAP", "IRAM")
OFF_C = -256.0
"""What the BPMP answers for a zone whose part has no power."""
WHOLE_MODULE = ("VDD_IN", "POM_5V_IN")
"""Rails that feed the whole module; on an AGX Orin none does, and the rails are parts of it."""


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
    """Of each of its clusters; one on most."""


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
        """Of the rail that feeds the whole module, where there is one."""
        return only(rail.power_mw for rail in self.rails if rail.name in WHOLE_MODULE)


class Tegrastats(Spec):
    samples: tuple[TegrastatsSample, ...]
    """In order. A line without RAM, or with two, is a broken one and is left out."""


def parse_tegrastats(text: str) -> Tegrastats:
    """Read every whole line; the last one, if tegrastats was killed while it wrote it, is none."""
    samples = map(_sample, complete_lines(text))
    return Tegrastats(samples=tuple(sample for sample in samples if sample is not None))


def _sample(line: str) -> TegrastatsSample | None:
    memory = [(integer(ram["used"]), integer(ram["total"])) for ram in RAM.finditer(line)]
    if len(memory) != 1:
        return None
    used, total = memory[0]
    if used is None or total is None:
        return None
    time = TIME.match(line)
    swap = SWAP.search(line)
    cpu = CPU.search(line)
    return TegrastatsSample(
        time=time.group() if time else None,
        ram_used_mib=used,
        ram_total_mib=total,
        swap_used_mib=integer(swap["used"]) if swap else None,
        swap_total_mib=integer(swap["total"]) if swap else None,
        cores=_cores(cpu["cores"]) if cpu else None,
        engines=tuple(map(_engine, ENGINE.finditer(line))),
        temperatures=tuple(map(_temperature, TEMPERATURE.finditer(line))),
        rails=_rails(line),
    )


def _cores(text: str) -> tuple[Core, ...] | None:
    """None when one of them is neither off nor a load and a clock."""
    cores = []
    for word in text.split(","):
        found = CORE.fullmatch(word)
        if found is not None:
            core = Core(load_percent=integer(found["load"]), clock_mhz=integer(found["mhz"]))
        elif word == "off":
            core = Core(load_percent=None, clock_mhz=None)
        else:
            return None
        cores.append(core)
    return tuple(cores)


def _engine(found: re.Match[str]) -> JetsonEngine:
    clocks = [integer(word) for word in re.findall(r"[0-9]+", found["at"] or found["alone"] or "")]
    return JetsonEngine(
        name=found["name"],
        off=found["off"] is not None,
        load_percent=integer(found["load"]),
        clocks_mhz=tuple(clock for clock in clocks if clock is not None),
    )


def _temperature(found: re.Match[str]) -> JetsonTemperature:
    value = number(found["value"])
    return JetsonTemperature(name=found["name"], temperature_c=None if value == OFF_C else value)


def _rails(line: str) -> tuple[Rail, ...]:
    rails = []
    for found in RAIL.finditer(line):
        now, mean = integer(found["now"]), integer(found["mean"])
        if found["name"] not in NOT_RAILS and now is not None and mean is not None:
            rails.append(Rail(name=found["name"], power_mw=now, mean_power_mw=mean))
    return tuple(rails)
