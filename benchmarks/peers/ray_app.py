"""Ray Serve with its own batching: python -m benchmarks.peers.ray_app PORT."""

import sys
import time

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.denoising import Denoiser, read, write


@serve.deployment(
    ray_actor_options={"num_cpus": 0.5},
    max_ongoing_requests=256,
    logging_config={"enable_access_log": False},
)
class Deployment:
    def __init__(self):
        self.denoiser = Denoiser()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)
    async def together(self, batches):
        return self.denoiser.together(batches)

    async def __call__(self, request: Request) -> Response:
        kind = request.headers["content-type"]
        images = await self.together(read(await request.body(), kind))
        return Response(write(images, kind), media_type=kind)


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Deployment.bind(), route_prefix="/denoise")
    while True:
        time.sleep(1)
