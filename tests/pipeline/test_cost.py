"""What a stage costs: CPU time with the processes that it starts, peak memory, energy."""

import subprocess
import sys
from pathlib import Path

from edgecompress.pipeline.cost import CostMeter

BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
MIB = 1 << 20


def test_processes_count_and_the_peak_is_the_stages_own() -> None:
    first = CostMeter()
    held = bytearray(300 * MIB)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    peak = first.cost().peak_rss_bytes
    del held
    second = CostMeter()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    cost = second.cost()
    assert cost.cpu_s >= 0.3
    if peak is not None and cost.peak_rss_bytes is not None:
        assert peak - cost.peak_rss_bytes > 200 * MIB


def test_a_meter_within_another_leaves_its_peak() -> None:
    outer = CostMeter()
    held = bytearray(300 * MIB)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    before = outer.cost().peak_rss_bytes
    del held
    inner = CostMeter(within=True)
    assert inner.cost().peak_rss_bytes is None
    after = outer.cost().peak_rss_bytes
    if before is not None and after is not None:
        # The kernel counts a few pages late.
        assert before - after < 100 * MIB


def test_energy_is_that_of_all_packages_and_none_where_the_counter_began_anew(
    tmp_path: Path,
) -> None:
    counters = [tmp_path / f"intel-rapl:{number}" / "energy_uj" for number in (0, 1)]
    for counter in counters:
        counter.parent.mkdir()
        counter.write_text("1000000\n")
    meter = CostMeter(powercap=tmp_path)
    counters[0].write_text("2500000\n")
    assert meter.cost().energy_j == 1.5
    counters[1].write_text("1\n")
    counters[0].write_text("1\n")
    assert meter.cost().energy_j is None
    assert CostMeter(powercap=tmp_path / "none").cost().energy_j is None
