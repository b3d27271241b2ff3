"""What is typed reaches Hydra as it was meant."""

import pytest
from omegaconf import OmegaConf

from lightning_gans import compose
from lightning_gans.config.overrides import (
    exclusive_budget,
    join_list,
    options_first,
    override_value,
    quote_paths,
    resume_arguments,
)
from lightning_gans.config.tuned import drop_tuned


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
        (["model/penalty=r1", "model/objective=saturating"], False),  # of which it says nothing
        (["model=srgan", "data=photo_patches", "model/network=resnet"], True),
        (["model/network=resnet", "data=mnist"], False),  # no file for this pair
        (["model/network=resnet", "tuned=dcgan_digits"], False),  # asked for
        (["model/network=resnet", "resume=x"], False),
        (["model=cgan", "model/network=dcgan"], True),
        (["-m", "model=dcgan,wgan", "model/network=resnet"], True),
    ],
)
def test_what_is_tuned_for_other_networks_is_left_out(words, left_out):
    assert drop_tuned(words) == words + ["tuned=none"] * left_out


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (["model=infogan", "model/augment=adaptive"], "infogan_digits_without_augment"),
        (["model=infogan", "model/augment=none"], "infogan_digits_without_augment"),
        (["model=progan", "model/growth=none"], "progan_digits_without_growth"),
        (["model=stylegan", "model/penalty=gradient_penalty"], "stylegan_digits_without_penalty"),
        (["model/objective=hinge", "model/augment=adaptive", "model.augment.p=0.5"], "dcgan_digits_without_augment"),
        (["model=stylegan2", "model/penalty=r1", "model/augment=none"], "stylegan2_digits_without_penalty-augment"),
    ],
)
def test_a_typed_part_takes_the_place_of_the_tuned_one_whole(words, left_out):
    said = drop_tuned(words)
    assert said == [*words, f"tuned={left_out}"]
    assert drop_tuned(said) == said  # as a process that is started again sees it
    tuned, plain = (OmegaConf.to_container(compose(*words, *more)) for more in ((), ("tuned=none",)))  # unresolved
    for part in left_out.partition("_without_")[2].split("-"):
        assert tuned["model"][part] == plain["model"][part]
    assert tuned["trainer"]["max_steps"] != plain["trainer"]["max_steps"]
    assert tuned["model"]["generator"] != plain["model"]["generator"]


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=dcgan_celeba64", "data.root=x", "model/augment=diffaugment"],
        ["experiment=r3gan_cifar10", "data.root=x", "model/augment=none"],
        ["experiment=ring_r3gan", "model/augment=none"],
        ["experiment=progan_ablation_b", "data.root=x", "model/growth=none"],  # whose first says tuned=none
        ["experiment=dcgan_lsun64,dcgan_celeba64", "model/augment=none"],
        ["sweep=lucic", "model/penalty=none", "model/augment=none"],
        ["resume=x", "model/augment=none"],
        ["++model.augment.sigma=0.2"],
    ],
)
def test_what_is_not_of_a_tuned_pair_is_left_alone(words):
    assert drop_tuned(words) == words


@pytest.mark.parametrize("many", [["model=dcgan,infogan,wgan"], ["data=digits,mnist", "model=dcgan"]])
def test_a_sweep_over_pairs_leaves_a_typed_part_out_of_each(many):
    words = ["-m", *many, "model/augment=diffaugment"]
    said = drop_tuned(words)
    assert said == [*words, 'tuned="${model}_${data}_without_augment"']
    assert drop_tuned(said) == said
    for model in ("dcgan", "infogan", "wgan"):
        one, alone = (compose(f"model={model}", "model/augment=diffaugment", *end) for end in (said[-1:], ()))
        assert one == alone
        assert "sigma" not in one.model.augment


def test_an_experiments_part_takes_the_place_of_the_tuned_one_too(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /model/augment: diffaugment\n  - _self_\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    for option in (["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"]):
        words = [*option, "experiment=mine"]
        assert drop_tuned(words) == [*words, "tuned=dcgan_digits_without_augment"]


@pytest.mark.parametrize("typed", ["+model.augment._target_=a.B", "++model.augment={_target_: a.B}"])
def test_a_class_of_ones_own_is_a_typed_part(typed):
    assert compose(typed).model.augment == {"_target_": "a.B"}
    assert compose(typed).model.generator.base_channels == 32


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
