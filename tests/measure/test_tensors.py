"""Arrays on their way into and out of a file."""

import io
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.artifact import Artifact, TensorInfo
from edgecompress.errors import AgentError, StorageError, TaskError
from edgecompress.measure.tensors import (
    dequantize,
    feed,
    most_bytes,
    outputs_of,
    quantize,
    random_inputs,
    read_npz,
    write_npz,
)


def info(dtype: str = "float32", shape=("n", 4), scale=None, zero_point=None, name="x"):
    return TensorInfo(name=name, shape=shape, dtype=dtype, scale=scale, zero_point=zero_point)


def file(*inputs: TensorInfo) -> Artifact:
    return Artifact(
        path=Path("model.onnx"), format="onnx", sha256="", size_bytes=0, inputs=inputs, outputs=()
    )


def test_quantize_rounds_ties_to_even_and_saturates():
    real = np.array([-100, -0.25, 0.0, 0.25, 0.75, 0.8, 1000], "float32")
    quantized = quantize(real, info("uint8", scale=0.5, zero_point=10))
    assert quantized.dtype == np.uint8
    assert quantized.tolist() == [0, 10, 10, 10, 12, 12, 255]


def test_a_zero_point_that_is_not_said_is_zero():
    tensor = info("int8", scale=0.5)
    assert quantize(np.array([-1.0, 1.0], "float32"), tensor).tolist() == [-2, 2]
    assert dequantize(np.array([-2, 2], "int8"), tensor).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("array", "tensor"),
    [
        (np.ones(3, "float32"), info("float32", scale=0.5, zero_point=0)),
        (np.ones(3, "int8"), info("int8", scale=0.5, zero_point=0)),
        (np.ones(3, "float32"), info("int64")),
    ],
)
def test_quantize_leaves_the_rest_alone(array, tensor):
    assert quantize(array, tensor) is array


@given(st.integers(-128, 127), st.floats(1e-4, 10), st.lists(st.integers(-128, 127), min_size=1))
def test_dequantize_then_quantize_is_the_identity(zero_point, scale, values):
    tensor = info("int8", scale=scale, zero_point=zero_point)
    steps = np.array(values, "int8")
    real = dequantize(steps, tensor)
    assert real.dtype == np.float32
    np.testing.assert_allclose(real, (steps.astype(int) - zero_point) * scale, rtol=1e-6)
    assert quantize(real, tensor).tolist() == values


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], r"the task gives 0 inputs, model.onnx takes 1 \(x\)"),
        ([np.ones((2, 5), "float32")], r"takes shape \['n', 4\], the task gives \[2, 5\]"),
        ([np.ones((2,), "float32")], r"takes shape \['n', 4\], the task gives \[2\]"),
        ([np.ones((2, 4, 1), "float32")], r"takes shape \['n', 4\], the task gives \[2, 4, 1\]"),
        ([np.ones((2, 4), "float64")], "takes float32, the task gives float64"),
    ],
)
def test_feed_names_what_does_not_fit(arrays, message):
    with pytest.raises(TaskError, match=message):
        feed(file(info()), arrays)


def test_feed_goes_by_order_and_leaves_the_batch_to_the_agent():
    first, second = np.ones((7, 4), "float32"), np.zeros((7, 2), "float32")
    fed = feed(file(info(shape=(1, 4), name="b"), info(shape=(1, 2), name="a")), [first, second])
    assert list(fed) == ["b", "a"]
    assert fed["b"] is first


def test_random_inputs_fit_the_file_and_repeat():
    model = file(
        info(shape=("n", 3, 4)),
        info("int64", shape=(1, 5), name="ids"),
        info("int8", shape=("n", 6), scale=0.02, zero_point=-1, name="q"),
    )
    arrays = random_inputs(model, seed=1)
    assert [array.shape for array in arrays] == [(1, 3, 4), (1, 5), (1, 6)]
    assert list(feed(model, arrays)) == ["x", "ids", "q"]
    assert set(arrays[1].ravel().tolist()) == {0, 1}
    for array, again in zip(arrays, random_inputs(model, seed=1), strict=True):
        np.testing.assert_array_equal(array, again)


def image(layout, dtype="float32", shape=(1, 4, 5, 3), **steps) -> Artifact:
    tensor = TensorInfo(name="x", shape=shape, dtype=dtype, layout=layout, **steps)
    return file(tensor)


def test_feed_permutes_images_for_files_that_take_them_channels_last():
    task = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32")

    fed = feed(image("nhwc"), [task])["x"]

    assert fed.flags.c_contiguous
    np.testing.assert_array_equal(fed, task.transpose(0, 2, 3, 1))
    assert feed(image("nchw", shape=(1, 3, 4, 5)), [task])["x"] is task
    with pytest.raises(
        TaskError, match=r"takes shape \[1, 4, 5, 3\], the task gives \[2, 3, 4, 5\]"
    ):
        feed(image(None), [task])


def test_feed_permutes_before_it_quantises():
    task = np.arange(60, dtype="float32").reshape(1, 3, 4, 5)
    fed = feed(image("nhwc", "int8", scale=1.0, zero_point=-30), [task])["x"]
    assert fed.dtype == np.int8
    np.testing.assert_array_equal(fed, task.transpose(0, 2, 3, 1) - 30)


