"""A typed client of the service, synchronous and asynchronous.

    from service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        clean = client.denoise(["noisy/1.png", "noisy/2.png"])   # arrays and PIL images too
        clean.images[0]                                          # uint8 [H,W,C]
        clean.save("clean")                                      # clean/0000.png, ...
        print(clean.model, clean.timing_ms.total)

        tried = client.denoise(array, simulate="gaussian:0.2", seed=1)
        print(tried.quality.before.mean.psnr, tried.quality.after.mean.psnr)

        latents = client.encode(array, model="mnist-vae-6")
        client.decode(latents).images                            # as reconstruct gives them
        client.interpolate("a.png", "b.png", steps=20).save("walk.gif")
        client.sample(16, seed=1).save("grid.png")

`AsyncClient` has the same methods, to be awaited. What can go wrong stands in
`service.client.errors`: the messages say what would have worked.

`verbs` makes requests and reads answers without touching a socket; `shells` only sends them.
"""

try:
    import httpx as _httpx  # noqa: F401  # the rest of the package needs it
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "service.client needs httpx: pip install '.[client]' in the project's checkout",
        name="httpx",
    ) from error

from service.client.batches import Limits
from service.client.errors import (
    AbilityMissing,
    DeadlineExceeded,
    Faulty,
    NotFound,
    Overloaded,
    Refused,
    ServiceError,
    TooLarge,
    Unprocessable,
    Unreachable,
)
from service.client.exchange import Retries
from service.client.results import (
    Card,
    Classified,
    Denoised,
    DenoiseQuality,
    Images,
    Latents,
    Models,
    Ready,
    Reconstructed,
    ReconstructQuality,
    Sampled,
    Scored,
    Scores,
)
from service.client.shells import AsyncClient, Client

__all__ = [
    "AbilityMissing",
    "AsyncClient",
    "Card",
    "Classified",
    "Client",
    "DeadlineExceeded",
    "DenoiseQuality",
    "Denoised",
    "Faulty",
    "Images",
    "Latents",
    "Limits",
    "Models",
    "NotFound",
    "Overloaded",
    "Ready",
    "ReconstructQuality",
    "Reconstructed",
    "Refused",
    "Retries",
    "Sampled",
    "Scored",
    "Scores",
    "ServiceError",
    "TooLarge",
    "Unprocessable",
    "Unreachable",
]
