"""What every test shares: tiny runs on one thread."""

import atexit
import functools
import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import fork_server
import pytest
import shared_configs
import torch
import yaml
from lightning.fabric.utilities import registry
from lightning.pytorch import Callback
from omegaconf import OmegaConf

from lightning_gans import build, compose, create_model
from lightning_gans.config.explain import format_error
from lightning_gans.config.schemas import CONF_DIR
from lightning_gans.tables.codec import sizes_of

# Features of real images are kept here, and not among the user's.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lightning_gans_tests_")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

shared_configs.install()
registry.entry_points = functools.cache(registry.entry_points)  # every trainer reads all that is installed
torch.set_num_threads(1)  # ten times as fast for tiny networks on a busy machine

MODELS = sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))

# Options that make a family tiny, beside the common ones; a family may do without.
_SMALL = ["model.generator.base_channels=4", "model.discriminator.base_channels=4", "model.generator.latent_dim=8"]
_ATTENDING = [
    *("model.generator.latent_dim=9", "model.generator.attention=[8]", "model.discriminator.attention=[8]"),
]
COLUMNS = (Path(__file__).parent / "tables" / "columns.json").read_text().strip()  # of the first 50 rows of census
TABLE = ["data=embedded_table", "data.image_size=null", "data.n=50", f"data.columns='{COLUMNS}'"]
TABLE += [f"data.{key}={value}" for key, value in sizes_of(COLUMNS).items()]
TINY_FAMILY = {
    "progan": [  # 4x4, then 8x8 and 16x16 fade in for a step each
        *[f"model.{network}.fmap_base=64" for network in ("generator", "discriminator")],
        *[f"model.{network}.fmap_max=8" for network in ("generator", "discriminator")],
        "model.generator.latent_dim=8",
        "model.discriminator.group_size=4",
        "model.growth.fade_kimg=0.008",
        "model.growth.stabilise_kimg={4: 0.008, 8: 0.0}",
    ],
    "stylegan": [  # as progan; the first steps are 4x4, whose colours have to learn too
        *[f"model.{network}.fmap_base=64" for network in ("generator", "discriminator")],
        *[f"model.{network}.fmap_max=8" for network in ("generator", "discriminator")],
        *("model.generator.latent_dim=8", "model.generator.style_dim=8", "model.generator.mapping_layers=2"),
        *("model.growth.start=4", "model.growth.fade_kimg=0.008", "model.growth.stabilise_kimg={4: 0.008, 8: 0.0}"),
    ],
    "stylegan2": [  # the second lazy penalties are due within a tiny run
        *("model.generator.latent_dim=8", "model.generator.style_dim=8", "model.generator.channel_base=64"),
        *("model.generator.channel_max=8", "model.penalty.interval=3", "model.path_length.interval=2"),
    ],
    **dict.fromkeys(["dcgan", "lsgan", "wgan", "wgan_gp", "dragan", "acgan"], _SMALL),
    "sngan": [*_SMALL, "model.g_batch_size=16"],
    "gan": ["model.generator.hidden=[16]", "model.discriminator.hidden=[16]", "model.generator.latent_dim=8"],
    "cgan": [
        *("model.generator.latent_dim=8", "model.generator.latent_width=8", "model.generator.class_width=8"),
        *("model.generator.hidden=16", "model.discriminator.image_width=8", "model.discriminator.class_width=4"),
        *("model.discriminator.hidden=8", "model.generator.init=he"),  # whose images are not all grey at first
    ],
    "infogan": [
        *_SMALL,
        "model.generator.hidden=16",
        "model.discriminator.hidden=16",
        "model.discriminator.code_hidden=8",
    ],
    "semi_supervised": [
        *("model.generator.hidden=[16]", "model.discriminator.hidden=[16,8]", "model.generator.latent_dim=8"),
        *("model.labels=20", "model.labelled_batch_size=8", "data.val_fraction=0.2"),
    ],
    "began": _SMALL,
    "stackgan": [  # stage I for two steps, then stage II
        *("data=digit_captions", "data.image_size=16", "data.drawings=1", "model.generator.text_dim=6"),
        *("model.generator.condition_dim=5", "model.generator.noise_dim=4", "model.generator.base_channels=4"),
        *("model.generator.blocks=1", "model.discriminator.base_channels=4", "model.stage1_updates=2"),
        *("model.text_encoder.length=32", "model.text_encoder.widths=[4,4]", "model.text_encoder.image_size=8"),
        *("model.text_encoder.image_width=2", "model.text_encoder.updates=2", "model.text_encoder.batch_size=4"),
    ],
    "lapgan": [
        *("model.generator.coarse_latent_dim=8", "model.generator.hidden=16", "model.generator.planes=4"),
        *("model.discriminator.hidden=16", "model.discriminator.planes=4"),
    ],
    "sagan": [*_ATTENDING, "model.generator.base_channels=4", "model.discriminator.base_channels=4"],
    "biggan": [*_ATTENDING, "model.generator.base_channels=2", "model.discriminator.base_channels=2"],
    "r3gan": [*_SMALL, "model.generator.group_size=4", "model.discriminator.group_size=4"],
    "pix2pix": [
        *("data=digit_edges", "model.generator.base_channels=4", "model.generator.max_channels=8"),
        *("model.discriminator.base_channels=4", "model.discriminator.receptive_field=16", "data.image_size=16"),
    ],
    "cyclegan": [
        *("data=digit_domains", "model.generator.base_channels=4", "model.generator.blocks=1", "data.image_size=16"),
        *("model.discriminator.base_channels=4", "model.discriminator.receptive_field=16", "model.pool.size=12"),
        "model.cycle_weight=1.0",
    ],
    "pix2pix_hd": [
        *("data=digit_edges", "data.image_size=16", "model/encoder=features", "model.perceptual_weights=null"),
        *("model.generator.base_channels=4", "model.generator.blocks=1", "model.generator.enhancer_blocks=1"),
        *("model.discriminator.base_channels=4", "model.discriminator.layers=2", "model.encoder.base_channels=4"),
        *("model.coarse_updates=1", "model.enhancer_updates=1", "model.clusters=3", "model.cluster_images=5"),
    ],
    "srgan": [
        *("data=photo_patches", "data.image_size=16", "model.perceptual_weights=null", "model.mse_updates=2"),
        *("model.generator.base_channels=4", "model.generator.blocks=1"),
        *("model.discriminator.base_channels=4", "model.discriminator.hidden=8"),
    ],
    "talking_heads": [  # two videos, and another for tests
        *("data=avatar_heads", "data.image_size=16", "data.identities=2", "data.expressions_per_identity=42"),
        *("data.frames=2", "data.limit=null", "model.generator.base_channels=4", "model.generator.blocks=1"),
        *("model.generator.first_kernel=3", "model.discriminator.base_channels=4", "model.encoder.base_channels=4"),
        "model.encoder.embedding_dim=8",
    ],
    "ctgan": [
        *(*TABLE, "model.generator.latent_dim=8", "model.generator.hidden=[16]", "model.discriminator.hidden=[8]"),
        "model.discriminator.pac=2",
    ],
    "tvae": [*TABLE, "model.generator.latent_dim=8", "model.generator.hidden=[16]", "model.encoder.hidden=[16]"],
    "vae": ["model.generator.base_channels=4", "model.encoder.base_channels=4", "model.generator.latent_dim=8"],
}
TABLES = [name for name, options in TINY_FAMILY.items() if options[: len(TABLE)] == TABLE]  # whose samples are rows
TINY = [
    "data=digits",
    "tuned=none",
    "data.image_size=16",
    "data.limit=50",
    "model.batch_size=8",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.max_steps=4",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "+trainer.enable_model_summary=false",
    "callbacks.evaluation=null",
    "callbacks.samples=null",
    "callbacks.stability.every_n_train_steps=2",
]
# Networks and optimisers whose training does not depend on how a batch is cut up.
NO_BATCH_NORM = ["model.discriminator.norm=null", "model.generator.norm=null"]


