"""Random numbers of a tensor: of its name and a seed, whatever is merged before or after it."""

import hashlib

import torch


def generator(seed: int, name: str, model: int = 0) -> torch.Generator:
    """A generator for the tensor `name` of the model of this number."""
    digest = hashlib.sha256(f"{seed} {model} {name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
