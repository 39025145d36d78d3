"""What an operator costs in float: the time in one file less that in the other."""

from edgecompress.pipeline.times import extra_us
from edgecompress.spec.measurement import Inspection, Op


def inspection(**times_us: float | None) -> Inspection:
    ops = tuple(
        Op(
            name=name,
            op_type="Conv",
            dtype="int8",
            macs=1,
            module=name.rstrip("_"),
            time_us=time_us,
        )
        for name, time_us in times_us.items()
    )
    return Inspection(runtime="onnxruntime", machine="x86_64", ops=ops)


def test_the_difference_is_told_of_modules_that_both_files_count() -> None:
    integer = inspection(a=2.0, a_=1.0, b=5.0, c=1.0, d=None, e=1.0)
    floating = inspection(a=10.0, b=4.0, c=None, d=7.0, f=1.0)
    # One that is no slower in float still has what lies round it converted.
    assert extra_us(integer, floating) == {"a": 7.0, "b": 0.4}
