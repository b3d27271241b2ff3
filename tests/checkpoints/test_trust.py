"""Crafted checkpoints: every role x command, with and without trust, runs nothing of a stranger's.

``pytest tests/checkpoints/test_trust.py -k table -s`` prints the table of attacks. Roles and commands are found in the
configs, so that a new one is attacked without being named here.
"""

import copy
import functools
import inspect
import os
import socket
import sys
import threading
import typing
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from torch import nn

import lightning_gans
from conftest import MODELS, command_here, needs, newest, run, tiny
from lightning_gans import build, compose
from lightning_gans.augment.base import Augmentation
from lightning_gans.checkpoints import files, integrity, load, roles
from lightning_gans.config import local
from lightning_gans.config import schemas as config_schemas
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.config.validation import target_nodes
from lightning_gans.evaluation.cache import RealCache
from lightning_gans.extractors.classifier import ClassifierExtractor
from lightning_gans.extractors.inception import Inception
from lightning_gans.losses.objectives import Objective
from lightning_gans.losses.penalties import Penalty
from lightning_gans.losses.perceptual import Perceptual
from lightning_gans.models.ema import EMA
from lightning_gans.weights import gan_zoo, published

# What each command that reads a checkpoint needs beside it; one that is not here fails.
COMMANDS = {
    "sample": ["n=2"],
    "interpolate": ["mode=nearest", "rows=2", "steps=3", "n_real=4"],
    "evaluate": ["n=4", "n_real=4", "metrics=[frechet]", "cache=null"],
    "translate": ["input=pictures", "sheet=0"],
    "export": ["out=g.safetensors"],
    "train": ["trainer.max_steps=1"],
    "finetune": ["frames=person", "epochs=0", "out=me.ckpt"],
    "animate": ["driving=person", "out=film.gif"],
    "project": ["input=pictures/a.png", "steps=1", "plus=false"],
}
EVIL = "import pathlib\npathlib.Path({marker!r}).touch()\nclass Evil:\n    pass\n"


def reading_commands():
    """Commands whose config takes a checkpoint, by their schemas."""
    return sorted(
        name
        for name, kind in config_schemas.SCHEMAS.items()
        if {"checkpoint", "resume"} & set(kind.__annotations__) and name != "demo"  # whose own tests have it
    )


def all_roles():
    """Places in configs where something is named, over all families and sets."""
    found = set()
    for choice in [f"model={name}" for name in MODELS] + ["logger=wandb", "logger=tensorboard", "extractor=digits"]:
        found |= {path for path, _ in target_nodes(compose(choice, *needs(choice)), "")}
    augmented = compose("model/augment=diffaugment", "model=progan", "model/penalty=r1")
    return sorted(found | {path for path, _ in target_nodes(augmented, "")} | {"callbacks.evaluation.extractor"})


ROLES = all_roles()


def made(tmp_path, model):
    """The content of a checkpoint of a family before its first step."""
    built = build(compose(*tiny(model)), tmp_path)
    built.model.scheduler_factories = dict.fromkeys(built.model.scheduler_factories)  # which would count a pass
    content = load.initial_checkpoint(built.model)
    return {**copy.deepcopy(content), "loops": {}}


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    path = tmp_path_factory.mktemp("made")
    return {model: made(path, model) for model in ("dcgan", "pix2pix", "stylegan2", "talking_heads")}


MADE_FOR = {
    "translate": "pix2pix",
    "project": "stylegan2",
    "finetune": "talking_heads",
    "animate": "talking_heads",
}  # other commands take any family, here DCGAN


def put(content, place, node):
    """A copy of a content whose configs have this node at that place."""
    changed = {**content, "config": copy.deepcopy(content["config"])}
    for kind in ("resolved", "source"):
        *path, last = place.split(".")
        inner = changed["config"][kind]
        for key in path:
            if not isinstance(inner.get(key), dict):
                inner[key] = {}
            inner = inner[key]
        inner[last] = node
    return changed