def needs(choice):
    """Options without which a choice does not compose: data of the family's kind, the place of a set."""
    group, _, name = choice.partition("=")
    if group == "model":
        return [option for option in TINY_FAMILY.get(name, []) if option.startswith("data=")]
    if group == "data":
        values = {"data.num_labels": 3}
        return [f"{key}={values.get(key, 'x')}" for key in sorted(OmegaConf.missing_keys(compose(choice)))]
    return []


def sgd(rate, model="dcgan"):
    """Every player by plain gradient descent."""
    overrides = []
    config = compose(f"model={model}", "tuned=none", *needs(f"model={model}")).model
    for player in [key for key in config if key.endswith("_optimizer")]:
        others = [key for key in config[player] if key not in ("_target_", "_partial_", "lr")]
        overrides += [f"model.{player}._target_=torch.optim.SGD", f"model.{player}.lr={rate}"]
        overrides += [f"~model.{player}.{key}" for key in others]
    return overrides


DOUBLE = "trainer.precision=64-true"  # float32 rounds differently on every make of processor
EXACT = [DOUBLE, *NO_BATCH_NORM, *sgd(0.05)]


def exact(model):
    """What makes a family's training independent of how a batch is cut up: no batch norm, no dropout, SGD, float64.

    Nor instance norm, which enlarges rounding errors a thousandfold a step as long as maps hardly vary.
    """
    off = {
        "norm": ("batch", "instance"),
        "dropout": None,
        "input_dropout": None,
        "input_noise": None,
        "hidden_noise": None,
    }
    overrides = [DOUBLE, *sgd(0.05, model)]
    if model in (
        "sagan",
        "biggan",
        "stackgan",
    ):  # whose batch norm is where the class enters: it is shared by all processes
        overrides.append("trainer.sync_batchnorm=true")
    for name, network in compose(f"model={model}", "tuned=none", *needs(f"model={model}")).model.items():
        for key, value in off.items():
            is_network = name in ("generator", "discriminator", "encoder") and network is not None
            if is_network and key in network and (value is None or network[key] in value):
                overrides.append(f"model.{name}.{key}={'null' if key == 'norm' else 0.0}")
    return overrides


