"""Merges on state dicts small enough to check by hand."""

import pytest
import torch

from forgetting.merging import weighted_sum


def test_weighted_sum_by_hand():
    one, two = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([10.0, 20.0])}
    total = weighted_sum([(1.0, one), (0.5, two), (-0.5, one)])
    assert total["w"].tolist() == [5.5, 11.0]
    assert one["w"].tolist() == [1.0, 2.0]


def test_models_of_different_shape_cannot_be_merged():
    one = {"w": torch.zeros(2), "b": torch.zeros(1)}
    with pytest.raises(ValueError, match="models differ in parameters, first: b"):
        weighted_sum([(1.0, one), (1.0, {"w": torch.zeros(2)})])
    with pytest.raises(ValueError, match=r"w has shapes \(2,\) and \(3,\)"):
        weighted_sum([(1.0, {"w": torch.zeros(2)}), (1.0, {"w": torch.zeros(3)})])
