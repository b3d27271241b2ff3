"""Checkpoints: trust, damage, atomic writing, disks."""

import errno
import shutil

import pytest
import torch
from omegaconf import DictConfig

import lightning_gans
from conftest import assert_same_training, command_here, compose, evaluation, newest, run, tiny
from lightning_gans import build
from lightning_gans.callbacks.stability import DivergedError
from lightning_gans.checkpoints import files as checkpoint_files
from lightning_gans.checkpoints import integrity, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    run(path)
    return path


def tampered(folder, tmp_path, change):
    content = newest(folder)
    change(content["config"]["resolved"]["model"])
    torch.save(content, tmp_path / "tampered.ckpt")
    return tmp_path / "tampered.ckpt"


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "lightning_gans.models.base.copy.deepcopy",  # starts like ours, resolves to something else
        "lightning_gans.checkpoints.load.os.system",
        "lightning_gans.checkpoints.load.load",  # ours, but no network, optimiser or objective
        "torch.hub.load",
        "torch.nn.utils.clip_grad_norm_",
    ],
)
def test_untrusted_names_are_refused(folder, tmp_path, target):
    path = tampered(folder, tmp_path, lambda model: model["generator"].update(_target_=target))
    with pytest.raises(ValueError, match="is not trusted"):
        lightning_gans.load(path)


def test_interpolations_are_refused(folder, tmp_path):
    path = tampered(folder, tmp_path, lambda model: model.update(seed="${oc.env:HOME}"))
    with pytest.raises(ValueError, match="not resolved"):
        lightning_gans.load(path)


def test_own_networks_need_trust(folder, tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "from lightning_gans.networks.dcgan import Generator\nclass Mine(Generator):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tampered(folder, tmp_path, lambda model: model["generator"].update(_target_="my_networks.Mine"))
    with pytest.raises(ValueError, match=r"my_networks\.Mine.*trust"):
        lightning_gans.load(path)
    loaded = lightning_gans.load(path, trust=["my_networks"])
    assert type(loaded.generator).__name__ == "Mine"


def test_code_in_a_pickle_never_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": {}, "config": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        checkpoint_files.read(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_names_inside_tuples_are_refused(folder, tmp_path):
    """Plain data may hold tuples, and Hydra builds what is in them."""
    content = newest(folder)
    evil = ({"_target_": "pathlib.Path.touch", "_args_": [str(tmp_path / "ran")]},)
    content["config"]["resolved"]["model"]["objective"] = evil
    torch.save(content, tmp_path / "tuple.ckpt")
    with pytest.raises(ValueError, match="is not trusted"):
        lightning_gans.load(tmp_path / "tuple.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_damaged_files_are_named(folder, tmp_path, content):
    whole = (folder / "checkpoints" / "last.ckpt").read_bytes()
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=r"damaged\.ckpt: not a readable checkpoint"):
        lightning_gans.load(path)


def test_a_state_dict_alone_is_not_a_checkpoint(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.ckpt")
    with pytest.raises(ValueError, match="not a checkpoint of lightning_gans"):
        checkpoint_files.read(tmp_path / "weights.ckpt")


def test_a_module_without_config_says_so(folder, tmp_path):
    content = newest(folder)
    content["config"] = None
    torch.save(content, tmp_path / "bare.ckpt")
    with pytest.raises(ValueError, match="holds no config"):
        lightning_gans.load(tmp_path / "bare.ckpt")


class FullDisk:
    """``torch.save`` that fills the disk from the nth call on."""

    def __init__(self, monkeypatch, works_for, error):
        self.calls, self.works_for, self.error, self.save = 0, works_for, error, torch.save
        monkeypatch.setattr(torch, "save", self)

    def __call__(self, content, file):
        self.calls += 1
        if self.calls > self.works_for:
            file.write(b"half")
            raise self.error
        self.save(content, file)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")])
def test_a_full_disk_loses_no_earlier_checkpoint(tmp_path, monkeypatch, error):
    """Intervals warn and go on; the last save is an error; what was there stays and can be loaded."""
    FullDisk(monkeypatch, 2, error)
    every_step = ["trainer.max_steps=5", "callbacks.checkpoint.every_n_train_steps=1"]
    with (
        pytest.warns(UserWarning, match=r"could not save .*step-000003\.ckpt.*earlier checkpoints are untouched"),
        pytest.raises(OSError, match=r"could not save .*step-000005\.ckpt"),
    ):
        run(tmp_path, *every_step)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "last.ckpt",
        "step-000001.ckpt",
        "step-000002.ckpt",
    ]
    assert lightning_gans.load(tmp_path).iteration == 2


def test_too_little_disk_is_said_before_training(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match=r"MB of disk are free, checkpoints need about"):
        run(tmp_path)


def test_keeps_the_newest_and_the_best(tmp_path):
    run(
        tmp_path,
        "trainer.max_steps=5",
        "callbacks.checkpoint.every_n_train_steps=1",
        evaluation(every_n_train_steps=1, n=20),
    )
    files = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert files == {"step-000004.ckpt", "step-000005.ckpt", "last.ckpt", "best.ckpt"}
    import json

    scores = {
        int(path.stem[5:]): json.loads(path.read_text())["scores"]["fd_digits"]
        for path in (tmp_path / "scores").iterdir()
    }
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == min(scores, key=scores.get)
    assert newest(tmp_path)["global_step"] == 5


def test_the_best_score_lives_on_in_a_resumed_run(tmp_path, monkeypatch):
    """A later, worse score leaves ``best.ckpt`` alone, though the resumed checkpoint was written before the best."""
    from lightning_gans.evaluation.evaluator import Evaluator

    scores = {2: 20.0, 4: 5.0, 6: 10.0}
    compute = Evaluator.__call__

    def fixed(self, module, data, **options):
        card = compute(self, module, data, **options)
        return {**card, "scores": {"fd_digits": scores[module.iteration]}}

    monkeypatch.setattr(Evaluator, "__call__", fixed)
    options = ["callbacks.checkpoint.every_n_train_steps=2", evaluation(every_n_train_steps=2)]
    run(tmp_path, *options, "trainer.max_steps=4")
    run(tmp_path, *options, "trainer.max_steps=6", resume=str(tmp_path))
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 4


def test_a_failing_evaluation_loses_no_step(tmp_path, monkeypatch):
    from lightning_gans.evaluation.evaluator import Evaluator

    def broken(self, *args, **options):
        raise MemoryError("no memory left")

    monkeypatch.setattr(Evaluator, "__call__", broken)
    with pytest.raises(MemoryError):
        run(tmp_path, evaluation(every_n_train_steps=100))
    assert newest(tmp_path)["global_step"] == 4


def test_monitor_must_be_a_score_that_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"callbacks\.checkpoint\.monitor=typo: must be among fd_digits"):
        run(tmp_path, evaluation(), "callbacks.checkpoint.monitor=typo")


