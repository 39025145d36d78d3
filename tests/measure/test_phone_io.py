"""Arrays as bytes without shapes: how many, in which order, and what cannot be told apart."""

from pathlib import Path

import numpy as np
import pytest

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import AgentError, ArtifactError
from edgecompress.measure.phone_io import (
    filled,
    fixed_batch,
    inference_of,
    outputs_of_runs,
    samples_in,
)

Shape = tuple[int | str, ...]


def tensors(shapes: dict[str, Shape], dtype: str) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name=n, shape=shape, dtype=dtype) for n, shape in shapes.items())


def artifact(inputs: dict[str, Shape], outputs: dict[str, Shape] | None = None) -> Artifact:
    """Takes float32 and gives int16."""
    return Artifact.model_construct(
        path=Path("m.tflite"),
        inputs=tensors(inputs, "float32"),
        outputs=tensors(outputs or {"y": ("n", 3)}, "int16"),
    )


def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, "float32") for name, shape in shapes.items()}


def test_sizes_of_one_inference() -> None:
    file = artifact({"a": ("n", 4, 2), "b": ("n", 5)}, {"y": ("n", 3), "z": (2, 7)})
    one = inference_of(file, arrays(a=(6, 4, 2), b=(6, 5)), rows=2)
    assert one.shapes_flag == "2,4,2:2,5"
    assert one.input_bytes == (2 * 4 * 2 * 4, 2 * 5 * 4)
    assert (one.outputs, one.output_bytes) == (((2, 3), (2, 7)), (2 * 3 * 2, 2 * 7 * 2))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"a": ("n", 4)}, None),
        ({"a": (8, 4), "b": (8, 5)}, 8),
        ({"a": ("n", 4), "b": (8, 5)}, 8),
        ({"a": ()}, None),
    ],
)
def test_how_many_samples_a_file_takes_at_once(
    shapes: dict[str, Shape], expected: int | None
) -> None:
    assert fixed_batch(artifact(shapes)) == expected


def test_inputs_of_different_batches_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"different fixed batch sizes: \[2, 8\]"):
        fixed_batch(artifact({"a": (8, 4), "b": (2, 5)}))


@pytest.mark.parametrize("shapes", [{"a": (2, 4), "b": (3, 4)}, {"a": (0, 4)}, {"a": ()}, {}])
def test_every_input_holds_the_same_number_of_samples(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ArtifactError, match="the same number of samples, not 0"):
        samples_in(artifact({}), arrays(**shapes))


def test_the_last_inference_is_filled_with_copies_of_the_last_sample() -> None:
    named = {"a": np.arange(10, dtype="float32")[:, None]}
    for start, stop, rows, expected in (
        (4, 7, 4, [4, 5, 6, 6]),
        (4, 9, 4, [4, 5, 6, 7, 8, 8, 8, 8]),
        (4, 8, 4, [4, 5, 6, 7]),
        (9, 10, 1, [9]),
    ):
        assert filled(named, start, stop, rows)["a"].ravel().tolist() == expected


def test_outputs_of_all_runs_are_told_apart() -> None:
    file = artifact({"a": ("n", 4)}, {"y": ("n", 3), "z": ("n", 2, 2)})
    one = inference_of(file, arrays(a=(6, 4)), rows=2)
    y = np.arange(18, dtype="int16").reshape(3, 2, 3)
    z = 100 + np.arange(24, dtype="int16").reshape(3, 2, 2, 2)
    content = b"".join(y[run].tobytes() + z[run].tobytes() for run in range(3))
    first, second = outputs_of_runs(file, one, content, runs=3)
    np.testing.assert_array_equal(first, y.reshape(6, 3))
    np.testing.assert_array_equal(second, z.reshape(6, 2, 2))
    for wrong in (content[:-1], content + b"1"):
        with pytest.raises(AgentError, match=rf"wrote {len(wrong)} bytes of outputs, not 28 in 3"):
            outputs_of_runs(file, one, wrong, runs=3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), "the first dimension must be the batch"),
        ((3, 4), r"output 'y' has shape \[3, 4\] for 2 samples"),
        (("n", "boxes"), "all but the batch must be fixed"),
    ],
)
def test_outputs_whose_size_is_not_known_before(shape: Shape, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        inference_of(artifact({"a": ("n", 4)}, {"y": shape}), arrays(a=(2, 4)), rows=2)


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 1), (2,)])
def test_inputs_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArtifactError, match=r"input 'a' takes float32 \['n', 4\], not float32"):
        inference_of(artifact({"a": ("n", 4)}), arrays(a=shape), rows=2)
