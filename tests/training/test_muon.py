"""Muon's steps are orthogonal; what is narrow is AdamW's; a checkpoint goes on as if unbroken."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 16), (32, 288), (288, 32)])
def test_singular_values_come_near_to_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.3  # as in Jordan's post
    assert values.max() < 1.4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest = left @ right
    alike = torch.nn.functional.cosine_similarity(
        orthogonalised(matrix).flatten(), nearest.flatten(), dim=0
    )
    assert alike > 0.95


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalised(torch.zeros(16, 20)), torch.zeros(16, 20))


def test_wide_weights_take_orthogonal_steps_and_the_others_those_of_adamw():
    nets = [network(), network(), network()]
    start, net, twin = (dict(each.named_parameters()) for each in nets)
    muon = Muon(nets[1].parameters(), 1e-3, 0.0)
    adamw = torch.optim.AdamW(nets[2].parameters(), 1e-3, weight_decay=0.0)
    draws = torch.Generator().manual_seed(0)
    for name in net:
        gradient = torch.randn(net[name].shape, generator=draws)
        net[name].grad, twin[name].grad = gradient.clone(), gradient.clone()
    muon.step()
    adamw.step()
    for name in ("0.weight", "0.bias", "2.bias"):
        assert torch.equal(net[name], twin[name])
    step = (start["2.weight"] - net["2.weight"]).detach().flatten(1)
    gradient = twin["2.weight"].grad.flatten(1)
    expected = 1e-3 * 0.2 * 144**0.5 * orthogonalised(gradient)
    torch.testing.assert_close(step, expected, rtol=0, atol=float(expected.abs().max()) / 20)


def test_it_learns():
    net = network()
    optimiser = Muon(net.parameters(), 3e-3, 1e-4)
    first = loss(net).item()
    steps(net, optimiser, 100)
    assert loss(net).item() < 0.5 * first


def test_a_state_that_was_saved_goes_on_as_if_unbroken():
    whole, broken = network(), network()
    steps(whole, Muon(whole.parameters(), 1e-3, 1e-4), 4)
    optimiser = Muon(broken.parameters(), 1e-3, 1e-4)
    steps(broken, optimiser, 2)
    resumed = Muon(broken.parameters(), 1e-3, 1e-4)
    resumed.load_state_dict(optimiser.state_dict())
    steps(broken, resumed, 2)
    for one, other in zip(whole.parameters(), broken.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_takes_no_closure():
    with pytest.raises(ValueError, match="backward"):
        Muon(network().parameters(), 1e-3, 0.0).step(lambda: None)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.GELU(), nn.Conv2d(16, 32, 3), nn.Flatten())


def loss(net: nn.Module) -> Tensor:
    images = torch.rand((8, 1, 9, 9), generator=torch.Generator().manual_seed(1))
    output: Tensor = net(images)
    return (output - 1).square().mean()


def steps(net: nn.Module, optimiser: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimiser.zero_grad(set_to_none=True)
        loss(net).backward()
        optimiser.step()
