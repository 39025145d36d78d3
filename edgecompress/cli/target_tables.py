"""What the commands on targets print for a person."""

from collections.abc import Sequence

from rich.console import Console

from edgecompress.cli.printing import fields, table
from edgecompress.spec.native import native_cpu
from edgecompress.spec.recipe import weight_bits
from edgecompress.spec.target import Cpu, Target


def targets(found: Sequence[Target], console: Console) -> None:
    rows = [(t.name, f"{t.runtime.name} {t.runtime.version}", t.description) for t in found]
    table(console, ("target", "runtime", "what it is"), rows)


def target(found: Target, console: Console) -> None:
    activations, weights = found.quantization.activations, found.quantization.weights
    protocol = found.measurement
    fields(
        console,
        found.name,
        {
            "what it is": found.description,
            "cpu": _cpu(found),
            "runtime": f"{found.runtime.name} {found.runtime.version},"
            f" threads: {found.runtime.threads}",
            "activations": f"{activations.dtype} {activations.scheme}",
            "weights": f"{weights.dtype} {weights.granularity}, {weight_bits(found)} bits",
            "scales": found.quantization.scales,
            "channels": f"multiples of {found.round_to}",
            "sparsity": ", ".join(found.sparsity) or "none helps",
            "measurement": f"{protocol.turns} turns of at least {protocol.min_iterations}"
            f" inferences and {protocol.min_duration_s:g} s, after"
            f" {protocol.warmup_iterations} to warm up",
        },
    )


def _cpu(found: Target) -> str:
    if found.cpu == "native":
        return f"this machine's: {_cpu_line(native_cpu())}"
    return _cpu_line(found.cpu)


def _cpu_line(cpu: Cpu) -> str:
    features = ", ".join(cpu.features) or "no features named"
    return f"{cpu.architecture}, cores: {cpu.cores}, {features}"
