"""What one writes first: FastAPI, async, Pillow, and onnxruntime called where the request is.

`/raw` takes and gives uint8 npy in place of a picture, which is as fast as it gets this way.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray
from PIL import Image

folder = Path(os.environ["BENCHMARK_MODEL"])
options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
encoder = ort.InferenceSession(folder / "encoder.onnx", options)
decoder = ort.InferenceSession(folder / "decoder.onnx", options)
app = FastAPI()


def reconstruct(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    latents = encoder.run(["latents"], {"images": images})[0]
    made: NDArray[np.uint8] = decoder.run(["images"], {"latents": latents})[0]
    return made


@app.post("/denoise")
async def denoise(request: Request) -> Response:
    image = np.asarray(Image.open(io.BytesIO(await request.body())))
    made = reconstruct(image.reshape(1, *image.shape[:2], -1))[0]
    buffer = io.BytesIO()
    Image.fromarray(made[:, :, 0] if made.shape[2] == 1 else made).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png")


@app.post("/raw")
async def raw(request: Request) -> Response:
    made = reconstruct(np.load(io.BytesIO(await request.body())))
    buffer = io.BytesIO()
    np.save(buffer, made)
    return Response(buffer.getvalue(), media_type="application/x-npy")