def poisoned(content, place):
    """A copy of a content that names a stranger's class at that place, all else there as it was."""
    node = OmegaConf.select(OmegaConf.create(content["config"]["resolved"]), place)
    return put(content, place, {**(OmegaConf.to_container(node) if node else {}), "_target_": "evilmod.Evil"})


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A package of a stranger's in the current folder, and the file that it leaves when it is imported."""
    marker = tmp_path / "ran"
    (tmp_path / "evilmod.py").write_text(EVIL.format(marker=str(marker)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def forget():
        marker.unlink(missing_ok=True)
        sys.modules.pop("evilmod", None)

    forget()
    yield marker, forget
    forget()


def outcome(name, content, trust, evil, tmp_path, monkeypatch, capsys):
    """How a command ends at a content: its exit code, whether a stranger's code ran, what was said."""
    marker, forget = evil
    forget()
    path = tmp_path / "evil.ckpt"
    torch.save(content, path)
    own = ["resume=evil.ckpt", "hydra.run.dir=resumed"] if name == "train" else ["checkpoint=evil.ckpt", "out=out"]
    own += [] if not trust else [f"trust=[{trust}]"]
    own += [] if name in ("train", "evaluate") else ["overwrite=true"] if name not in ("interpolate", "project") else []
    capsys.readouterr()
    code = command_here(f"lightning_gans.{name}", *own, *COMMANDS[name], cwd=tmp_path, monkeypatch=monkeypatch)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, marker.exists(), said


def test_the_table_of_attacks(contents, evil, tmp_path, monkeypatch, capsys):
    """Without trust nothing is imported, whatever a role names; a training that trusts imports each."""
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "pictures" / "a.png")
    for name in ("frames", "drawings"):
        (tmp_path / "person" / name).mkdir(parents=True)
        Image.new("L", (16, 16)).save(tmp_path / "person" / name / "a.png")
    assert set(reading_commands()) == set(COMMANDS)
    how = (evil, tmp_path, monkeypatch, capsys)
    sections = sorted({role.partition(".")[0] for role in ROLES})
    for name in COMMANDS:
        row = []
        for section in sections:
            within = [role for role in ROLES if role.partition(".")[0] == section]
            code, ran, said = outcome(
                name, functools.reduce(poisoned, within, contents[MADE_FOR.get(name, "dcgan")]), "", *how
            )
            assert not ran, (name, section)
            assert code == 0 or "evilmod.Evil, which is not trusted" in said, (name, section, said)
            assert code or section != "model", name
            row.append(f"{section}: {'refused' if code else 'not read':<8}")
        print(f"{name:<12}", "  ".join(row))
    for role in ROLES:  # one by one, by the command that reads all of them
        content = poisoned(contents["dcgan"], role)
        code, ran, said = outcome("train", content, "", *how)
        assert not ran, role
        assert code, role
        assert "evilmod.Evil, which is not trusted" in said, (role, said)
        code, ran, said = outcome("train", content, "evilmod", *how)
        assert code, (role, said)
        assert ran, (role, said)  # the attack is real
        if role.startswith("model"):
            evil[1]()
            with pytest.raises(ValueError, match="evilmod.Evil, which is not trusted"):
                load.rebuild(content)
            assert not evil[0].exists(), role


STRANGERS = [
    {"_target_": "os.system", "command": "touch ran"},
    {"_target_": "pathlib.Path.touch", "_args_": ["ran"]},
    {"_target_": "evilmod.Evil"},
    {"_target_": "lightning_gans.checkpoints.load.os.system"},
    {"_target_": "lightning_gans.checkpoints.load.load", "path": "x"},
    {"_target_": "lightning_gans.checkpoints.roles.Callback"},  # imported there
    {"_target_": "lightning_gans.models.dcgan.AdversarialModule"},  # ours, and imported there
    {"_target_": "lightning_gans.checkpoints.roles.__loader__.exec_module"},
    {"_target_": "lightning_gans.losses.objectives.Hinge.__init__.__globals__"},
    {"_target_": "lightning_gans.losses.objectives.Hinge\n"},
    {"_target_": "lightning_gans..losses.Hinge"},
    {"_target_": " lightning_gans.losses.objectives.Hinge"},
    {"_target_": "lightning_gans.losses.objectives.Gone"},
    {"_target_": "lightning_gans.training.run._Ready"},
    {"_target_": "lightning_gans.extractors.inception.Inception"},  # without _partial_, which would download at once
    {"_target_": "lightning_gans.callbacks.resume.OptimizerOverrides", "before": {"_target_": "evilmod.Evil"}},
    {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "victim"},
    {"_target_": "lightning.pytorch.loggers.CSVLogger", "_partial_": True, "save_dir": "victim"},
    {"_target_": "torch.hub.load"},
    {"_target_": "torch.load"},
    {"_target_": "torch.nn.DataParallel"},
    {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1, "device": "cuda:7"},
    {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "evilmod.Evil"}]},
    {"_target_": "torch.optim.Adam", "_partial_": True, "lr": {"_target_": "evilmod.Evil"}},
    {"_target_": ["os", "system"]},
    {"_target_": None},
    [{"_target_": "evilmod.Evil"}],
    ({"_target_": "evilmod.Evil"},),
    {"a": {"b": [{"_target_": "evilmod.Evil"}]}},
]


