"""Where the time goes: what was counted, held against the inspection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.measure.profile import SHOWN, by_name, profile_of, timed
from edgecompress.runtimes import runtime
from edgecompress.spec.measurement import Inspection, Op
from edgecompress.spec.profile import CountedOperator, Counting

NAMES = st.sampled_from(["a", "b", "c", "d"])
TYPES = st.sampled_from(["Conv", "Add", "Mul"])
COUNTED = st.lists(
    st.builds(CountedOperator, name=NAMES, op_type=TYPES, time_us=st.floats(0, 1e6)), max_size=8
)
OPS = st.lists(
    st.builds(Op, name=NAMES, op_type=TYPES, dtype=st.just("int8"), macs=st.integers(0, 9)),
    max_size=8,
)


def op(name: str, op_type: str, macs: int = 0, dtype: str = "int8") -> Op:
    return Op(name=name, op_type=op_type, dtype=dtype, macs=macs, module=name)


def inspection(*ops: Op) -> Inspection:
    return Inspection(runtime="r 1", machine="m", ops=ops)


def ran(name: str, op_type: str, time_us: float = 1.0) -> CountedOperator:
    return CountedOperator(name=name, op_type=op_type, time_us=time_us)


@given(COUNTED, OPS)
def test_no_operator_is_found_twice_and_none_is_guessed(counted, ops):
    pairs = by_name(counted, ops)
    assert len(set(pairs.values())) == len(pairs)
    for at, place in pairs.items():
        same_name = counted[at].name == ops[place].name
        assert same_name or counted[at].op_type == ops[place].op_type


@given(COUNTED, OPS, st.floats(0.001, 100))
def test_the_parts_make_the_whole(counted, ops, latency_ms):
    counting = Counting(runtime="r 1", inferences=9, inference_us=1.0, operators=tuple(counted))
    found = profile_of(counting, inspection(*ops), by_name(counted, ops), latency_ms)
    if not counted:
        assert found.why_none == "r 1 counted no operator"
        return
    assert found.operators_in_all == len(counted)
    assert found.sum_us == pytest.approx(sum(row.time_us for row in found.operators))
    assert sum(row.share for row in found.operators) == pytest.approx(1 if found.sum_us else 0)
    assert found.sum_us + found.unattributed_us == pytest.approx(latency_ms * 1000)
    times = [row.time_us for row in found.operators]
    assert times == sorted(times, reverse=True)
    kinds = {(row.op_type, row.dtype) for row in found.operators}
    assert [(each.op_type, each.dtype) for each in found.kinds] == list(
        dict.fromkeys((each.op_type, each.dtype) for each in found.kinds)
    )
    assert {(each.op_type, each.dtype) for each in found.kinds} == kinds
    assert sum(each.operators for each in found.kinds) == len(counted)
    assert found.sum_us == pytest.approx(sum(each.time_us for each in found.kinds))
    known = [row.share for row in found.operators if row.dtype is not None]
    assert sum(known) == pytest.approx(found.found_share or 0.0)


def test_the_most_expensive_ones_are_told():
    counted = tuple(ran(str(at), "Conv", float(at)) for at in range(SHOWN + 7))
    found = profile_of(Counting(runtime="r", operators=counted), inspection(), {}, None)
    assert [row.name for row in found.operators][:2] == [str(SHOWN + 6), str(SHOWN + 5)]
    assert (len(found.operators), found.operators_in_all) == (SHOWN, SHOWN + 7)
    assert (found.latency_us_p50, found.unattributed_us) == (None, None)


def test_times_of_before_do_not_stay():
    before = inspection(*(op(name, "Conv").model_copy(update={"time_us": 7.0}) for name in "ab"))
    counting = Counting(runtime="r", operators=(ran("b", "Conv", 2.0),))
    assert [each.time_us for each in timed(before, counting, {0: 1}).ops] == [None, 2.0]
    none = Counting(runtime="r", why_none="it has no counters")
    assert [each.time_us for each in timed(before, none, {}).ops] == [None, None]
    assert profile_of(none, before, {}, 1.0).why_none == "it has no counters"


def test_executorch_s_families_are_paired_in_order():
    counted = [
        ran("0: Convert (NC) #1", "Convert (NC)"),
        ran("0: Convolution (NHWC, QC8) IGEMM #1", "Convolution (NHWC, QC8) IGEMM"),
        ran("0: Fully Connected (NC, F32) GEMM #1", "Fully Connected (NC, F32) GEMM"),
        ran("1: slice_copy.Tensor_out", "slice_copy.Tensor_out"),
        ran("2: Add (ND) #1", "Add (ND)"),
    ]
    ops = [
        op("in", "XNNConvert"),
        op("stem", "XNNConv2d", 9),
        op("gate", "XNNConv2d", 3),
        op("cut", "aten::slice_copy"),
        op("out", "XNNConvert"),
        op("sum", "XNNAdd"),
        op("lost", "XNNAdd"),
    ]
    # Two conversions are in the file, two sums; of each one ran.
    assert runtime("executorch").counted(counted, ops) == {1: 1, 2: 2, 3: 3}


def test_a_layer_of_an_engine_is_the_operator_that_multiplies():
    counted = [ran("conv1 + relu1", "layer"), ran("relu2", "layer"), ran("Reformatting", "layer")]
    ops = [op("relu1", "Relu"), op("conv1", "Conv", 100), op("relu2", "Relu")]
    assert runtime("tensorrt").counted(counted, ops) == {0: 1, 1: 2}
