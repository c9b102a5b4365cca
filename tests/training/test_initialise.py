from __future__ import annotations

import pytest
import torch

from training.initialise import build, standardise
from training.networks import Conv, Mlp, Shape, Valid

COLOUR = Shape(3, 28, 28)


@pytest.mark.parametrize("init", ["torch", "orthogonal", "kaiming", "xavier", "data"])
def test_the_seed_alone_decides_the_first_weights(init: str) -> None:
    first, again = (build(Valid((8, 8)), COLOUR, init, 5).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_building_a_network_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    build(Valid((8, 8)), COLOUR, "torch", 5)
    assert torch.equal(state, torch.get_rng_state())


def test_an_unknown_initialisation_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="torch, orthogonal"):
        build(Mlp((8,)), COLOUR, "zeros", 0)


@pytest.mark.parametrize("family", [Conv((16, 8), overshoot=True), Mlp((32, 8))])
def test_standardised_layers_keep_their_signal_and_start_at_the_mean_image(
    family: Conv | Mlp,
) -> None:
    net = build(family, COLOUR, "data", 0)
    x_BCHW = torch.rand(64, *COLOUR) ** 4
    standardise(net, x_BCHW, 0.05)
    seen: list[float] = []
    for layer in net.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda *call: seen.append(float(call[2].std())))
    with torch.no_grad():
        answer = net(x_BCHW).images
    assert seen == pytest.approx([1.0] * 4, abs=0.05)
    assert 0.03 < float(answer.mean()) < 0.12
