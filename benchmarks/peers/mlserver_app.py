"""MLServer with its adaptive batching, over the inference protocol: mlserver start FOLDER."""

import base64

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers.denoising import Denoiser, read, write

PNG = "image/png"


class Runtime(MLModel):
    async def load(self) -> bool:
        self.denoiser = Denoiser()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One tensor of base64 PNGs: requests were joined by MLServer before they come here."""
        sent = payload.inputs[0]
        texts = [x if isinstance(x, str) else x.decode() for x in sent.data]
        images = np.concatenate([read(base64.b64decode(text), PNG) for text in texts])
        files = [
            base64.b64encode(write(image[None], PNG)).decode() for image in self.denoiser(images)
        ]
        output = ResponseOutput(name="images", shape=[len(files)], datatype="BYTES", data=files)
        return InferenceResponse(model_name=self.name, outputs=[output])