def tiny(model="dcgan"):
    return [f"model={model}", *TINY, *TINY_FAMILY.get(model, [])]


def tiny_options(name):
    """The options of a family's tiny runs, as arguments of ``create_model``."""
    options = [option.partition("=") for option in TINY_FAMILY.get(name, [])]
    return {key[6:]: yaml.safe_load(value) for key, _, value in options if key.startswith(("model.", "model/"))}


def tiny_model(name, **options):
    """A family with tiny networks for grey 16x16 images of ten classes, without a config."""
    how = {"image_size": 16, "channels": 1, "num_classes": 10}
    how = {"columns": COLUMNS} if name in TABLES else how
    return create_model(name, **how, **{"batch_size": 8, **tiny_options(name), **options})


def run(folder, *overrides, model="dcgan", resume=None, tiny_options=True):
    """Compose, build and fit; returns the run."""
    made = build(compose(*(tiny(model) if tiny_options else []), *overrides), folder)
    made.fit(resume)
    return made


def refusal(folder, *overrides):
    """What the command line says when such a run is built."""
    try:
        build(compose(*overrides), folder)
    except Exception as error:
        return format_error(error)
    return "built"


LIMIT = 300  # seconds after which a process has hung, on the slowest machine under load


def command(*arguments, cwd=None, env=None, timeout=LIMIT, real=False):
    """Run ``python -m lightning_gans.X ...`` or ``python SCRIPT.py ...`` in a process of its own.

    A ``real`` one is started and not forked from one that has imported the library.
    """
    own = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    return fork_server.run(arguments, cwd, own, timeout, real=real)