def test_other_files_and_later_steps_in_the_folder_are_left_alone(tmp_path):
    steps = ["callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.keep=1"]
    run(tmp_path, *steps, "trainer.max_steps=2")
    folder = tmp_path / "checkpoints"
    for name in ("step-000099.ckpt", "step-000002-good.ckpt", "mine.ckpt"):
        (folder / name).write_bytes(b"x")
    run(tmp_path, *steps, resume=str(folder / "step-000002.ckpt"))
    names = {path.name for path in folder.iterdir()}
    assert names == {"step-000099.ckpt", "step-000002-good.ckpt", "mine.ckpt", "step-000004.ckpt", "last.ckpt"}


def test_signals_are_given_back(tmp_path):
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_diverging_names_step_term_and_last_good_checkpoint(tmp_path):
    made = build(
        compose(
            *tiny(),
            "trainer.max_steps=8",
            "callbacks.checkpoint.every_n_train_steps=2",
            "callbacks.stability.every_n_train_steps=4",
        ),
        tmp_path,
    )
    loss = made.model.generator_loss

    def broken(batch):
        factor = float("nan") if made.model.iteration == 2 else 1.0  # in the third update
        return {name: term * factor for name, term in loss(batch).items()}

    made.model.generator_loss = broken
    with pytest.raises(DivergedError) as caught:
        made.fit()
    message = str(caught.value)
    assert "train/g_adversarial not finite at generator update 3" in message
    assert str(tmp_path / "checkpoints" / "last.ckpt") in message
    assert newest(tmp_path)["global_step"] == 2


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    made = build(compose(*tiny(), "callbacks.stability=null"), tmp_path)
    with torch.no_grad():
        made.model.discriminator.layers[0].weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match=r"is not finite after generator update 4; nothing was saved"):
        made.fit()
    assert not list((tmp_path / "checkpoints").glob("*.ckpt"))


@pytest.mark.parametrize("model", ["began", "cyclegan", "pix2pix_hd", "progan"])
def test_older_checkpoints_keep_their_networks(tmp_path, model, monkeypatch):
    """Options that came later are at what the networks were then, when a checkpoint is loaded and when it goes on."""
    then = {
        "began": {"discriminator": {"widen": "down"}},
        "progan": {"generator": {"bias_before_norm": True}, "discriminator": {"group_size": 4}},
    }
    networks = ("generator", "generator_back", "discriminator", "discriminator_back", "encoder")
    wide = compose(*tiny(model)).model
    defaults = {name: {"bias_before_norm": False} for name in networks if isinstance(wide.get(name), DictConfig)}
    options = then.get(model, defaults)
    typed = [f"model.{name}.{key}={value}" for name, node in options.items() for key, value in node.items()]
    typed += ["model.generator.norm=batch"] if model == "progan" else []
    run(tmp_path / "old", *typed, "trainer.max_steps=2", model=model)
    run(tmp_path / "whole", *typed, "trainer.max_steps=3", model=model)
    content = newest(tmp_path / "old")
    for config in content["config"].values():
        for name, node in options.items():
            for key in node:
                del config["model"][name][key]
    content.pop(integrity.FORMAT)  # which came later too
    older = tmp_path / "old" / "checkpoints" / "last.ckpt"
    torch.save(content, older)
    assert lightning_gans.load(older).iteration == 2
    options = [f"resume={older}", "trainer.max_steps=3"]
    assert command_here("lightning_gans.train", *options, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert_same_training(newest(tmp_path / "old"), newest(tmp_path / "whole"))


def test_a_checkpoint_of_another_version_says_so(tmp_path):
    run(tmp_path)
    content = newest(tmp_path)
    content["config"]["resolved"]["model"]["no_longer_known"] = 1
    with pytest.raises(ValueError, match="of another version of this package.*no_longer_known"):
        load.rebuild(content)
