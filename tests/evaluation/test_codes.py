"""Best assignment of categories to classes."""

import itertools

import pytest
import torch

from lightning_gans.evaluation.codes import best_assignment


def test_renamed_classes_agree_completely():
    classes = torch.tensor([0, 0, 1, 2, 2, 2])
    assert best_assignment(torch.tensor([2, 2, 0, 1, 1, 1]), classes) == (1.0, (1, 2, 0))


def test_it_is_the_best_of_all_permutations():
    rng = torch.Generator().manual_seed(0)
    categories, classes = (torch.randint(4, (50,), generator=rng) for _ in range(2))
    best = max(
        sum(order[c] == label for c, label in zip(categories.tolist(), classes.tolist(), strict=True)) / 50
        for order in itertools.permutations(range(4))
    )
    assert best_assignment(categories, classes).accuracy == best


def test_one_to_one_also_where_a_class_has_two_categories():
    found = best_assignment(torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 0, 0, 0, 1]))
    assert found == (4 / 6, (0, -1, 1))
    with pytest.raises(ValueError, match="no examples"):
        best_assignment(torch.empty(0).long(), torch.empty(0).long())
