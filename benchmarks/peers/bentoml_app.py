"""BentoML with adaptive batching in a service of its own: bentoml serve ...:Front --port PORT."""

import bentoml
import numpy as np
from PIL.Image import Image

from benchmarks.peers.denoising import Denoiser, from_picture, to_picture


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 512})
class Batched:
    def __init__(self):
        self.denoiser = Denoiser()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def run(self, images: np.ndarray) -> np.ndarray:
        return self.denoiser(images.astype(np.uint8, copy=False))


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 512})
class Front:
    batched = bentoml.depends(Batched)

    @bentoml.api(route="/denoise")
    async def denoise(self, image: Image, /) -> Image:
        made = await self.batched.to_async.run(from_picture(image))
        return to_picture(np.asarray(made, np.uint8)[0])