def test_random_inputs_are_a_tasks_whatever_the_layout():
    (array,) = random_inputs(image("nhwc", "int8", scale=0.1, zero_point=0), seed=0)
    assert (array.shape, array.dtype) == ((1, 3, 4, 5), np.float32)
    assert feed(image("nhwc", "int8", scale=0.1, zero_point=0), [array])["x"].shape == (1, 4, 5, 3)


def test_feed_makes_indices_as_wide_as_the_file_has_them():
    indices = np.array([[-(2**31), 2**31 - 1]], "int64")
    fed = feed(file(info("int32", shape=(1, 2))), [indices])["x"]
    assert fed.dtype == np.int32
    np.testing.assert_array_equal(fed, indices)
    assert feed(file(info("int64", shape=(1, 2))), [fed])["x"].dtype == np.int64
    assert feed(file(info("int32", shape=(0, 2))), [indices[:0].astype("int32")])["x"].size == 0
    for step in (-1, 1):
        with pytest.raises(TaskError, match="takes int32, the task gives int64"):
            feed(file(info("int32", shape=(1, 2))), [indices + step])


def test_npz_keeps_awkward_names_and_order(tmp_path):
    arrays = {"file": np.arange(3), "b/1:0": np.float32(2).reshape(()), "a": np.zeros((0, 2))}
    write_npz(tmp_path / "x.npz", arrays)
    found = read_npz(tmp_path / "x.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape


def test_npz_that_cannot_be_written(tmp_path):
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        write_npz(tmp_path / "no" / "x.npz", {})


def test_npz_with_flipped_bytes_is_read_or_refused(tmp_path):
    path, random = tmp_path / "x.npz", Random(0)
    write_npz(path, {"x": np.zeros((3, 4), np.float32), "y": np.arange(3)})
    whole, refused = path.read_bytes(), 0
    for _ in range(1000):
        content = bytearray(whole)
        content[random.randrange(len(content))] = random.randrange(256)
        path.write_bytes(content)
        try:
            read_npz(path)
        except StorageError:
            refused += 1
    assert 500 < refused < 1000


def test_outputs_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    write_npz(path, {"y": np.array(["1.0", "2.0"])})
    one = Artifact.model_construct(path=Path("m.onnx"), outputs=(info("float32", name="y"),))
    with pytest.raises(AgentError, match="output 'y' came as <U3, not as float32"):
        outputs_of(one, path)


@pytest.mark.parametrize(
    "dtype", ["bool", "int32", "complex64", "float128", ">f4", "datetime64[s]"]
)
def test_outputs_of_another_kind_are_refused(tmp_path, dtype):
    path = tmp_path / "x.npz"
    write_npz(path, {"y": np.zeros((2, 3), dtype)})
    one = Artifact.model_construct(path=Path("m.onnx"), outputs=(info("float32", name="y"),))
    with pytest.raises(AgentError, match=r"output 'y' came as .*, not as float32"):
        outputs_of(one, path)
    write_npz(path, {"y": np.zeros((2, 3), "float16")})
    assert outputs_of(one, path)[0].dtype == np.float16


@pytest.mark.parametrize("shape", [(3, 3), (), (0, 3)])
def test_outputs_of_another_number_of_samples_are_refused(tmp_path, shape):
    path = tmp_path / "x.npz"
    write_npz(path, {"y": np.zeros(shape, np.float32)})
    one = Artifact.model_construct(path=Path("m.onnx"), outputs=(info("float32", name="y"),))
    with pytest.raises(AgentError, match=r"'y' came in the shape \[.*\] for 2 samples"):
        outputs_of(one, path, 2)


def archive(path: Path, content: bytes, names: tuple[str, ...] = ("y.npy",)) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            file.writestr(name, content)
    return path


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


RIGHT = npy(np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    ("content", "names", "why"),
    [
        (npy(np.array([{}], object), allow_pickle=True), ("y.npy",), "is not the array that its"),
        (RIGHT.replace(b"(2, 3)", b"(9**9,)"[:6]), ("y.npy",), "x.npz: not a readable"),
        (RIGHT.replace(b"(2, 3)", b"(9, 3)"), ("y.npy",), "is not the array that its header"),
        (RIGHT + b"more", ("y.npy",), "is not the array that its header"),
        (RIGHT.replace(b"(2, 3)", b"((((("), ("y.npy",), "x.npz: not a readable"),
        (b"\x93NUMPY\x07\0" + RIGHT[8:], ("y.npy",), "unknown version"),
        (RIGHT, ("y.npy", "y.npy"), "two arrays have the same name"),
        (RIGHT + bytes(64 << 20), ("y.npy",), "bytes of arrays, where at most"),
    ],
)
def test_archives_that_are_no_arrays(tmp_path, content, names, why):
    path = archive(tmp_path / "x.npz", content, names)
    tracemalloc.start()
    with pytest.raises(StorageError, match=why):
        read_npz(path, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_how_many_bytes_outputs_may_have():
    two = (info("int8", shape=("N", 10), name="a"), info("float32", shape=(1, 5, 5), name="b"))
    known = Artifact.model_construct(outputs=two)
    assert 100 * 35 * 4 < most_bytes(known, 100) < 100 * 35 * 8 + (1 << 20)
    free = Artifact.model_construct(outputs=(info("float32", shape=("N", "boxes"), name="a"),))
    assert most_bytes(free, 1) == 1 << 30


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_npz_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.npz: not a readable \.npz file"):
        read_npz(path)
