"""What is typed reaches Hydra as it was meant."""

import pytest

from lightning_gans import compose
from lightning_gans.config.overrides import (
    drop_tuned,
    exclusive_budget,
    join_list,
    options_first,
    override_value,
    quote_paths,
    resume_arguments,
)


@pytest.mark.parametrize(
    "value", ["my run (1)/a=b.ckpt", 'with "quotes", and commas', "plain.ckpt", "a$b{c}", r"back\sl\"ash\\", "ü/ñ"]
)
def test_paths_reach_us_as_typed(value):
    arguments = quote_paths([f"checkpoint={value}", f"out={value}", "n=3"])
    assert quote_paths(arguments) == arguments
    assert override_value(arguments, "checkpoint") == value
    cfg = compose(f"checkpoint={value}", f"out={value}", config="sample")
    assert cfg.checkpoint == cfg.out == value


def test_bare_words_after_run_are_further_folders():
    words = ["run=a b", "c", 'd"e', "out=x"]
    assert join_list(words, "run") == [r'run=["a b","c","d\"e"]', "out=x"]
    assert join_list(["out=x", "run=a"], "run") == ["out=x", "run=a"]
    assert join_list(["--help"], "run") == ["--help"]


def test_options_come_before_overrides_with_their_values():
    words = ["seed=1", "--config-dir", "conf a", "model=mine", "-m", "--cfg=job", "-cn", "other", "n=2"]
    ordered = ["--config-dir", "conf a", "-m", "--cfg=job", "-cn", "other", "seed=1", "model=mine", "n=2"]
    assert options_first(words) == ordered


@pytest.mark.parametrize(
    ("words", "added"),
    [
        (["seed=1"], []),
        (["trainer.max_steps=2"], ["max_kimg=null", "max_epochs=null"]),
        (["max_kimg=2"], ["max_epochs=null"]),
        (["max_epochs=2", "max_kimg=1"], []),
    ],
)
def test_a_typed_budget_is_the_only_one(words, added):
    assert exclusive_budget(words) == [*words, *added]


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        ([], False),
        (["model/network=resnet"], True),  # dcgan_digits.yaml is made for another
        (["model=lsgan", "model/objective=hinge"], False),
        (["model=progan", "model/growth=none"], True),  # the file sets options of the growth
        (["model=stylegan", "model/penalty=gradient_penalty"], True),
        (["model=srgan", "data=photo_patches", "model/network=resnet"], True),
        (["model/network=resnet", "data=mnist"], False),  # no file for this pair
        (["model/network=resnet", "tuned=dcgan_digits"], False),  # asked for
        (["model/network=resnet", "resume=x"], False),
        (["model=cgan", "model/network=dcgan"], True),
    ],
)
def test_what_is_tuned_for_other_networks_is_left_out(words, left_out):
    assert drop_tuned(words) == words + ["tuned=none"] * left_out


@pytest.mark.parametrize("objective", ["hinge", "saturating", "non_saturating"])
def test_a_typed_objective_leaves_out_what_is_tuned_of_the_familys_own_alone(objective):
    words = [f"model/objective={objective}"]
    assert drop_tuned(words) == [*words, "~model.objective.label_smoothing"]  # dcgan_digits.yaml smooths labels
    model = compose(*words).model
    assert model.objective.get("label_smoothing", 0) == 0
    assert model.generator.base_channels == 32
    smoothed = [*words, "model.objective.label_smoothing=0.2"]
    assert drop_tuned(smoothed) == smoothed


def test_a_network_of_the_family_has_what_is_tuned_for_it():
    words = ["model=cgan", "data=digits", "model/network=cgan_dcgan"]
    assert drop_tuned(words) == [*words, "tuned=cgan_dcgan_digits"]
    assert drop_tuned([*words, "data=mnist"]) == [*words, "data=mnist"]  # no file for this pair
    assert drop_tuned(["model=gan", "model/network=dcgan"]) == ["model=gan", "model/network=dcgan", "tuned=none"]


def test_resume_arguments_are_stable():
    """Processes that are started again with what we made of the arguments see the same config."""
    source = {"model": {"a": 1}, "logger": {"csv": {}}, "seed": 1}
    once = resume_arguments(["resume=x", "logger=wandb", "seed=2"], source, None)
    assert once == ["--config-name=resumed", "resume=x", "+logger=wandb", "seed=2"]
    assert resume_arguments(once, source, None) == once
