"""What all peers do alike: Pillow, numpy and onnxruntime on one thread, as in our service."""

import io
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

NPY = "application/x-npy"


class Denoiser:
    """The two graphs of the model that the benchmark serves."""

    def __init__(self):
        folder = Path(os.environ["BENCHMARK_MODEL"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.encoder = ort.InferenceSession(folder / "encoder.onnx", options)
        self.decoder = ort.InferenceSession(folder / "decoder.onnx", options)

    def __call__(self, images):
        latents = self.encoder.run(["latents"], {"images": images})[0]
        return self.decoder.run(["images"], {"latents": latents})[0]

    def together(self, batches):
        """Several batches as one, and cut again."""
        made = self(np.concatenate(batches))
        return np.split(made, np.cumsum([len(batch) for batch in batches])[:-1])


def read(body, content_type):
    """uint8 [B,H,W,C] of a PNG or of npy."""
    if content_type == NPY:
        return np.load(io.BytesIO(body))
    return from_picture(Image.open(io.BytesIO(body)))


def from_picture(picture):
    image = np.asarray(picture)
    return image.reshape(1, *image.shape[:2], -1)


def to_picture(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def write(images, content_type):
    """The answer in the kind of the request."""
    buffer = io.BytesIO()
    if content_type == NPY:
        np.save(buffer, images)
    else:
        to_picture(images[0]).save(buffer, "PNG")
    return buffer.getvalue()
