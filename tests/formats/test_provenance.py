"""What is known of an activation in any file: the layers that it comes from, and its limits."""

from math import inf

from edgecompress.formats.provenance import (
    Provenance,
    biased,
    clipped,
    computed,
    identified,
    of_input,
    of_layer,
    rearranged,
    stored,
)

INT8 = (-128, 127)
HALF = (0.5, 0)
X = of_input(0)


def layer(path: str, data: Provenance = X) -> Provenance:
    return of_layer(path, data, alone=True)


def identity(data: Provenance) -> str | None:
    return identified(data, HALF, INT8)[0]


def test_a_layer_is_known_by_its_path_and_by_what_saturates_it() -> None:
    conv = layer("conv")
    assert identity(conv) == "conv [-128, 127]"
    assert identity(clipped(conv, 0.0, inf)) == "conv [0, 127]"
    assert identity(clipped(conv, 0.0, 6.0)) == "conv [0, 12]"
    # uint8 with a zero point of 0 needs no ReLU to have its effect.
    relu = identified(clipped(conv, 0.0, inf), HALF, (0, 255))
    assert relu[0] == identified(conv, HALF, (0, 255))[0]


def test_the_order_of_what_is_joined_is_no_matter_and_what_it_is_matters() -> None:
    a, b, c = layer("a"), layer("b"), layer("c")
    assert identity(computed("add", [a, b])) == identity(computed("add", [b, a]))
    ways = [computed("add", [a, b]), computed("mul", [a, b]), computed("add", [a, c])]
    again = computed("add", [computed("add", [a, b]), c])
    assert len({identity(way) for way in (*ways, again)}) == 4


def test_how_many_operators_without_weights_follow_is_no_matter() -> None:
    """A hard-swish may be one operator or three."""
    conv = layer("conv")
    sigmoid = computed("hardsigmoid", [conv])
    one = computed("hardswish", [conv])
    assert identity(one) == identity(computed("mul", [conv, sigmoid])) == "after conv [-128, 127]"
    assert identity(conv) != identity(one)


def test_a_layer_that_is_called_twice_is_known_by_its_data() -> None:
    calls = [of_layer("fc", data, alone=False) for data in (layer("a"), layer("b"))]
    assert identity(calls[0]) != identity(calls[1])


def test_those_of_one_identity_are_counted_along_the_way() -> None:
    conv = layer("conv")
    first, number, after = identified(computed("maxpool", [conv]), HALF, INT8)
    assert number == 1
    second, number, after = identified(computed("maxpool", [after]), HALF, INT8)
    assert (second, number) == (first, 2)
    # Another scale is another count, and a layer begins anew.
    assert identified(computed("maxpool", [after]), (0.25, 0), INT8)[1] == 1
    assert identified(layer("next", after), HALF, INT8)[1] == 1


def test_rearranged_numbers_have_no_identity_until_the_next_layer() -> None:
    turned = rearranged(layer("conv"))
    assert identity(turned) is None
    assert identity(computed("gelu", [turned])) is None
    assert identity(layer("next", turned)) is not None


def test_what_is_stored_is_known_until_it_changes() -> None:
    held = stored(layer("conv"), HALF)
    assert rearranged(held).held == HALF
    assert biased(held).held == HALF
    assert clipped(held, 0.0, inf).held is None
    assert computed("gelu", [held]).held is None
