"""Find the option that a newcomer meant: keys of the same name elsewhere, and other libraries' words for ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_gans.config.schemas import CONF_DIR

# What other programs call it, and the keys that it may be here; those that a command has are offered.
SYNONYMS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("epochs", "epoch", "n_epochs", "num_epochs"): ("max_epochs", "epochs"),
    ("steps", "n_steps", "num_steps", "iterations", "iters", "n_iter", "niter", "total_steps"): ("trainer.max_steps",),
    ("kimg", "total_kimg"): ("max_kimg",),
    ("gpus", "gpu", "n_gpu", "num_gpus", "ngpu"): ("trainer.devices", "device"),
    ("device", "cuda", "cpu", "accelerator"): ("trainer.accelerator", "device"),
    ("amp", "fp16", "bf16", "half"): ("trainer.precision",),
    ("lr", "learning_rate"): ("model.g_optimizer.lr", "model.d_optimizer.lr"),
    ("lr_g", "g_lr", "lrg"): ("model.g_optimizer.lr",),
    ("lr_d", "d_lr", "lrd"): ("model.d_optimizer.lr",),
    ("beta1", "b1", "betas"): ("model.g_optimizer.betas", "model.d_optimizer.betas"),
    ("optimizer", "optim"): ("model.g_optimizer", "model.d_optimizer"),
    ("bs", "batch", "batchsize", "train_batch_size"): ("model.batch_size", "batch_size"),
    ("workers", "n_workers", "num_worker", "n_cpu"): ("data.num_workers", "num_workers"),
    ("size", "resolution", "img_size", "imsize", "res"): ("data.image_size", "image_size"),
    ("dataset",): ("data",),
    ("dataroot", "data_root", "data_dir", "data_path", "path", "dir"): ("data.root", "input", "data=folder data.root"),
    ("z_dim", "nz", "latent", "latent_size", "zdim"): ("model.generator.latent_dim",),
    ("ngf", "width"): ("model.generator.base_channels",),
    ("ndf",): ("model.discriminator.base_channels",),
    ("critic_iters", "n_dis", "d_steps"): ("model.n_critic",),
    ("loss",): ("model.objective",),
    ("ckpt", "ckpt_path", "checkpoint", "weights", "load", "model_path"): ("checkpoint", "resume"),
    ("output", "outdir", "out_dir", "output_dir", "out", "save_dir", "name", "run_name"): ("out", "hydra.run.dir"),
    ("n_samples", "num_samples", "samples", "num", "count", "num_images"): ("n",),
    ("wandb",): ("logger=wandb",),
    ("tensorboard",): ("logger=tensorboard",),
    ("mlflow",): ("logger=mlflow",),
}
# Groups of configs that are chosen by a list of names, and by which key.
BY_NAME = {"metric": "metrics=[{0}], or in training callbacks.evaluation.metrics=[{0}]"}
_MOST = 3


def suggest(key: str, root: Any, siblings: Sequence[str] = ()) -> list[str]:
    """Return up to three keys of a composed config that an unknown key may mean: those with the fewest dots.

    Args:
        key: Dotted path that was typed.
        root: The config. A key that is an interpolation of another is not offered.
        siblings: Keys of the node that it was typed for; where one of them is near, no other is guessed at.
    """
    name = key.rpartition(".")[2].lower().replace("-", "_")
    if not isinstance(root, DictConfig):
        return []
    paths = [path for path in _paths(root) if path != key]
    meant = next((keys for words, keys in SYNONYMS.items() if name in words), ())
    found = [path for path in meant if path != key and _has(root, path.partition("=")[0])]
    found = found[:1] if any("=" in path for path in found) else found
    if "/" in key:
        groups = [path.relative_to(CONF_DIR).as_posix() for path in CONF_DIR.rglob("*") if path.is_dir()]
        return difflib.get_close_matches(key, [group for group in groups if "/" in group], n=1)
    found = found or [path for path in paths if path.rpartition(".")[2] == name]
    if not found and not difflib.get_close_matches(name, siblings, n=1):
        near = difflib.get_close_matches(name, {path.rpartition(".")[2] for path in paths}, n=1, cutoff=0.75)
        found = [path for path in paths if path.rpartition(".")[2] in near]
    shortest = min((path.count(".") for path in found), default=0)
    return [path for path in found if path.count(".") == shortest][:_MOST]


def _has(node: DictConfig, path: str) -> bool:
    """Return whether a config has a key, without resolving what it holds."""
    name, _, rest = path.partition(".")
    if name not in node and not OmegaConf.is_missing(node, name):
        return False
    child = node._get_node(name)
    return not rest or (isinstance(child, DictConfig) and _has(child, rest))


def _paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths of all values that are no interpolations; Hydra's own are left out."""
    for key in node:
        path = f"{prefix}{key}"
        if path == "hydra" or str(key).startswith("_"):
            continue
        if OmegaConf.is_interpolation(node, key):
            continue
        value = None if OmegaConf.is_missing(node, key) else node[key]
        if isinstance(value, DictConfig):
            yield from _paths(value, f"{path}.")
        else:
            yield path
