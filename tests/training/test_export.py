from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from service.model import Model
from training.errors import ExportError
from training.export import export, verify
from training.initialise import build
from training.networks import Autoencoder, Conv, Family, Mlp, Shape, SkipNet, Valid

KINDS: dict[str, tuple[Family, Shape]] = {
    "dense": (Mlp((16, 4)), Shape(1, 12, 12)),
    "variational": (
        Conv((4, 8, 8), latents=3, hidden=8, paddings=(1, 1, 0), variational=True),
        Shape(1, 28, 28),
    ),
    "spatial": (Conv((8, 4), overshoot=True, batch_norm=True, dropout=0.2), Shape(3, 28, 28)),
    "any size": (Valid((8, 8)), Shape(3, 32, 32)),
    "skips": (SkipNet(8), Shape(3, 32, 32)),
}


@pytest.fixture(scope="session", params=KINDS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Autoencoder, Shape, Path]:
    family, shape = KINDS[request.param]
    folder = tmp_path_factory.mktemp("exported")
    net = build(family, shape, "torch", 1)
    export(net, shape, folder)
    return net, shape, folder


def test_graphs_take_and_give_uint8_images_of_any_batch_size(
    exported: tuple[Autoencoder, Shape, Path],
) -> None:
    net, shape, folder = exported
    model = Model.open(folder)
    rng = np.random.default_rng(0)
    for batch in (1, 3, 70):
        images = rng.integers(
            0, 256, (batch, shape.height, shape.width, shape.channels), dtype=np.uint8
        )
        answer = model.reconstruct(images)
        assert answer.dtype == np.uint8
        assert answer.shape == images.shape
        assert (model.encode(images).log_variances is not None) == net.variational


def test_inputs_outputs_and_axes_have_the_names_of_the_contract(
    exported: tuple[Autoencoder, Shape, Path],
) -> None:
    net, _, folder = exported
    encoder, decoder = (onnx.load(folder / f"{n}coder.onnx").graph for n in ("en", "de"))
    assert [i.name for i in encoder.input] == ["images"]
    assert [o.name for o in encoder.output] == ["latents", "log_variances"][: 1 + net.variational]
    assert [i.name for i in decoder.input] == ["latents"]
    assert [o.name for o in decoder.output] == ["images"]
    dims = encoder.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param == "batch"
    assert [d.dim_param for d in dims[1:3]] == (["height", "width"] if net.any_size else ["", ""])


def test_nothing_of_this_machine_is_in_the_files(exported: tuple[Autoencoder, Shape, Path]) -> None:
    _, _, folder = exported
    here = str(Path(__file__).resolve().parent.parent.parent).encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        assert here not in content
        assert b"site-packages" not in content
        assert b".py" not in content


def test_the_same_weights_give_the_same_bytes(
    exported: tuple[Autoencoder, Shape, Path], tmp_path: Path
) -> None:
    net, shape, folder = exported
    export(net, shape, tmp_path)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_large_weights_are_stored_as_halves_and_cast_when_loaded(tmp_path: Path) -> None:
    shape = Shape(1, 28, 28)
    net = build(Mlp((64, 4)), shape, "torch", 1).eval()
    export(net, shape, tmp_path)
    weights = sum(p.numel() for p in net.encoder.parameters())
    assert (tmp_path / "encoder.onnx").stat().st_size < 2 * weights + 4000
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    found = Model.open(tmp_path).encode(images).latents
    assert found.dtype == np.float32
    rounded = copy.deepcopy(net.encoder)
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.numel() >= 1024:
                weight.copy_(weight.half())
        expected = rounded(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("what", ["too large", "rounded away"])
def test_weights_that_float16_would_change_are_kept_whole(tmp_path: Path, what: str) -> None:
    shape = Shape(1, 28, 28)
    net = build(Mlp((4,), latent="linear"), shape, "torch", 1).eval()
    weight, bias = net.encoder.parameters()
    with torch.no_grad():
        if what == "too large":
            weight[0, 0] = 1e6
        else:  # half a step of float16 above 1, on latents that are small differences
            weight.fill_(1 + 2**-11)
            bias.fill_(-float(weight[0].sum()) / 2)
    export(net, shape, tmp_path)
    weights = onnx.load(tmp_path / "encoder.onnx").graph.initializer
    assert {w.data_type for w in weights if np.prod(w.dims) >= 1024} == {onnx.TensorProto.FLOAT}


def test_graphs_of_other_weights_are_refused(tmp_path: Path) -> None:
    family, shape = KINDS["dense"]
    export(build(family, shape, "torch", 1), shape, tmp_path)
    with pytest.raises(ExportError, match="differ"):
        verify(build(family, shape, "torch", 2).eval(), shape, tmp_path)


def test_a_network_of_any_size_reads_odd_sizes(tmp_path: Path) -> None:
    net = build(Valid((8,)), Shape(3, 32, 32), "torch", 0).eval()
    export(net, Shape(3, 32, 32), tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 51, 17, 3), dtype=np.uint8)
    answer = Model.open(tmp_path).reconstruct(images)
    with torch.no_grad():
        expected = net(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).images
    assert answer.shape == images.shape
    np.testing.assert_allclose(answer, expected.permute(0, 2, 3, 1).numpy() * 255, atol=1, rtol=0)
