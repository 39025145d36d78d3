"""What follows from a target and a deploy.yaml: the bits of the weights, distillation."""

from pathlib import Path

import pytest

from edgecompress.errors import SpecError
from edgecompress.spec.deploy import (
    DEFAULT_DISTILLATION,
    Budgets,
    DeployConfig,
    PruneSpec,
    QuantizeSpec,
    StructuredPruneSpec,
    TaskRef,
    TrainSpec,
    TwoFourPruneSpec,
    UnstructuredPruneSpec,
)
from edgecompress.spec.load import load_target
from edgecompress.spec.recipe import resolve, resolve_all, trains_again
from edgecompress.spec.scheme import Activations
from edgecompress.spec.target import Cpu, Target

QUANTIZE = QuantizeSpec(mode="ptq", ranges="mse", calibration_batches=1)
CONFIG = DeployConfig(
    task=TaskRef(path="task.py:MyTask"),
    seed=0,
    quantize=QUANTIZE,
    budgets=Budgets(max_metric_drop=0.01),
)
QAT = TrainSpec(epochs=1, optimizer="sgd", learning_rate=0.1)
SPARSE = UnstructuredPruneSpec(method="unstructured", sparsity=0.5, scope="global")


def target(cpu: Cpu | None = None, dtype: str = "uint8", bits: int | None = None) -> Target:
    local = load_target("local-onnxruntime", Path())
    activations = Activations.model_validate({"dtype": dtype, "scheme": "affine"})
    weights = local.quantization.weights.model_copy(update={"bits": bits})
    scheme = local.quantization.model_copy(update={"activations": activations, "weights": weights})
    return local.model_copy(update={"cpu": cpu or "native", "quantization": scheme})


@pytest.mark.parametrize(
    ("architecture", "features", "dtype", "bits"),
    [
        ("x86_64", ("avx2",), "uint8", 7),
        ("x86_64", ("avx2", "avx512_vnni"), "uint8", 8),
        ("x86_64", ("avx2", "avx_vnni"), "uint8", 8),
        ("x86_64", ("avx2",), "int8", 8),
        ("aarch64", ("asimddp",), "uint8", 8),
        ("aarch64", (), "int8", 8),
    ],
)
def test_weights_have_seven_bits_where_kernels_would_overflow(
    architecture: str, features: tuple[str, ...], dtype: str, bits: int
) -> None:
    cpu = Cpu.model_validate({"architecture": architecture, "features": features, "cores": 1})
    assert resolve(target(cpu, dtype), CONFIG).scheme.weights.bits == bits


@pytest.mark.parametrize("bits", [7, 8])
def test_bits_that_a_target_names_stay(bits: int) -> None:
    cpu = Cpu(architecture="x86_64", features=("avx2",), cores=1)
    assert resolve(target(cpu, bits=bits), CONFIG).scheme.weights.bits == bits


def test_native_is_resolved() -> None:
    recipe = resolve(target(), CONFIG)
    assert recipe.target.cpu == "native"
    assert recipe.cpu.cores >= 1
    assert recipe.scheme.weights.bits in (7, 8)


def test_pruning_switches_distillation_on() -> None:
    pruning = CONFIG.model_copy(update={"prune": SPARSE})
    assert resolve(target(), CONFIG).distill is None
    assert resolve(target(), pruning).distill == DEFAULT_DISTILLATION
    off = pruning.model_copy(update={"distill": "off"})
    assert resolve(target(), off).distill is None


def test_sparsity_that_a_target_gains_nothing_from() -> None:
    dense = target().model_copy(update={"sparsity": ("structured",)})
    with pytest.raises(SpecError) as caught:
        resolve(dense, CONFIG.model_copy(update={"prune": SPARSE}))
    assert str(caught.value) == (
        "prune.method 'unstructured' gains nothing on target 'local-onnxruntime';"
        " supported there: structured"
    )


@pytest.mark.parametrize(
    ("key", "prune"),
    [
        ("method", TwoFourPruneSpec(method="2:4")),
        (
            "then",
            StructuredPruneSpec(
                method="structured",
                importance="magnitude",
                allocation="uniform",
                pruning_ratio=0.5,
                steps=1,
                then="2:4",
            ),
        ),
    ],
)
def test_two_four_needs_a_target_that_has_it(key: str, prune: PruneSpec) -> None:
    config = CONFIG.model_copy(update={"prune": prune})
    with pytest.raises(SpecError) as caught:
        resolve(target(), config)
    assert str(caught.value) == (
        f"prune.{key} '2:4' gains nothing on target 'local-onnxruntime';"
        " supported there: structured, unstructured"
    )
    assert resolve(load_target("jetson-orin-nano"), config).config.prune == prune


def test_a_portable_scheme_is_one_for_all() -> None:
    portable = CONFIG.model_copy(
        update={"quantize": QUANTIZE.model_copy(update={"scheme": "portable"})}
    )
    avx2 = target(Cpu(architecture="x86_64", features=("avx2",), cores=1))
    orin = load_target("jetson-orin-nano")
    phone = load_target("android-xnnpack")
    recipes = resolve_all((avx2, orin, phone), portable)
    assert len({recipe.scheme for recipe in recipes}) == 1
    assert recipes[0].scheme.activations == Activations(dtype="int8", scheme="symmetric")
    assert recipes[0].scheme.weights.bits == 7
    assert recipes[0].scheme.joins == "shared"
    assert {recipe.round_to for recipe in recipes} == {32}  # what the Jetson steps by
    assert resolve(phone, portable).scheme == recipes[0].scheme
    assert resolve(phone, CONFIG).scheme.activations.scheme == "affine"


def test_a_target_with_another_scheme_is_trained_again() -> None:
    names = ("raspberry-pi-4-onnxruntime", "raspberry-pi-5-onnxruntime", "jetson-orin-nano")
    four, five, orin = resolve_all([load_target(name) for name in names], CONFIG)
    assert trains_again(four, []) == ()
    assert trains_again(five, [four]) == ()
    (note,) = trains_again(orin, [four, five])
    assert note.startswith("jetson-orin-nano wants int8 symmetric activations, 8-bit weights")
    assert "raspberry-pi-4-onnxruntime int8 affine activations" in note


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"mode": "qat", "train": QAT, "rounding": "adaptive"}, "remove rounding"),
        ({"mode": "ptq", "train_scales": True}, "remove train_scales"),
    ],
)
def test_what_needs_the_other_mode_is_refused(asked: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        QuantizeSpec.model_validate({"ranges": "mse", "calibration_batches": 1, **asked})


def test_keys_that_say_what_was_always_done_change_no_digest() -> None:
    old = QUANTIZE.model_dump(mode="json")
    assert "rounding" not in old
    assert "equalise" not in old
    spelt = QUANTIZE.model_copy(update={"rounding": "nearest", "equalise": False})
    assert spelt.digest() == QUANTIZE.digest()
    assert QUANTIZE.model_copy(update={"equalise": True}).digest() != QUANTIZE.digest()
