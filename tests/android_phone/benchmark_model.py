"""What TFLite's benchmark_model does and prints, done by ai-edge-litert on this machine.

Run as a program. It has XNNPACK; NNAPI takes no node and GPU does not start, as where there is
none. Named *_old, it prints no percentiles and knows no --output_filepath, as before 2020.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

IS_OLD = Path(sys.argv[0]).name.endswith("_old")
DEFAULTS = {
    "graph": "",
    "num_threads": "-1",
    "warmup_runs": "1",
    "warmup_min_secs": "0.5",
    "num_runs": "50",
    "min_secs": "1.0",
    "max_secs": "150.0",
    "input_layer": "",
    "input_layer_shape": "",
    "input_layer_value_files": "",
    "use_xnnpack": "",
    "use_gpu": "false",
    "use_nnapi": "false",
    "disable_nnapi_cpu": "true",
    **({} if IS_OLD else {"output_filepath": ""}),
}


class Failed(Exception):
    pass


def info(text: str) -> None:
    print(f"INFO: {text}")


def main() -> None:
    flags = dict(DEFAULTS)
    unknown = []
    for argument in sys.argv[1:]:
        name, _, value = argument.removeprefix("--").partition("=")
        if name in flags:
            flags[name] = value
        else:
            unknown.append(argument)
    info("STARTING!")
    if unknown:
        print(f"WARN: Unconsumed cmdline flags: {' '.join(unknown)}")
    info(f"Num threads: [{flags['num_threads']}]")
    info(f"Graph: [{flags['graph']}]")
    try:
        benchmark(flags)
    except Failed as failure:
        print(f"ERROR: {failure}", file=sys.stderr)
        print("ERROR: Benchmarking failed.", file=sys.stderr)
        sys.exit(1)


def benchmark(flags: dict[str, str]) -> None:
    start_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter_ns()
    interpreter = open_interpreter(flags)
    inputs = interpreter.get_input_details()
    shapes = [[int(n) for n in s.split(",")] for s in flags["input_layer_shape"].split(":") if s]
    for detail, shape in zip(inputs, shapes, strict=bool(shapes)):
        if len(shape) != len(detail["shape"]):
            raise Failed(f"Input tensor should have {len(detail['shape'])} dimensions!")
        interpreter.resize_tensor_input(detail["index"], shape)
    interpreter.allocate_tensors()
    apply_delegates(flags, interpreter)
    init_us = (time.perf_counter_ns() - started) // 1000
    init_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_kb
    info(f"The input model file size (MB): {Path(flags['graph']).stat().st_size / 1e6:g}")
    info(f"Initialized session in {init_us / 1e3:g}ms.")
    values = load_values(flags, interpreter)

    def invoke() -> float:
        for index, value in values.items():
            interpreter.set_tensor(index, value)
        start = time.perf_counter_ns()
        interpreter.invoke()
        return (time.perf_counter_ns() - start) // 1000

    most = float(flags["max_secs"])
    warmup = run(invoke, int(flags["warmup_runs"]), float(flags["warmup_min_secs"]), most)
    steady = run(invoke, int(flags["num_runs"]), float(flags["min_secs"]), most)
    overall_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_kb
    info(
        f"Inference timings in us: Init: {init_us}, First inference: {warmup[0]:g},"
        f" Warmup (avg): {statistics.mean(warmup):g}, Inference (avg): {statistics.mean(steady):g}"
    )
    info(
        "Memory footprint delta from the start of the tool (MB):"
        f" init={init_kb / 1024:g} overall={overall_kb / 1024:g}"
    )
    if flags.get("output_filepath"):
        outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
        Path(flags["output_filepath"]).write_bytes(b"".join(o.tobytes() for o in outputs))


def open_interpreter(flags: dict[str, str]) -> Interpreter:
    kernels = OpResolverType.AUTO
    if flags["use_xnnpack"] == "false":
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        return Interpreter(
            model_path=flags["graph"],
            num_threads=int(flags["num_threads"]),
            experimental_op_resolver_type=kernels,
        )
    except ValueError:
        raise Failed(f"Failed to load model {flags['graph']}") from None


def apply_delegates(flags: dict[str, str], interpreter: Interpreter) -> None:
    if flags["use_gpu"] == "true":
        info("GPU delegate created.")
        raise Failed("Failed to apply GPU delegate.")
    if flags["use_nnapi"] == "true":
        info("NNAPI delegate created.")
        info(
            "Though NNAPI delegate is explicitly applied, the model graph will not be executed by"
            " the delegate."
        )
    if flags["use_xnnpack"] == "true":
        info("XNNPACK delegate created.")
        kernels = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
        edges = {d["index"] for d in interpreter.get_output_details()}
        if len(kernels) == 1 and edges <= set(kernels[0]["outputs"]):
            how = "completely executed by the delegate."
        elif kernels:
            how = f"partially executed by the delegate w/ {len(kernels)} delegate kernels."
        else:
            how = ""
        told = f"Explicitly applied XNNPACK delegate, and the model graph will be {how}"
        none = (
            "Though XNNPACK delegate is explicitly applied, the model graph will not be executed"
            " by the delegate."
        )
        info(told if how else none)


def load_values(flags: dict[str, str], interpreter: Interpreter) -> dict[int, np.ndarray]:
    names = [name for name in flags["input_layer"].split(",") if name]
    pairs = [pair.split(":") for pair in flags["input_layer_value_files"].split(",") if pair]
    values = {}
    for at, detail in enumerate(interpreter.get_input_details()):
        shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
        files = [file for name, file in pairs if name == names[at]]
        if files:
            content = Path(files[0]).read_bytes()
            size = int(np.prod(shape)) * dtype.itemsize
            if len(content) != size:
                raise Failed(f"The size of {files[0]} is {len(content)} bytes. It should be {size}")
            values[detail["index"]] = np.frombuffer(content, dtype).reshape(shape)
        else:
            values[detail["index"]] = np.random.default_rng().random(shape).astype(dtype)
    return values


def run(invoke: Callable[[], float], least: int, seconds: float, most: float) -> list[float]:
    info(
        f"Running benchmark for at least {least} iterations and at least {seconds:g} seconds but"
        f" terminate if exceeding {most:g} seconds."
    )
    started = time.monotonic()
    samples: list[float] = []
    while (spent := time.monotonic() - started) <= most and (
        len(samples) < least or spent < seconds
    ):
        samples.append(invoke())
    ordered = sorted(samples)
    text = f"count={len(samples)}"
    if len(samples) > 1:
        text += f" first={samples[0]:g}"
    text += f" curr={samples[-1]:g}"
    if len(samples) > 1:
        text += f" min={ordered[0]:g} max={ordered[-1]:g} avg={statistics.mean(samples):g}"
        text += f" std={statistics.pstdev(samples):.0f}"
    if not IS_OLD:
        p5, p50, p95 = (ordered[int(len(ordered) * share)] for share in (0.05, 0.5, 0.95))
        text += f" p5={p5:g} median={p50:g} p95={p95:g}"
    info(text)
    print()
    return samples


if __name__ == "__main__":
    main()