@pytest.mark.parametrize("role", ROLES)
def test_strangers_are_refused_in_every_role(contents, evil, role):
    marker, _ = evil
    for node in STRANGERS:
        section = role.partition(".")[0]
        whole = put(contents["dcgan"], role, node)["config"]["resolved"]
        with pytest.raises(ValueError, match=r"^[^\n]{1,400}$"):
            roles.check_run(roles.plain(whole))
        if section in ("model", "data", "extractor"):
            with pytest.raises(ValueError, match=r"^[^\n]{1,400}$"):
                roles.build(whole[section], section)
    assert not marker.exists()
    assert not Path("ran").exists()


HONEST = {
    "model.objective": {"_target_": "lightning_gans.losses.objectives.Hinge"},
    "model.generator": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Identity"}]},
    "model.g_scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "_partial_": True, "step_size": 1},
    "extractor": {"_target_": "lightning_gans.extractors.digits.DigitsExtractor", "_partial_": True},
}


@pytest.mark.parametrize("option", ["_recursive_", "_args_", "_partial_"])
def test_hydras_own_options_do_not_change_what_is_built(contents, option):
    for place, node in HONEST.items():
        whole = put(contents["dcgan"], place, node)["config"]["resolved"]
        roles.check_run(roles.plain(whole))
        if place != "model.generator" or option != "_args_":
            value = {"_recursive_": False, "_args_": [1], "_partial_": not node.get("_partial_", False)}[option]
            changed = put(contents["dcgan"], place, {**node, option: value})["config"]["resolved"]
            with pytest.raises(ValueError, match="malformed"):
                roles.check_run(roles.plain(changed))


@pytest.mark.parametrize("choice", [f"model={name}" for name in MODELS] + ["logger=wandb", "logger=tensorboard"])
def test_what_our_own_configs_name_is_trusted(choice):
    roles.check_run(roles.plain(OmegaConf.to_container(compose(choice, *needs(choice)), resolve=True)))


def test_what_our_own_sets_and_parts_name_is_trusted():
    for path in CONF_DIR.rglob("*.yaml"):
        section = path.relative_to(CONF_DIR).parts[0]
        if section in ("data", "extractor"):
            node = yaml.safe_load(path.read_text())
            node.pop("defaults", None)
            if path.stem == "dataset":
                del node["dataset"]  # the user's own
            roles.check(node, roles.ROOT[section], path.stem, ())


def test_lightnings_callbacks_and_loggers_need_trust(contents):
    nodes = {
        "callbacks.x": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "victim"},
        "logger.x": {"_target_": "lightning.pytorch.loggers.WandbLogger", "_partial_": True, "entity": "e"},
    }
    for place, node in nodes.items():
        whole = put(contents["dcgan"], place, node)["config"]["resolved"]
        with pytest.raises(ValueError, match="is not trusted; if it is yours"):
            roles.check_run(roles.plain(whole))
        roles.check_run(roles.plain(whole), ["lightning"])
        with pytest.raises(ValueError, match="is not trusted there"):  # nor with trust in another role
            roles.check_run(
                roles.plain(put(contents["dcgan"], "model.objective", node)["config"]["resolved"]), ["lightning"]
            )


# ------------------------------------------------------------------------------ interpolations

RESOLVERS = {
    "a resolver": {"model.seed": "${oc.env:SECRET}"},
    "a nested name": {"model.seed": "${${logger.x}:SECRET}", "logger.x": "oc.env"},
    "a name made of two": {"data.root": "${max_kimg}{oc.env:SECRET}", "max_kimg": "$"},
    "an escape": {"data.root": r"\${oc.env:SECRET}"},
    "a choice by precision": {
        "extractor.auto": "lightning_gans.losses.objectives.Hinge",
        "extractor.32-true": "evilmod.Evil",
        "model.objective._target_": "${extractor.${trainer.precision}}",
    },
    "a section elsewhere": {"callbacks.x": "${extractor}"},
    "a name by reference": {"seed": "evilmod.Evil", "model._target_": "${seed}"},
}


