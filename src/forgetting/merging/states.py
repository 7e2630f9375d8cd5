"""State dicts: a parameter's name to its tensor. Merges need the same names and shapes."""

from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]


def require_one_architecture(first: State, other: State) -> None:
    """Raise `ValueError` with the first name or shape in which two models differ."""
    if first.keys() != other.keys():
        odd = sorted(first.keys() ^ other.keys())
        raise ValueError(f"models differ in parameters, first: {odd[0]}")
    for name, tensor in other.items():
        if first[name].shape != tensor.shape:
            shapes = f"{tuple(first[name].shape)} and {tuple(tensor.shape)}"
            raise ValueError(f"{name} has shapes {shapes}; merges need one architecture")
