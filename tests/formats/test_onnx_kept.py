"""Which operators of an ONNX file a recipe keeps in float."""

import onnx_ir as ir
import pytest

from edgecompress.formats.kept import KEPT
from edgecompress.formats.onnx.kept import why_kept


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("layer", True),
        ("layer.1", True),
        ("layer:add_3", True),
        ("layer'", True),
        ("layer_1", False),
        ("layer1", False),
        ("layer-1", False),
        ("my.layer", False),
    ],
)
def test_a_module_covers_what_is_in_it_and_no_other_of_a_longer_name(name: str, kept: bool) -> None:
    node = ir.node("Relu", [ir.val("x")], name=name)
    assert why_kept(node, {"layer": ""}) == (KEPT if kept else None)