def two_scripts(script, *arguments):
    """Run a script as ranks 0 and 1 at once; returns what each of them has printed."""
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [fork_server.start([str(script), rank, *map(str, arguments)], own, joined=False) for rank in "01"]
    outputs = [process.communicate(timeout=LIMIT) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    return [out for out, _ in outputs]


def command_here(module, *arguments, cwd, monkeypatch):
    """As ``command``, in this process and so without its start; returns the exit code."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", [module, *arguments, "hydra/job_logging=none"])  # pytest owns the streams
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    try:
        importlib.import_module(module).main()
    except SystemExit as end:
        return end.code or 0
    return 0


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]  # on a port of its own
ENDLESS = "trainer.max_steps=1000000"  # for a run that is stopped: no machine is fast enough to end it first


def started(folder, *options):
    """A training in a process of its own, waited for until it has saved some steps."""
    arguments = ["lightning_gans.train", *tiny(), *options, f"hydra.run.dir={folder}"]
    process = fork_server.start(arguments, {**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + LIMIT
    while len(list(Path(folder).glob("checkpoints/step-*.ckpt"))) < 3:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def newest(folder):
    """The content of a run's newest checkpoint."""
    return torch.load(Path(folder, "checkpoints", "last.ckpt"), weights_only=True)


def differences(a, b, path=""):
    """Where two nested structures of tensors and plain values are not bit-identical."""
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and torch.equal(a, b) else [path]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [f"{path}: {a.keys() ^ b.keys()}"]
        return [d for key in a for d in differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [path]
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{path}[{i}]")]
    return [] if a == b else [f"{path}: {a} != {b}"]


def assert_equal_weights(one, two):
    """State dicts of one training computed in float64 in two ways differ by rounding only: a million epsilons."""
    assert one.keys() == two.keys()
    allowed = 1e6 * torch.finfo(torch.float64).eps
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert two[name].dtype in (torch.float64, torch.long), name
            assert torch.allclose(two[name], value, rtol=allowed, atol=allowed), (name, (two[name] - value).abs().max())


def assert_same_training(one, two):
    """Weights, averages, optimisers and schedules of two checkpoints are bit-identical."""
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert differences(one[key], two[key], key) == []


class Watch(Callback):
    """Which weights every single optimiser step has changed: ``changes`` are pairs of player and set of names.

    Of a module with one optimiser for each player, the generator's first. Gradients of players that stand still are
    never computed.
    """

    def __init__(self):
        self.changes, self.steps = [], 0
        self._before = None

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self._note(pl_module)
        players = {id(p): player for player, weights in pl_module._trainable.items() for p in weights}
        self.owners = {name: players.get(id(p)) for name, p in pl_module.named_parameters()}
        player = list(pl_module._trainable)[trainer.optimizers.index(optimizer)]
        self._before = (player, self._weights(pl_module))
        waiting = [name for name, p in pl_module.named_parameters() if p.grad is not None]
        assert {self.owners[name] for name in waiting} == {player}

    def on_train_batch_end(self, trainer, pl_module, *_):
        self._note(pl_module)
        self.steps += 1

    def _note(self, module):
        if self._before is not None:
            player, weights = self._before
            moved = {name for name, now in self._weights(module).items() if not torch.equal(weights[name], now)}
            self.changes.append((player, moved))
            self._before = None

    @staticmethod
    def _weights(module):
        return {n: p.detach().clone() for n, p in module.named_parameters() if not n.startswith("generator_ema")}


def watched(folder, *overrides, model="dcgan"):
    """A training under such a watch: the run and the watch."""
    made = build(compose(*tiny(model), *overrides), folder)
    watch = Watch()
    made.trainer.callbacks.append(watch)
    made.fit()
    return made, watch


def evaluation(**options):
    """An override that puts a small evaluation in place."""
    chosen = ", ".join(f"{key}: {value}" for key, value in {"n": 8, **options}.items())
    return f"callbacks.evaluation={{_target_: lightning_gans.callbacks.evaluation.Evaluation, {chosen}}}"


def samples(**options):
    """An override that puts a small sample grid in place."""
    chosen = ", ".join(f"{key}: {value}" for key, value in {"n": 4, **options}.items())
    return f"callbacks.samples={{_target_: lightning_gans.callbacks.samples.SampleGrid, {chosen}}}"


@pytest.fixture
def float64():
    """Networks and numbers in double precision, so that a comparison does not rest on a processor's rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
