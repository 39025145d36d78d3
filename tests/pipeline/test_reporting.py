"""The points of a report's chart, and the files that a run keeps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edgecompress.pipeline.reporting import chart_points, keep_files


def built(metric: float, format: str = "onnx") -> Any:
    return SimpleNamespace(
        evaluation=SimpleNamespace(value=metric),
        artifact=SimpleNamespace(format=format, sha256=f"{metric}"),
        macs=int(100 * metric),
        params=int(10 * metric),
    )


def compared(before_ms: float, after_ms: float) -> Any:
    of = SimpleNamespace
    return of(baseline=of(latency_ms_p50=before_ms), candidate=of(latency_ms_p50=after_ms))


PRUNED = SimpleNamespace(name="pruned", metric=0.3)
TUNED = SimpleNamespace(name="fine-tuned", metric=0.6)


def points(
    way: tuple[object, object], *, halfway: bool = True, comparison: Any = None
) -> list[tuple[str, float, float | None]]:
    """Name, metric and p50 of each; a device says 7 ms of what lies between."""
    results: Any = SimpleNamespace(
        smaller=way[0],
        recovered=way[1],
        baseline=built(0.9),
        halfway=built(0.6) if halfway else None,
        candidate=built(0.8),
    )
    found = chart_points(results, comparison, 7.0 if halfway else None)
    assert [point.macs for point in found if point.name != "pruned"] == [
        int(100 * point.metric) for point in found if point.name != "pruned"
    ]
    return [(point.name, point.metric, point.latency_ms_p50) for point in found]


def test_from_the_original_to_what_ships() -> None:
    assert points((PRUNED, TUNED), comparison=compared(9.0, 3.0)) == [
        ("original", 0.9, 9.0),
        ("pruned", 0.3, 7.0),
        ("fine-tuned", 0.6, 7.0),
        ("shipped", 0.8, 3.0),
    ]


def test_what_is_only_pruned_or_never_scored_is_one_point() -> None:
    trained = SimpleNamespace(name="trained", metric=0.9)
    unscored = SimpleNamespace(name="pruned", metric=None)
    for way in ((PRUNED, PRUNED), (trained, TUNED), (unscored, TUNED)):
        names = [name for name, _, _ in points(way)]
        assert names == ["original", way[1].name, "shipped"]
    names = [name for name, _, _ in points((PRUNED, TUNED), halfway=False)]
    assert names == ["original", "shipped"]


def test_a_run_keeps_both_files_by_their_formats(tmp_path: Path) -> None:
    copied: list[tuple[str, Path]] = []
    store = SimpleNamespace(copy_to=lambda sha256, path: copied.append((sha256, path)))
    job: Any = SimpleNamespace(stages=SimpleNamespace(store=store))
    kept = keep_files(job, tmp_path, built(0.5), built(0.25, "tflite"))
    assert copied == [("0.25", tmp_path / "model.tflite"), ("0.5", tmp_path / "baseline.onnx")]
    assert [(each.path, each.format, each.sha256) for each in kept] == [
        (str(tmp_path / "model.tflite"), "tflite", "0.25"),
        (str(tmp_path / "baseline.onnx"), "onnx", "0.5"),
    ]
