"""Named streams of random numbers: each purpose draws from its own, so none disturbs another."""

from __future__ import annotations

import hashlib

import torch


def named(seed: int, purpose: str, epoch: int = 0) -> int:
    """A 63-bit seed that depends on all three, the same on every machine."""
    words = f"{seed}/{purpose}/{epoch}".encode()
    return int.from_bytes(hashlib.sha256(words).digest()[:8], "big") >> 1


def generator(
    seed: int, purpose: str, epoch: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator that starts at the same place whenever it is asked for by the same name."""
    return torch.Generator(device).manual_seed(named(seed, purpose, epoch))
