"""From a trained network to encoder.onnx and decoder.onnx: uint8 [B,H,W,C] at both ends.

Scaling, rounding and clipping are inside the graphs. The same weights give the same bytes.
Weights lie in the file as float16 and are cast to float32 when it is loaded: half the bytes, and
everything is computed as before. A network that rounding its weights would change keeps them whole.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.model import Model
from training.errors import ExportError
from training.networks import Autoencoder, Shape

log = logging.getLogger(__name__)

OPSET = 21
_BATCHES = (1, 2, 7, 64)
_SIZES = ((32, 32), (28, 28), (33, 47), (64, 40))
# Biases and small tables stay as they are: a cast costs some 200 bytes.
_HALVED_FROM = 1024
# float16 keeps 11 bits of each weight. The most that was seen over 34 models and 500 test images
# each: 0.0007 of the largest latent, and 2 grey levels in one pixel (1 in all but one model).
_LATENT_GAP = 2e-3
_LEVEL_GAP = 2


class FromImages(nn.Module):
    """uint8 [B,H,W,C] to latents, and log variances if the encoder is variational."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x_BCHW = images.permute(0, 3, 1, 2).to(torch.float32) * (1 / 255)
        latents: Tensor | tuple[Tensor, Tensor] = self.encoder(x_BCHW)
        return latents


class ToImages(nn.Module):
    """Latents to uint8 [B,H,W,C], rounded to the nearest level."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        x_BCHW = self.decoder(latents)
        levels = torch.round(torch.clamp(x_BCHW, 0, 1) * 255)
        return levels.to(torch.uint8).permute(0, 2, 3, 1)


def export(net: Autoencoder, shape: Shape, folder: Path) -> None:
    """Writes encoder.onnx and decoder.onnx into `folder`, and checks them against `net`.

    Raises:
        ExportError: they differ from the network by more than float16 weights explain, with
            float32 weights too.
    """
    net = net.to("cpu").eval()
    encoder, decoder = FromImages(net.encoder).eval(), ToImages(net.decoder).eval()
    # More than one image, or the batch axis is taken for a constant.
    images = torch.randint(
        256, (2, shape.height, shape.width, shape.channels), dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        encoded = encoder(images)
    latents = encoded[0] if net.variational else encoded
    dims: dict[int, str] = {0: "batch"}
    sized = {**dims, 1: "height", 2: "width"} if net.any_size else dims
    mapped = {**dims, 2: "latent_height", 3: "latent_width"} if net.any_size else dims
    outputs = ["latents", "log_variances"] if net.variational else ["latents"]

    def attempt(*, halve: bool) -> None:
        to, back = folder / "encoder.onnx", folder / "decoder.onnx"
        write(encoder, images, to, "images", outputs, sized, halve=halve)
        write(decoder, latents, back, "latents", ["images"], mapped, halve=halve)
        verify(net, shape, folder)

    try:
        attempt(halve=True)
    except ExportError as error:
        log.warning("its weights are kept as float32: with float16, %s", error)
        attempt(halve=False)


def write(
    module: nn.Module,
    example: Tensor,
    path: Path,
    name: str,
    outputs: Sequence[str],
    dims: dict[int, str],
    *,
    halve: bool = True,
) -> None:
    """Exports `module` with one input called `name`, whose axes `dims` may have any length.

    Raises:
        ExportError: it has weights that no float16 can hold, and shall be halved.
    """
    with warnings.catch_warnings():
        # The exporter's own deprecations, which we can do nothing about.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=(dims,),
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = _stripped(program.model_proto)
    if halve:
        model = _halved(model)
    onnx.checker.check_model(model, full_check=True)
    # Protobuf promises an order for its map fields only if asked for it.
    path.write_bytes(model.SerializeToString(deterministic=True))


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without what the exporter writes of the machine: stack traces and local paths."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    graph.name = "graph"
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info,
                 *graph.initializer):  # fmt: skip
        part.doc_string = ""
        del part.metadata_props[:]
    assert not model.functions, "functions would carry metadata of their own"
    return model


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """With its large weights as float16, and a cast after each that is folded away at load."""
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _HALVED_FROM:
            continue
        name, stored = weight.name, f"{weight.name}.half"
        if float(np.abs(values).max()) > float(np.finfo(np.float16).max):
            raise ExportError(f"{name} has weights too large for float16")
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return model


def verify(net: Autoencoder, shape: Shape, folder: Path) -> None:
    """Compares the exported graphs with the network at several batch sizes and image sizes.

    Raises:
        ExportError: see `export`.
    """
    model = Model.open(folder)
    rng = np.random.default_rng(0)
    for images in _trials(shape, rng, smallest=net.smallest):
        with torch.no_grad():
            encoded = FromImages(net.encoder).eval()(torch.from_numpy(images))
            latents = encoded[0] if net.variational else encoded
            expected = ToImages(net.decoder).eval()(latents).numpy()
        found = model.encode(images)
        gap = float(np.abs(found.latents - latents.numpy()).max())
        if gap > _LATENT_GAP * max(1.0, float(latents.abs().max())):
            raise ExportError(f"latents of {images.shape} differ by {gap:.2g}")
        answer = model.reconstruct(images)
        if answer.shape != expected.shape:
            raise ExportError(f"{images.shape} came back as {answer.shape}")
        gap = float(np.abs(answer.astype(int) - expected.astype(int)).max())
        if gap > _LEVEL_GAP:
            raise ExportError(f"images of {images.shape} differ by {gap:.0f} grey levels")


def _trials(
    shape: Shape, rng: np.random.Generator, *, smallest: int
) -> Iterator[NDArray[np.uint8]]:
    sizes: tuple[tuple[int, int], ...] = ((shape.height, shape.width),)
    if smallest:
        sizes = (*_SIZES, (smallest, smallest))
    for height, width in sizes:
        for batch in _BATCHES:
            # Smooth pictures with some noise: nearer to what a network has seen than noise is.
            y, x = np.mgrid[0:height, 0:width]
            wave = np.sin(x / rng.uniform(2, 9) + y / rng.uniform(2, 9))[None, :, :, None]
            noise = rng.normal(0, 0.2, (batch, height, width, shape.channels))
            yield np.clip(128 + 90 * (wave + noise), 0, 255).astype(np.uint8)
