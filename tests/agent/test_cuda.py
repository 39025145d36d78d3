"""ctypes over the CUDA runtime, against a recording that is compiled with the real prototypes."""

import ctypes
import importlib

import pytest
from tensorrt_recording import cudart


@pytest.fixture
def module(pyz, monkeypatch):
    monkeypatch.syspath_prepend(str(pyz))
    return importlib.import_module("edgecompress_agent.cuda")


@pytest.fixture
def cuda(module, monkeypatch):
    monkeypatch.setattr(module, "LIBRARIES", (str(cudart() / "libcudart.so"),))
    return module.Cuda()


def test_bytes_go_there_and_back(cuda):
    stream, host, back, device = cuda.stream(), cuda.malloc_host(4), cuda.malloc_host(4), 0
    device = cuda.malloc(4)
    ctypes.memmove(host, b"abcd", 4)
    cuda.to_device(device, host, 4, stream)
    cuda.to_host(back, device, 4, stream)
    cuda.wait(stream)
    assert ctypes.string_at(back, 4) == b"abcd"
    # An address does not fit in 32 bits: without prototypes it would be cut.
    assert device > 1 << 32
    cuda.free(device)
    cuda.free_host(host)


def test_the_time_between_two_events(cuda):
    stream, start, end = cuda.stream(), cuda.event(), cuda.event()
    cuda.record(start, stream)
    cuda.record(end, stream)
    cuda.wait(stream)
    assert cuda.elapsed_ms(start, end) == 1.0


def test_the_gpu_is_named(cuda):
    assert tuple(cuda.gpu()) == ("recording", "0.0", "0.0")


def test_an_error_is_one_line(cuda, module):
    pageable = ctypes.create_string_buffer(4)
    with pytest.raises(module.Failure) as caught:
        cuda.to_device(cuda.malloc(4), ctypes.addressof(pageable), 4, cuda.stream())
    assert str(caught.value) == "CUDA: cudaMemcpyAsync: invalid argument (error 1)"
    with pytest.raises(module.Failure, match="cudaFree: invalid argument"):
        cuda.free(12345)


def test_without_the_library_one_line_says_so(module, monkeypatch):
    monkeypatch.setattr(module, "LIBRARIES", ("libcudart-of-nobody.so",))
    with pytest.raises(
        module.Failure, match=r"libcudart\.so.*apt install nvidia-jetpack"
    ) as caught:
        module.Cuda()
    assert caught.value.kind == "missing"
