"""LitServe with its own batching: python -m benchmarks.peers.litserve_app PORT."""

import base64
import sys

import litserve as ls
from fastapi import Response

from benchmarks.peers.denoising import Denoiser, read, write

PNG = "image/png"


class Api(ls.LitAPI):
    def setup(self, device):  # noqa: ARG002 - the framework names it
        self.denoiser = Denoiser()

    def decode_request(self, request):
        """Its way for bytes is base64 in JSON; a raw body would not reach the worker."""
        return PNG, read(base64.b64decode(request["image"]), PNG)

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        made = self.denoiser.together([images for _, images in inputs])
        return [(kind, images) for (kind, _), images in zip(inputs, made, strict=True)]

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        kind, images = output
        return Response(write(images, kind), media_type=kind)


if __name__ == "__main__":
    api = Api(max_batch_size=64, batch_timeout=0.001, api_path="/denoise")
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error"
    )