@pytest.mark.parametrize("attack", RESOLVERS)
def test_a_config_out_of_a_file_is_resolved_once_and_by_its_own_names(
    contents, evil, attack, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SECRET", "hidden")
    content = contents["dcgan"]
    for place, value in RESOLVERS[attack].items():
        content = put(content, place, value)
    code, ran, said = outcome("train", content, "", evil, tmp_path, monkeypatch, capsys)
    assert code == 1
    assert not ran
    assert "hidden" not in said
    assert said.count("error: ") == 1
    assert not any(b"hidden" in path.read_bytes() for path in (tmp_path / "resumed").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${seed}", True),
        ("a${model.generator.norm}b${..seed}", True),
        ("${a[0].b-c}", True),
        ("plain", False),
        ("${oc.env:HOME}", False),
        ("${${a}:X}", False),
        ("${a.${b}}", False),
        ("$${a}{oc.env:X}", False),
        ("${seed}${now:%Y}", False),
    ],
)
def test_references(text, expected):
    assert local.is_reference(text) is expected


def test_what_depends_on_a_typed_value_follows_it(tmp_path, monkeypatch):
    run(
        tmp_path / "run",
        "trainer.log_every_n_steps=2",
        "callbacks.stability.every_n_train_steps=${trainer.log_every_n_steps}",
    )
    typed = [
        f"resume={tmp_path / 'run'}",
        "trainer.log_every_n_steps=3",
        "trainer.max_steps=5",
        "trainer.accelerator=cpu",
    ]
    assert command_here("lightning_gans.train", *typed, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    carried = newest(tmp_path / "run")["config"]
    for name in ("stability", "progress"):
        assert carried["resolved"]["callbacks"][name]["every_n_train_steps"] == 3
        assert carried["source"]["callbacks"][name]["every_n_train_steps"] == "${trainer.log_every_n_steps}"
    assert "${" not in str(carried["resolved"])


# ------------------------------------------------------------------------------ places, addresses, devices


def test_a_file_does_not_say_where_to_write_whom_to_ask_and_on_what_to_run(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = {
        "data": {"mirror": "http://evil", "root": "/theirs", "download": True, "num_workers": 10_000},
        "callbacks": {"evaluation": {"cache": "/victim", "n": 8}, "none": None},
        "logger": {"wandb": {"mode": "online", "entity": "them", "base_url": "http://evil", "project": "p"}},
        "trainer": {"devices": 64, "num_nodes": 9, "accelerator": "cuda", "strategy": "x", "max_steps": 5},
    }
    before = copy.deepcopy(config)
    kept, said = local.localised(config)
    assert config == before
    assert kept["data"] == {"mirror": None, "root": "/theirs", "download": False, "num_workers": os.cpu_count()}
    assert kept["callbacks"] == {"evaluation": {"cache": "auto", "n": 8}, "none": None}
    assert kept["logger"] == {"wandb": {"mode": "offline", "project": "p"}}
    own = {"devices": 1, "num_nodes": 1, "accelerator": "auto", "strategy": "auto", "max_steps": 5}
    assert kept["trainer"] == own
    assert len(said) == 9
    assert "trainer.devices='64'" in said
    monkeypatch.setenv("WORLD_SIZE", "6")  # as torchrun says it
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    launched, _ = local.localised(config)
    assert (launched["trainer"]["devices"], launched["trainer"]["num_nodes"]) == (2, 3)
    typed, said = local.localised(config, ["trainer.devices", "data.root"])
    assert typed["data"]["download"] is True  # to where the user says
    assert not any("devices" in one for one in said)
    assert local.places_read(kept) == ["data.root=/theirs"]
    assert local.places_read(kept, ["data.root"]) == []


@pytest.mark.parametrize("root", ["http://evil/x", "//evil/share", r"\\evil\share", "file:///etc"])
def test_places_to_read_from_are_no_addresses(contents, root):
    with pytest.raises(ValueError, match="may name a local place only"):
        local.places_read({"data": {"root": root}})
    folder = {"_target_": "lightning_gans.data.folder.Folder", "root": root, "image_size": 16, "channels": 1}
    with pytest.raises(ValueError, match="may name a local place only"):
        load.real_data(put(contents["dcgan"], "data", folder))


# Strings of our classes that are words, file endings and names inside of a root, and no places of their own.
WORDS = {"source", "target", "instance", "test_source", "test_target", "test_instance", "within", "test_within"}
WORDS |= {"source_suffix", "target_suffix", "instance_suffix", "name", "project", "group", "category", "monitor"}
WORDS |= {"columns", "encoding", "separator"}  # of tables: a description in JSON, a codec, a character
WORDS |= {"part", "test_part", "distribution", "direction", "norm", "instead", "background", "experiment"}
WORDS |= {"kind"}  # of a network whose features are compared


def test_every_string_that_our_classes_take_is_known_as_a_place_or_a_word():
    """A new option that may hold a path or an address is put into ``local`` or here."""
    bases = (
        *roles._AT_THE_ROOT,
        Objective,
        Penalty,
        Augmentation,
        EMA,
        nn.Module,
        torch.optim.lr_scheduler.LRScheduler,
    )
    local_keys = {key for own in local.OWN.values() for key in own} | set(local.READ_FROM)
    modules = [
        path.relative_to(CONF_DIR.parent).with_suffix("") for path in (CONF_DIR.parent / "lightning_gans").rglob("*.py")
    ]
    seen = set()
    for module in modules:
        name = ".".join(module.parts).removesuffix(".__init__")
        for owner in vars(__import__(name, fromlist=["x"])).values() if not name.endswith("__main__") else ():
            if inspect.isclass(owner) and owner.__module__ == name and issubclass(owner, bases):
                hints = typing.get_type_hints(owner.__init__)
                seen |= {key for key, hint in hints.items() if hint in (str, str | None, Path, Path | None)}
    assert sorted(seen - local_keys - WORDS - {"return"}) == []


class Listener:
    """A server on the loopback that counts who asks."""

    def __init__(self):
        self.asked, self.socket = 0, socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            connection.close()


@pytest.fixture
def listener():
    one = Listener()
    yield one
    one.socket.close()


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_nothing_is_fetched_from_where_a_checkpoint_says(contents, evil, listener, name, tmp_path, monkeypatch, capsys):
    (tmp_path / "victim").mkdir()
    data = contents["pix2pix"]["config"]["resolved"]["data"]
    published = {
        **{
            "_target_": "lightning_gans.data.translation.published.PublishedPaired",
            "name": "facades",
            "download": True,
        },
        **{"root": str(tmp_path / "victim"), "mirror": listener.address, "num_classes": None},
        **{key: data[key] for key in ("image_size", "channels", "source_channels")},
    }
    content = put(contents["pix2pix"], "data", published)
    code, ran, said = outcome(name, content, "", evil, tmp_path, monkeypatch, capsys)
    assert code == 1
    assert "victim" in said.splitlines()[-1]
    assert listener.asked == 0
    assert not any((tmp_path / "victim").iterdir())
    wandb = {"_target_": "lightning.pytorch.loggers.WandbLogger", "_partial_": True, "base_url": listener.address}
    outcome(name, put(content, "logger.x", wandb), "", evil, tmp_path, monkeypatch, capsys)
    assert listener.asked == 0


def test_code_in_any_file_that_is_read_never_runs(tmp_path):
    """Checkpoints, extractors, published weights, VGG19's, features of real images."""
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (marker.touch, ())

    file = tmp_path / "evil.pt"
    torch.save(
        {"state_dict": Evil(), "network": Evil(), "netG": Evil(), "key": Evil(), "features.0.weight": Evil()}, file
    )
    vgg = Perceptual(None, ["relu1_1"], instead="")
    for read in (files.read, lightning_gans.load, ClassifierExtractor, Inception, published.read, vgg._read):
        with pytest.raises(ValueError, match=r"^[^\n]*evil\.pt[^\n]*$"):
            read(str(file))
    assert gan_zoo.read(file) is None
    cache = RealCache(str(tmp_path))
    cache.path({}).write_bytes(file.read_bytes())
    assert cache.load({}) is None
    assert not marker.exists()
    torch.load(file, weights_only=False)  # the attack is real
    assert marker.exists()


def test_nothing_is_downloaded_at_load_and_sample(contents, monkeypatch):
    def asked(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", asked)
    inception = {"_target_": "lightning_gans.extractors.inception.Inception"}
    for role in [role for role in ROLES if role.startswith("model")]:
        for partial in (True, False):
            with pytest.raises(ValueError, match="not trusted|malformed|another version"):
                load.rebuild(put(contents["dcgan"], role, {**inception, "_partial_": partial}))
    mnist = {"_target_": "lightning_gans.data.mnist.MNIST", "root": "x", "download": True, "channels": 1}
    module = load.rebuild(put(contents["dcgan"], "data", {**mnist, "image_size": 16}))
    assert load.points_of(module) is None
    module = load.rebuild(put(contents["dcgan"], "data", {**mnist, "image_size": None}))
    with pytest.raises(ValueError, match="image_size"):
        load.points_of(module)
    assert not Path("x").exists()


# ------------------------------------------------------------------------------ whole or not


def rewritten(folder, change, name="changed.ckpt"):
    """A checkpoint as another would write it: changed, and without our checksum."""
    content = newest(folder)
    change(content)
    content.pop(integrity.CHECKSUM, None), content.pop(integrity.FORMAT, None)
    path = folder / "checkpoints" / name
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained")
    run(path, "callbacks.checkpoint.every_n_train_steps=2")
    return path


def test_a_flipped_bit_is_found_and_the_newest_whole_file_named(trained, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for path in sorted((trained / "checkpoints").glob("step-*.ckpt")):
        (folder / path.name).write_bytes(path.read_bytes())
    whole = bytearray((trained / "checkpoints" / "last.ckpt").read_bytes())
    state = newest(trained)["state_dict"]
    weights = next(tensor for name, tensor in state.items() if name.endswith("running_var"))
    place = whole.index(weights.numpy().tobytes()) + 2
    name = whole.index(b"lightning_gans.models.dcgan") + 20
    for where in (place, name):
        damaged = bytearray(whole)
        damaged[where] ^= 1
        (folder / "last.ckpt").write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"last\.ckpt: .*damaged.*; the newest whole one beside it is .*step-000004\.ckpt"
        ):
            lightning_gans.load(tmp_path)
    (folder / "step-000004.ckpt").write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"whole one beside it is .*step-000002\.ckpt"):
        lightning_gans.load(tmp_path)
    (folder / "step-000002.ckpt").unlink()
    with pytest.raises(ValueError, match="damaged") as caught:
        lightning_gans.load(tmp_path)
    assert "beside it" not in str(caught.value)


def test_formats(trained, tmp_path, monkeypatch):
    """A later one is refused; a file of before there was one is sampled and resumed."""
    assert newest(trained)[integrity.FORMAT] == integrity.FORMAT_VERSION
    later = {**newest(trained), integrity.FORMAT: integrity.FORMAT_VERSION + 1}
    torch.save(later, tmp_path / "later.ckpt")
    with pytest.raises(
        ValueError, match=r"later\.ckpt: is of format 3, and this version of lightning_gans reads up to 2"
    ):
        files.read(tmp_path / "later.ckpt")
    older = rewritten(trained, lambda content: None, "older.ckpt")
    assert lightning_gans.load(older).iteration == 4
    typed = [f"resume={older}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.max_steps=5", "trainer.accelerator=cpu"]
    assert command_here("lightning_gans.train", *typed, cwd=tmp_path, monkeypatch=monkeypatch) == 0
    assert newest(tmp_path / "run")["global_step"] == 5


@pytest.mark.parametrize("name", ["sample", "translate", "evaluate", "interpolate", "train"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_told(contents, evil, name, value, tmp_path, monkeypatch, capsys):
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "pictures" / "a.png")
    content = copy.deepcopy(contents["pix2pix" if name == "translate" else "dcgan"])
    weights = next(key for key in content["state_dict"] if key.startswith("generator."))
    content["state_dict"][weights][0] = value
    code, _, said = outcome(name, content, "", evil, tmp_path, monkeypatch, capsys)
    assert code == 1
    assert f"weights are not finite, first those of {weights}" in said


def test_a_file_that_may_not_be_read_is_not_called_damaged(trained, monkeypatch):
    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError):
        files.read(trained)


def test_weights_that_do_not_fit_are_told_in_one_short_line(trained):
    content = newest(trained)
    content["config"]["resolved"]["model"]["generator"]["base_channels"] = 8
    with pytest.raises(ValueError, match=r"do not fit its config: generator\S+ is \(.*\) and should be \(") as caught:
        load.rebuild(content)
    assert len(str(caught.value)) < 400


# ------------------------------------------------------------------------------ malformed

WRONG = [None, -1, "x", [], {}, [{}], {"x": None}, float("nan"), "\x1b[2J"]


def places_in(content, depth):
    """Keys of keys ... of a content, down to so many levels."""
    for key, value in content.items():
        yield (key,)
        if isinstance(value, dict) and depth > 1:
            yield from ((key, *rest) for rest in places_in(value, depth - 1))


def with_wrong(content, path, value):
    """A copy of a content in which this place holds that, or is absent."""
    changed = dict(content)
    inner = changed
    for key in path[:-1]:
        inner[key] = dict(inner[key])
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def test_malformed_sections_end_in_one_line_at_load(trained):
    """Every key of the four highest levels is taken out, or holds a value of another kind."""
    whole, tried = newest(trained), 0
    whole.pop(integrity.CHECKSUM), whole.pop(integrity.FORMAT)
    few = [*list(whole["state_dict"])[:2], "_extra_state"]
    for path in places_in(whole, 4):
        if path[0] not in ("config", "state_dict") or path[:2] == ("config", "source"):
            continue
        if path[0] == "state_dict" and path[1:] not in ((), *((key,) for key in few)):
            continue
        for value in [*WRONG[: len(WRONG) if len(path) < 4 else 2], KeyError]:
            content = with_wrong(whole, path, value)
            tried += 1
            try:
                integrity.check_sections(content, Path("x"), to_resume=False)
                load.rebuild(content)
            except KeyError as error:
                if path != ("state_dict",) or "state_dict" not in str(error):
                    raise AssertionError(f"{path}={value!r}: {error!r}") from error
            except (ValueError, TypeError) as error:
                if isinstance(error, TypeError) and not str(error).startswith(("state_dict", "config")):
                    raise AssertionError(f"{path}={value!r}: {error!r}") from error
                if not str(error).isprintable():
                    raise AssertionError(f"{path}={value!r}: {error!r}") from error
            except Exception as error:
                raise AssertionError(f"{path}={value!r}: {type(error).__name__}: {error}") from error
    assert tried > 200


def test_a_config_that_holds_itself_is_told(trained, tmp_path):
    for kind in ("resolved", "source"):
        content = {key: value for key, value in newest(trained).items() if "lightning_gans" not in key}
        content["config"][kind]["model"]["seed"] = content["config"][kind]
        torch.save(content, tmp_path / "cycle.ckpt")
        for to_resume in (False, True):
            with pytest.raises(ValueError, match="is nested too deeply"):
                files.read(tmp_path / "cycle.ckpt", to_resume=to_resume)


@pytest.mark.parametrize("name", ["Gone", "gone.Gone"])
def test_a_class_that_is_gone_is_named(trained, name):
    content = newest(trained)
    content["config"]["resolved"]["model"]["objective"] = {"_target_": f"lightning_gans.losses.objectives.{name}"}
    with pytest.raises(
        ValueError,
        match=rf"model\.objective: .* another version .* there is no lightning_gans\.losses\.objectives\.{name}",
    ):
        load.rebuild(content)


SECTIONS = ["config", "state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "global_step", "epoch"]


@pytest.mark.parametrize("section", [*SECTIONS, "pytorch-lightning_version"])
def test_malformed_sections_end_in_one_line_at_resume(trained, section, tmp_path, monkeypatch, capsys):
    """Here through the command, since Lightning restores most of them."""
    for value in (KeyError, None, {"x": 1}, [{}, {}]):
        path = rewritten(trained, lambda content, value=value: content.update(with_wrong(content, (section,), value)))
        if value is KeyError:
            path = rewritten(trained, lambda content: content.pop(section))
        typed = [
            f"resume={path}",
            f"hydra.run.dir={tmp_path / 'run'}",
            "trainer.max_steps=5",
            "trainer.accelerator=cpu",
        ]
        code = command_here("lightning_gans.train", *typed, cwd=tmp_path, monkeypatch=monkeypatch)
        said = capsys.readouterr().err
        may_lack = value is KeyError and section in ("loops", "pytorch-lightning_version")
        assert code == 1 or may_lack, (section, value)
        assert "Traceback" not in said
        assert code == 0 or said.count("error: ") == 1
        if code == 0:
            import shutil

            shutil.rmtree(tmp_path / "run")
