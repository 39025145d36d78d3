"""No member of a concatenation is lost in silence."""

import pytest
import torch
from detecting import HEADS, IMAGES, SENSORS, Heads, Sensors, kept, of_members
from quantizing import batch, scheme
from zoo.catalogue import build

from edgecompress.compress.joins import torn
from edgecompress.compress.quantize import captured, forward
from edgecompress.compress.units import units_of

SCHEMES = ["uint8", "portable"]


@pytest.mark.parametrize("how", HEADS)
def test_every_member_keeps_its_values(how: str) -> None:
    model = Heads(how).eval()
    wanted = SCHEMES[len(how) % 2]
    prepared, because = kept(model, IMAGES, wanted)
    with torch.no_grad():
        found = of_members(model(*IMAGES), forward(prepared, IMAGES))
    assert min(found) > 30
    assert bool(because) == (how not in ("a layer of boxes", "alike"))
    assert all(" dB of a member of " in reason for reason in because.values())


def test_sensors_of_other_units() -> None:
    model = Sensors().eval()
    prepared, because = kept(model, SENSORS, "uint8")
    with torch.no_grad():
        assert min(of_members(model(*SENSORS), forward(prepared, SENSORS))) > 30
    assert set(because) == {":cat", "first"}
    assert [unit.name for unit in units_of(prepared.graph)][-1] == "last"


def test_only_what_reads_a_lost_member_is_kept() -> None:
    _, because = kept(Heads("scores afterwards").eval(), IMAGES, "uint8")
    assert sorted(because) == [":cat", ":cat_1", ":sigmoid_1"]


@pytest.mark.parametrize("name", ["densenet", "unet", "two_branches"])
def test_a_network_that_loses_nothing_stays_in_eight_bits(name: str) -> None:
    model, inputs = build(name)
    traced = captured(model, inputs)
    for wanted in SCHEMES:
        assert torn(traced, scheme(wanted), [batch(inputs, 4, seed=1)]) == {}
