"""Examples of bodies for /docs: real digits of MNIST's test set, small enough to stand in JSON."""

from __future__ import annotations

from typing import Any

# docs/examples/clean-mnist.png and noisy-mnist.png, and another digit to walk to.
CLEAN = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAA1klEQVR42mNgGKqAb+pBVlxy0Q/+/hXGISfz+t/f"
    "v8uEsEtO+Pvv79+/74rZsMjJf/x7Yeffv3+fS2CR9P93kIEj6fa//ycRJjPBGOz/+xl+zLv9//+3X5iSkQzeDAwM"
    "JgwMJ75gGhv294JG6LLfb/+90cKUFHr399/fvztVbvydgcVFLh/+/5vIwdD2774yNtl5fTwMDJzr/y7EHcIRfx/B"
    "PMOMIXlN3fL7QZxaDb7+VcOlk+HFTzepzX9waRW99U8Pt5vk/i3FkyZ2fdHCk2Du+1GW4gBHEVSc5Rx+tgAAAABJ"
    "RU5ErkJggg=="
)
NOISY = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAACRUlEQVR42jXSz2vbdQDG8VeT/ghN9k3StFlj2qRt"
    "NpKmm2lif83W1bpV7GzBMt0mU6xgJxM8iJ0/huhtBw96E9xlCIKCwv4C8aIehnoqOHSKIIKIo1ERCpN9PATf1wee"
    "93N4HENZnAdqqhYgzwrnxKAfup1ogOXZyoEnZlnGDFQZcu9adFSLXg1M5FbE439t3GnfHt5futW+Wa63U7+N7NmL"
    "3S0Wvw+HnGlI6sFOp8HrnhHLMulBjVrN5f6oe/w8piaW6j1Vx0zBiid7JYtsbIsVvv4cwyoKOuTnDbyLzbnqjXC9"
    "UMq7/wiiGGlONXQ3TfWuhBDCdyWT8JIkadJEVuU/3A9/hPDZe8e3pyVnzMaefU7+YfHibDx79YvdjfDPv/t3JpCC"
    "h6B5IIHnd3/NaIS74c3CzLitBFpIyMwUFrfDxXVeDOEtOMp6Z3CZ5tZH4Rb+3A1vw/KjPAJGFo268kE4+8an7W9C"
    "OMUcDBb1R3OXaC36JYSr+5/0/fz3tcok6hxEPinWIhP2wjtNl0N4rWOrMY7NyiFORjtXHpdxrR38z/V15qteaBBh"
    "/nD69y+nO9GAmro0xMVPyiLcPjcGI4MWeiiBvlTnMakQUhg8P2yELeoHKTWlTm+L/HDzJ2NV0xjdSSZeVYOc0RNw"
    "48ctBpFVInc8xtjLVrsYWiB8POaVp0+j3CulOV1uQQV9pW/DRXITIixvLokkml2pC/UUl/rXvho6DEtZkC6u07hg"
    "MuMsw7mux1bFcR+s8RTex5F7nBmQYfM/n22SeSEhcg8AAAAASUVORK5CYII="
)
OTHER = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAAZElEQVR42mNgGMxA/Pb/TGQ+EzJHWOmfKU5JSTST"
    "UCRj8Uky0EcSBYT9/XuLH5ek1t+/f8Xp79oLX/BIXvyKS1IMjxU8p//+9cIpu+DvAU5ccqIf/25AEWBGYv/49uXF"
    "NjqkRgB4ahsbhIifMgAAAABJRU5ErkJggg=="
)

# One image of a model with six latents, as mnist-vae-6 has.
LATENTS: dict[str, Any] = {
    "one": {
        "summary": "one image from six latents",
        "value": {"latents": [[0.5, -1.0, 0.0, 1.2, -0.3, 0.8]]},
    },
}


def of_images(*, references: bool, exactly: int | None) -> dict[str, Any]:
    """OpenAPI's `examples` of a JSON body of images."""
    if exactly == 2:
        return _example("two", "two digits", {"images": [CLEAN, OTHER]})
    one = _example("one", "one digit", {"images": [NOISY if references else CLEAN]})
    if not references:
        uri = f"data:image/png;base64,{OTHER}"
        return one | _example("several", "base64 and a data URI", {"images": [CLEAN, uri]})
    scored = {"images": [NOISY], "references": [CLEAN]}
    return one | _example("scored", "with its clean original, to be scored", scored)


def _example(name: str, summary: str, value: dict[str, Any]) -> dict[str, Any]:
    return {name: {"summary": summary, "value": value}}
