"""The examples in C++ are compiled, and prepare pictures as their files declare."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs Pillow: pip install '.[images]'")

from declared_files import DECLARED, EXACT, LABELS, RULES, DeclaredFiles, PictureFiles

from edgecompress.contract.picture import drawn, read_picture, write_png
from edgecompress.contract.prepare import prepare
from edgecompress.measure.tensors import feed
from edgecompress.pipeline.contract import run_on
from edgecompress.pipeline.formats import describe_file
from edgecompress.progress import SilentProgress
from edgecompress.spec.preprocessing import AudioPreprocessing, ImagePreprocessing

SOURCES = Path(__file__).parents[2] / "examples" / "cpp"
FOLDERS = (Path("/usr/include"), Path("/usr/local/include"))
"""Where installed headers are."""
LITERT_SDK = "EDGECOMPRESS_LITERT_SDK"
"""An environment variable: a folder with the headers of LiteRT."""


def needs(header: str, package: str) -> Path:
    """The folder that a header is found from; skips the test where it is not."""
    for folder in FOLDERS:
        if (folder / header).is_file():
            return folder
    pytest.skip(f"needs {header}: apt-get install {package}")


def compiled(name: str, library: Path, folder: Path, *settings: str) -> Path:
    """An example as a program; skips the test where there is nothing to compile it with."""
    cmake = shutil.which("cmake")
    if cmake is None or (shutil.which("c++") is None and "CXX" not in os.environ):
        pytest.skip("needs CMake and a C++ compiler: apt-get install cmake g++")
    needs("nlohmann/json.hpp", "nlohmann-json3-dev")
    needs("stb/stb_image.h", "libstb-dev")
    made = folder / "build"
    given = [f"-D{name.removeprefix('run_').upper()}_LIBRARY={library}", *settings]
    # Unoptimised, which compiles in half the time.
    plain = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0")
    first = [cmake, "-S", SOURCES, "-B", made, *plain, *given]
    # A make that started these tests would have its say in this one.
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    for command in (first, [cmake, "--build", made, "--target", name]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stdout + done.stderr
    return made / name


def library_of(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {package}: pip install '.[dev]'")
    found = next(Path(spec.origin).parent.glob(pattern), None)
    if found is None:
        pytest.skip(f"{package} brings no {pattern} here")
    return found


@pytest.fixture(scope="module")
def run_onnxruntime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("onnxruntime/onnxruntime_cxx_api.h", "libonnxruntime-dev")
    folder = tmp_path_factory.mktemp("onnxruntime")
    # The package has the library without the name that programs ask for it by.
    link = folder / "libonnxruntime.so.1"
    link.symlink_to(library_of("onnxruntime", "capi/libonnxruntime.so.1.*"))
    return compiled("run_onnxruntime", link, folder)


@pytest.fixture(scope="module")
def run_litert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sdk = os.environ.get(LITERT_SDK)
    if sdk is None:
        pytest.skip(f"needs {LITERT_SDK}: a folder with LiteRT's headers; no package has them")
    library = library_of("ai_edge_litert", "libLiteRt.so")
    folder = tmp_path_factory.mktemp("litert")
    return compiled("run_litert", library, folder, f"-DLITERT_SDK={sdk}")


def ran(program: Path, *arguments: Path) -> "subprocess.CompletedProcess[str]":
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def given_by(program: Path, file: Path, path: Path) -> np.ndarray:
    """What a program gives the network, whose numbers are those that the file must be given."""
    tensor = path.with_suffix(".npy")
    done = ran(program, file, path, tensor)
    assert done.returncode == 0, done.stderr
    artifact = describe_file(file)
    declared = artifact.preprocessing
    assert isinstance(declared, ImagePreprocessing)
    (wanted,) = feed(artifact, [prepare(read_picture(path), declared)]).values()
    given: np.ndarray = np.load(tensor)
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    level = 1.0
    if given.dtype == np.float32:
        level = declared.scale / np.mean(declared.std if declared.std else (1.0,))
    assert np.abs(given.astype(float) - wanted).mean() <= EXACT * level, declared
    return given


def shows(program: Path, file: Path, path: Path) -> None:
    """The classes that it prints are those that edgecompress finds."""
    scores = run_on(file, path, SilentProgress()).outputs["y"][0]
    best = scores.argsort()[::-1][:5]
    lines = [line.split(maxsplit=2) for line in ran(program, file, path).stdout.splitlines()]
    assert [label for _, _, label in lines] == [LABELS[index] for index in best]
    assert np.allclose([float(told) for _, told, _ in lines], scores[best], atol=1e-3)


def test_onnxruntime_is_given_what_its_file_declares(
    run_onnxruntime: Path, declared_files: DeclaredFiles, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    write_png(drawn(DECLARED), path)
    file = declared_files("local-onnxruntime").path
    given_by(run_onnxruntime, file, path)
    shows(run_onnxruntime, file, path)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_pictures_are_prepared_as_the_reference_has_it(
    interpolation: str, run_onnxruntime: Path, tmp_path: Path
) -> None:
    made = PictureFiles(tmp_path)
    colours = ("rgb", "bgr", "gray")
    for number, (rule, antialias) in enumerate(product(RULES, (True, False))):
        declared = ImagePreprocessing.model_validate(
            {
                "size": (24, 32) if number % 2 else (40, 20),
                "colours": colours[number % 3],
                "interpolation": interpolation,
                "antialias": antialias,
                "normalised_in": "file" if number % 4 == 0 else "application",
                **rule,
            }
        )
        # One that gets smaller and one that gets larger.
        for picture in (drawn(declared), drawn(ImagePreprocessing(size=(9, 6)))):
            path = tmp_path / "picture.png"
            write_png(picture, path)
            given_by(run_onnxruntime, made(declared), path)


def test_what_cannot_be_done_is_told_in_a_line(run_onnxruntime: Path, tmp_path: Path) -> None:
    made, path = PictureFiles(tmp_path), tmp_path / "picture.png"
    write_png(drawn(DECLARED), path)
    (tmp_path / "no.png").write_text("hello")
    sound = AudioPreprocessing(sampling_rate_hz=16000, samples=192)
    for arguments, words in (
        ((made(None), path), "does not say how its input is prepared"),
        ((made(sound), path), "takes audio; this is an example for pictures"),
        ((made(DECLARED), tmp_path / "no.png"), "no.png: "),
        ((tmp_path / "none.onnx", path), "none.onnx"),
        ((path,), "usage: run_onnxruntime MODEL.onnx PICTURE"),
    ):
        done = ran(run_onnxruntime, *arguments)
        assert done.returncode in (1, 2)
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_litert_is_given_what_its_file_declares(
    run_litert: Path, declared_files: DeclaredFiles, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    write_png(drawn(DECLARED), path)
    file = declared_files("local-litert").path
    given_by(run_litert, file, path)
    shows(run_litert, file, path)
    made = PictureFiles(tmp_path)
    for dtype, layout in (("int8", "nhwc"), ("uint8", "nhwc"), ("float32", "nchw")):
        where = "file" if dtype == "uint8" else "application"
        declared = DECLARED.model_copy(update={"normalised_in": where})
        given_by(run_litert, made.tflite(declared, dtype, layout), path)
