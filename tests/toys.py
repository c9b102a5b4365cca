"""Tiny autoencoders whose answers are known exactly, built node by node with `onnx.helper`.

The identity's latents are its pixels, so that a test can say what an answer must be: the middle
of 0 and 200 is 100. No torch, and milliseconds to make.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from service import images, latent_map, manifest
from service.manifest import Golden, ImageShape, Manifest, Provenance, Score
from tests import toy_graphs

PROVENANCE = Provenance(
    commit="0" * 40,
    created="2026-01-01T00:00:00Z",
    seed=0,
    data={},
    versions={},
    device="cpu",
    epochs=0,
    seconds=0.0,
)


def identity(
    models: Path,
    name: str = "toy-identity",
    *,
    version: int = 1,
    size: int | None = 12,
    channels: int = 1,
    channelwise: bool = False,
    add: int = 0,
    psnr: float = 20.0,
    corruption: str | None = None,
    abilities: tuple[str, ...] = ("denoise", "reconstruct", "encode", "decode", "interpolate"),
    work: int = 0,
    kurtoses: tuple[float, ...] | None = None,
) -> Path:
    """A model whose latents are its pixels as floats; its answers are brighter by `add`.

    `work` has its encoder go round so many times first (`toy_graphs.turns`). `kurtoses` are
    the percentiles of its residual's.
    """
    pixels = ["batch", size or "height", size or "width", channels]
    encoder = toy_graphs.graph(
        [
            helper.make_node(
                "Cast", ["images"], ["latents" if not work else "x"], to=TensorProto.FLOAT
            )
        ]
        + ([toy_graphs.loop()] if work else []),
        ("images", TensorProto.UINT8, pixels),
        [("latents", TensorProto.FLOAT, pixels)],
        {"times": np.array(work, np.int64), "true": np.array(True)} if work else None,
    )
    decoder = toy_graphs.graph(
        [
            helper.make_node("Add", ["latents", "add"], ["brighter"]),
            helper.make_node("Round", ["brighter"], ["rounded"]),
            helper.make_node("Clip", ["rounded", "zero", "white"], ["clipped"]),
            helper.make_node("Cast", ["clipped"], ["images"], to=TensorProto.UINT8),
        ],
        ("latents", TensorProto.FLOAT, pixels),
        [("images", TensorProto.UINT8, pixels)],
        {"add": add, "zero": 0, "white": 255},
    )
    shape = ImageShape(height=size, width=size, channels=channels, channelwise=channelwise)
    side = size or 16  # another size than the toys of one size have
    image = (np.arange(side * side * channels) % 200).astype(np.uint8)
    image = image.reshape(side, side, channels)
    return _publish(
        models,
        name,
        version,
        encoder,
        decoder,
        shape,
        image,
        image + np.uint8(add),
        latent_shape=(size, size, channels),
        psnr=psnr,
        corruption=corruption,
        abilities=abilities,
        kurtoses=kurtoses,
    )


def variational(
    models: Path,
    name: str = "toy-vae",
    *,
    side: int = 12,
    psnr: float = 10.0,
    prior: bool = True,
    mixture: bool = False,
    classes: tuple[str, ...] = (),
    mapped: bool = False,
) -> Path:
    """Two latents: the first sets the grey of the whole image, 100 plus it; both have variance.

    Without `prior` it is an ordinary autoencoder with the same latents. With `mixture` it has a
    sampler of two components at latents -50 and 50, chosen by a uniform number below or from
    0.5, each as wide as the normals. With two `classes`, dark and bright, the probability of the
    second is the sigmoid of the first latent. `mapped` has two points, one of each class.
    """
    encoder = toy_graphs.graph(
        [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
            helper.make_node("Sub", ["means", "hundred"], ["latent"]),
            helper.make_node("Concat", ["latent", "latent"], ["latents"], axis=1),
            helper.make_node("Mul", ["latents", "nothing"], ["log_variances"]),
        ],
        ("images", TensorProto.UINT8, ["batch", side, side, 1]),
        [
            ("latents", TensorProto.FLOAT, ["batch", 2]),
            ("log_variances", TensorProto.FLOAT, ["batch", 2]),
        ][: 1 + prior],
        {"axes": np.array([1, 2], np.int64), "hundred": 100, "nothing": 0},
    )
    decoder = toy_graphs.graph(
        [
            helper.make_node("Slice", ["latents", "start", "end", "axis"], ["latent"]),
            helper.make_node("Unsqueeze", ["latent", "axes"], ["dot"]),
            helper.make_node("Mul", ["dot", "ones"], ["flat"]),
            helper.make_node("Add", ["flat", "hundred"], ["brighter"]),
            helper.make_node("Round", ["brighter"], ["rounded"]),
            helper.make_node("Clip", ["rounded", "zero", "white"], ["clipped"]),
            helper.make_node("Cast", ["clipped"], ["images"], to=TensorProto.UINT8),
        ],
        ("latents", TensorProto.FLOAT, ["batch", 2]),
        [("images", TensorProto.UINT8, ["batch", side, side, 1])],
        {
            "start": np.array([0], np.int64),
            "end": np.array([1], np.int64),
            "axis": np.array([1], np.int64),
            "axes": np.array([2, 3], np.int64),
            "ones": np.ones((1, side, side, 1), np.float32),
            "hundred": 100,
            "zero": 0,
            "white": 255,
        },
    )
    more = {}
    if mixture:
        more["sampler.onnx"] = toy_graphs.mixture()
    if classes:
        more["classifier.onnx"] = toy_graphs.classifier()
    if mapped:
        more[latent_map.FILE] = _map(classes)
    abilities = ["denoise", "reconstruct", "encode", "decode", "interpolate"]
    abilities += ["sample"] * (prior or mixture) + ["classify"] * bool(classes)
    image = np.full((side, side, 1), 150, np.uint8)
    return _publish(
        models,
        name,
        1,
        encoder,
        decoder,
        ImageShape(height=side, width=side, channels=1),
        image,
        image,
        latent_shape=(2,),
        psnr=psnr,
        corruption=None,
        variational=prior,
        abilities=tuple(abilities),
        classes=classes,
        more=more,
    )


def _map(classes) -> bytes:
    latents = latent_map.Table.of(np.array([[-50, -50], [50, 50]], np.float32), 16)
    labels = base64.b64encode(bytes([0, 1])).decode()
    drawn = latent_map.LatentMap(
        classes=classes, labels=labels, latents=latents, components=None, tsne={}
    )
    return drawn.model_dump_json().encode()


def _publish(
    models,
    name,
    version,
    encoder,
    decoder,
    shape,
    image,
    answer,
    *,
    latent_shape,
    psnr,
    corruption,
    abilities,
    variational=False,
    classes=(),
    kurtoses=None,
    more=None,
) -> Path:
    staging = models / f".staging-{name}"
    staging.mkdir(parents=True)
    onnx.save(encoder, staging / "encoder.onnx")
    onnx.save(decoder, staging / "decoder.onnx")
    for file, content in (more or {}).items():
        if isinstance(content, bytes):
            (staging / file).write_bytes(content)
        else:
            onnx.save(content, staging / file)
    values = {"mse": 0.01, "psnr": psnr, "ssim": 0.9, "snr": 10.0}
    card = Manifest(
        name=name,
        version=version,
        summary="A toy whose answers are known exactly.",
        family="toy",
        dataset="none",
        source="none",
        image=shape,
        latent_shape=latent_shape,
        variational=variational,
        abilities=abilities,
        corruption=corruption,
        classes=classes,
        parameters=0,
        recipe="Toy()",
        scores=(
            Score(subject="model", task="reconstruct", values=values),
            Score(subject="model", task="denoise", corruption=corruption, values=values),
        ),
        error_percentiles=tuple(i / 1000 for i in range(101)),
        noise_kurtosis_percentiles=kurtoses,
        golden=Golden(image=_png(image), reconstruction=_png(answer)),
        provenance=PROVENANCE,
        files=dict.fromkeys(("encoder.onnx", "decoder.onnx"), "0" * 64),
    )
    return manifest.write(staging, card, models)


def _png(image: np.ndarray) -> str:
    return base64.b64encode(images.encode_png(image)).decode()
