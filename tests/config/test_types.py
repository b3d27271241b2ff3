"""Ranges and choices stand in annotations, and a mistake is told by key, value and what is allowed."""

import pickle
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, MinLen
from typing_extensions import Required, TypedDict, Unpack

from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.types import (
    FractionAboveZero,
    FractionBelowOne,
    NonNegative,
    Positive,
    PositiveInt,
    check_value,
    checked,
)


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        (-1, PositiveInt, "-1: must be >= 1"),
        (8.0, PositiveInt, "8.0: must be an integer >= 1"),
        (True, PositiveInt, "true: must be an integer >= 1"),
        ("two", PositiveInt, "two: must be an integer >= 1"),
        (None, PositiveInt, "null: must be an integer >= 1"),
        (0, PositiveInt | None, "0: must be >= 1, or null"),
        (0, PositiveInt | Literal["auto"], "0: must be >= 1"),
        (float("nan"), float, "nan: must be a finite number"),
        (float("inf"), Positive | None, "inf: must be a finite number, or null"),
        (2, FractionBelowOne, "2: must be from 0 to below 1"),
        (0, FractionAboveZero | None, "0: must be above 0, to 1, or null"),
        ("stp", Literal["stop", "skip"], "stp: must be stop or skip. Did you mean 'stop'?"),
        ([], Annotated[Sequence[Literal["a", "b"]], MinLen(1)], "[]: must be a list of a or b, not empty"),
        ([0.5], tuple[float, float], "[0.5]: must be a list of 2 numbers"),
        ([2, 0.9], tuple[FractionBelowOne, FractionBelowOne], "[2, 0.9]: must be a list of 2 numbers from 0 to"),
        ([1, -2], Sequence[PositiveInt], "[1, -2]: must be a list of integers >= 1"),
        ("a", Sequence[str] | None, "a: must be a list, e.g. [a], or null"),
        ("foo", Callable[..., int] | None, "foo: must be a node {_target_: ..., _partial_: true, ...}, or null"),
        ("maybe", bool, "maybe: must be true or false"),
    ],
)
def test_mistakes_in_the_words_of_configs(value, hint, said):
    with pytest.raises(ConfigError) as told:
        check_value("model.key", value, hint)
    assert str(told.value).startswith(f"model.key={said}")
    assert (told.value.key, told.value.value) == ("model.key", value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [(1, PositiveInt), (1, Positive), (0.5, Positive | None), (None, PositiveInt | None), ("auto", PositiveInt | str)],
)
def test_what_is_allowed(value, hint):
    check_value("key", value, hint)


class Base:
    @checked
    def __init__(
        self, rate: Positive, *, size: Annotated[int, Ge(4)] = 8, order: Literal["a2b", "b2a"] = "a2b"
    ) -> None:
        self.rate, self.size, self.order = rate, size, order


class Child(Base):
    @checked
    def __init__(self, weight: NonNegative = 1.0, **options: object) -> None:
        super().__init__(2.0, **options)
        self.weight = weight


def test_constructors_are_held_to_their_annotations():
    assert (Child(0, size=4).rate, Child(3).weight) == (2.0, 3)
    for options, said in (
        ({"weight": -1}, "weight=-1: must be >= 0"),
        ({"size": 3}, "size=3: must be >= 4"),
        ({"order": "c"}, "order=c: must be a2b or b2a"),
    ):
        with pytest.raises(ConfigError, match=f"^{said}$"):
            Child(**options)
    with pytest.raises(TypeError, match="sizes"):
        Child(sizes=3)
    with pytest.raises(TypeError, match="rate"):
        Base()


class Options(TypedDict, total=False):
    rate: Required[Positive]
    size: Annotated[int, Ge(4)]


class Further(Base):
    @checked
    def __init__(self, *, weight: NonNegative = 1.0, **options: Unpack[Options]) -> None:
        self.weight, self.rest = weight, options


def test_unpacked_options_are_checked_as_arguments_are():
    assert Further(rate=2.0, size=4).rest == {"rate": 2.0, "size": 4}
    for options, said in (({"rate": 0}, "rate=0: must be > 0"), ({"rate": 1, "size": 3}, "size=3: must be >= 4")):
        with pytest.raises(ConfigError, match=f"^{said}$"):
            Further(**options)
    with pytest.raises(TypeError, match=r"Further.__init__\(\) got an unexpected keyword argument 'sizes'"):
        Further(rate=1, sizes=3)


def test_an_error_is_placed_by_its_key():
    error = ConfigError("size", 3, "must be >= 4")
    assert str(error.at("model.growth")) == "model.growth.size=3: must be >= 4"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(ConfigError("data.image_size", [3, 4], "too small").at("model.generator")).startswith(
        "data.image_size=[3"
    )
    assert str(ConfigError("seed", MISSING, "missing; say seed=...").at("")) == "seed: missing; say seed=..."
