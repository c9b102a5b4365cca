"""Triton's own server with its dynamic batching, and a model in Python behind it: PORT.

NVIDIA's pytriton brings the server; the model's process is its Python backend.
"""

import base64
import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.denoising import Denoiser, read, write

PNG = "image/png"


class Digits:
    """Base64 PNGs [B,1] in and out, as its JSON carries bytes."""

    def __init__(self):
        self.denoiser = Denoiser()

    @batch
    def __call__(self, images):
        digits = np.concatenate([read(base64.b64decode(text), PNG) for text in images[:, 0]])
        files = [base64.b64encode(write(image[None], PNG)) for image in self.denoiser(digits)]
        return {"images": np.array(files, dtype=object)[:, None]}


if __name__ == "__main__":
    port = int(sys.argv[1])
    config = TritonConfig(
        http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False
    )
    bytes_of_one = [Tensor(name="images", dtype=bytes, shape=(1,))]
    with Triton(config=config) as server:
        server.bind(
            model_name="digits",
            infer_func=Digits(),
            inputs=bytes_of_one,
            outputs=bytes_of_one,
            config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher()),
        )
        server.serve()
