"""What a board is, and how it is at one moment."""

from edgecompress.spec.base import Many, Spec


class DeviceState(Spec):
    """Read before and after a run; None where the board does not say."""

    governor: str | None
    clock_mhz: float | None
    temperature_c: float | None
    throttled: str | None
    """The board's own word for it, such as '0x50005'."""
    load_1m: float | None
    unread: tuple[str, ...] | None = None
    """What the board said of it that looks like data and was not understood, fit to be shown."""


class Probe(Spec):
    """What the board is and has."""

    machine: str
    """As uname says it: x86_64, aarch64."""
    system: str
    python: str
    cpu_model: str | None
    cpu_features: Many[str]
    cores: int
    memory_bytes: int | None
    versions: dict[str, str]
    """Those of what was found: numpy, onnxruntime, ..."""
    kernel_machine: str | None = None
    """As the kernel calls it, which no emulator of programs changes; Linux 6.1 and later say so."""
    python_bits: int | None = None
    trtexec: str | None = None
    """Its path, where TensorRT's tool is."""
    free_disk_bytes: int | None = None
    """Where the agent works."""
    available_memory_bytes: int | None = None
    epoch_s: float | None = None
    """Seconds since 1970, by the board's clock."""
    state: DeviceState | None = None
    is_emulator: bool = False
    """Android says so of itself."""
