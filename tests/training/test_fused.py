"""The kernel's answers are torch's, whatever the layers, however many images."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training import fused, kernel
from training.fused import Fused
from training.networks import Autoencoder, Conv, Family, Mlp, Shape, Valid

_HERE = all(kernel.load(bf16=bf16) is not None for bf16 in (False, True))
needs_kernel = pytest.mark.skipif(not _HERE, reason="no compiler, AVX-512 or bfloat16 here")

NETS: list[tuple[Family, Shape]] = [
    (Conv((8, 16, 32), latents=6, paddings=(1, 1, 0)), Shape(1, 28, 28)),
    (Conv((5, 7), latents=3, hidden=13, activation="gelu"), Shape(3, 12, 10)),
    (Conv((4, 8, 8), latents=3, hidden=None, paddings=(1, 1, 0), variational=True),
     Shape(1, 28, 28)),
    (Conv((3,)), Shape(2, 9, 8)),
    (Valid((4, 4)), Shape(3, 11, 9)),
]  # fmt: skip
KL = 0.7


class Case:
    """A network, its weights, and images that are clean and noisy."""

    def __init__(self, family: Callable[[Shape], Autoencoder], shape: Shape, count: int) -> None:
        torch.manual_seed(0)
        self.net, self.shape = family(shape), shape
        self.weights = nn.utils.parameters_to_vector(self.net.parameters()).detach()
        self.clean = torch.rand(count, *shape)
        self.noisy = self.clean + 0.1 * torch.randn_like(self.clean)
        self.noise = torch.randn(count, 3) if self.net.variational else None

    def torchs(self, *, bf16: bool = False) -> tuple[float, float, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            h, kl = self.net.encoder(self.noisy), torch.zeros(())
            if self.noise is not None:
                mean, log_variances = h
                h = mean + self.noise * torch.exp(0.5 * log_variances)
                kl_BD = 0.5 * (mean.square() + log_variances.exp() - 1 - log_variances)
                kl = kl_BD.sum() / self.clean.numel()
            images = self.net.decoder(h)
        mse = (images.float() - self.clean).square().mean()
        gradients = torch.autograd.grad(mse + KL * kl, list(self.net.parameters()))
        return mse.item(), kl.item(), torch.cat([each.flatten() for each in gradients])

    def ours(self, *, bf16: bool = False) -> tuple[float, float, Tensor]:
        net = Fused(self.net, self.shape, bf16=bf16)
        return net.learn(self.weights, self.clean, self.noisy, self.noise, KL)


@needs_kernel
@pytest.mark.parametrize("count", [5, 64, 150])
@pytest.mark.parametrize(("family", "shape"), NETS, ids=repr)
def test_errors_and_gradients_are_torchs(family: Family, shape: Shape, count: int) -> None:
    case = Case(family, shape, count)
    mse, kl, gradient = case.ours()
    expected_mse, expected_kl, expected = case.torchs()
    assert mse == pytest.approx(expected_mse, rel=1e-5)
    assert kl == pytest.approx(expected_kl, rel=1e-4)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-7)
    net = Fused(case.net, shape)
    assert net.score(case.weights, case.clean, case.noisy, case.noise) == (mse, kl)


@needs_kernel
@pytest.mark.parametrize("count", [5, 150])
@pytest.mark.parametrize(("family", "shape"), NETS, ids=repr)
def test_bfloat16_is_as_near_to_float32_as_torchs_is(
    family: Family, shape: Shape, count: int
) -> None:
    case = Case(family, shape, count)
    (mse, _, exact), (_, _, ours), (_, _, torchs) = (
        case.torchs(), case.ours(bf16=True), case.torchs(bf16=True)
    )  # fmt: skip
    assert case.ours(bf16=True)[0] == pytest.approx(mse, rel=1e-2)
    assert 0 < (ours - exact).norm() < 1.5 * (torchs - exact).norm()


@needs_kernel
@pytest.mark.parametrize(("kernel", "stride", "padding"), [
    (1, 1, 0), (2, 2, 0), (2, 3, 0), (4, 2, 1), (5, 2, 2), (5, 1, 2), (3, 3, 1),
])  # fmt: skip
def test_kernels_strides_and_paddings_are_torchs(kernel: int, stride: int, padding: int) -> None:
    shape = Shape(2, 13, 10)
    down = nn.Conv2d(2, 5, kernel, stride, padding)
    small = down(torch.zeros(1, *shape)).shape[2:]
    sides = zip(shape[1:], small, strict=True)
    extra = [n - (m - 1) * stride + 2 * padding - kernel for n, m in sides]
    up = nn.ConvTranspose2d(5, 2, kernel, stride, padding, extra)
    net = Autoencoder(nn.Sequential(down, nn.ReLU()), nn.Sequential(up, nn.Tanh()))
    case = Case(lambda _: net, shape, 20)
    _, _, gradient = case.ours()
    _, _, expected = case.torchs()
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-7)


@needs_kernel
@pytest.mark.parametrize("bf16", [False, True])
def test_nothing_is_left_of_the_network_before(bf16: bool) -> None:
    case = Case(*NETS[1], 40)
    fresh, used = (Fused(case.net, case.shape, bf16=bf16) for _ in range(2))
    wild = torch.full_like(case.weights, torch.nan)
    mse, _, gradient = used.learn(wild, case.clean, case.noisy)
    assert mse != mse  # what is not a number is not hidden by a ReLU
    assert gradient.isnan().any()
    images = case.clean[:7], case.noisy[:7]
    expected, found = (net.learn(case.weights, *images) for net in (fresh, used))
    assert found[:2] == expected[:2]
    assert torch.equal(found[2], expected[2])


@needs_kernel
@pytest.mark.parametrize("bf16", [False, True])
def test_the_sigmoid_is_torchs_from_end_to_end(bf16: bool) -> None:
    sides = torch.tensor([torch.inf, -torch.inf, 0.0, -0.0])
    x_BCHW = torch.cat([torch.linspace(-120, 120, 476), sides]).view(-1, 1, 2, 2)
    net = Autoencoder(nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Sequential(nn.Sigmoid()))
    clean = x_BCHW.bfloat16().float().sigmoid() if bf16 else x_BCHW.sigmoid()
    mse, _, _ = Fused(net, Shape(1, 2, 2), bf16=bf16).learn(torch.tensor([1.0, 0]), clean, x_BCHW)
    assert mse**0.5 < (2e-3 if bf16 else 1e-7)


def test_the_kernels_numbers_and_structures_are_those_of_its_python_side() -> None:
    source = Path(kernel.__file__).with_suffix(".c").read_text()
    kinds = re.search(r"enum {\n(.*?)\n}", source, re.DOTALL)
    assert kinds is not None
    assert [getattr(kernel, name) for name in re.findall(r"\w+", kinds[1])] == list(range(10))
    structures = re.findall(r"typedef struct {\n(.*?)\n} (\w+);", source, re.DOTALL)
    for (body, _), ours in zip(structures, (kernel.Operation, kernel.Batch), strict=True):
        declared = re.sub(r"/\*.*?\*/|const|\b(V|float|double|int32_t)\b", "", body)
        assert re.findall(r"\w+", declared) == [name for name, _ in ours._fields_]


def test_without_a_compiler_there_is_no_kernel_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build = kernel.load.__wrapped__
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho no such option >&2; exit 1\n")
    broken.chmod(0o755)
    with caplog.at_level(logging.INFO):
        for compiler in ("/nowhere/cc", str(broken)):
            monkeypatch.setenv("CC", compiler)
            assert build(bf16=False) is None
    assert "no C compiler" in caplog.text
    assert "no such option" in caplog.text


def test_dense_networks_other_devices_and_other_machines_are_left_to_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Conv((4,), latents=2)(Shape(1, 8, 8))
    assert fused.fits(net, "cpu") == _HERE
    assert not fused.fits(net, "cuda")
    assert not fused.fits(Mlp((8, 2))(Shape(1, 8, 8)), "cpu")
    monkeypatch.setattr(kernel, "load", lambda **_: None)
    assert not fused.fits(net, "cpu")
