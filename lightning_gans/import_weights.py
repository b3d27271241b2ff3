"""Make a checkpoint of published weights: ``python -m lightning_gans.import_weights generator=PATH out=FILE.ckpt``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.schemas import ImportWeightsSchema
from lightning_gans.runtime import atomic
from lightning_gans.runtime.light_imports import import_lightning

NETWORKS = ("generator", "generator_back", "discriminator", "discriminator_back")


@command(ImportWeightsSchema)
def main(cfg: DictConfig) -> None:
    """Make a checkpoint of published weights of pix2pix, CycleGAN, ProGAN, BigGAN, StackGAN, StyleGAN or StyleGAN2."""
    out = Path(cfg.out).expanduser()
    if out.is_dir():
        raise ConfigError("out", cfg.out, f"is a folder; give the file to write, e.g. {out / 'imported.ckpt'}")

    atomic.refuse_existing(out, overwrite=cfg.overwrite)

    import_lightning()

    from lightning_gans.checkpoints.files import AtomicCheckpointIO
    from lightning_gans.weights import biggan, gan_zoo, nvidia_pickle, stackgan, stylegan, stylegan2_ada
    from lightning_gans.weights.published import assemble, read

    files = {name: cfg[name] for name in NETWORKS if cfg[name] is not None}
    options = {"test_statistics": cfg.test_statistics, "dropout_at_test": cfg.dropout_at_test}
    kinds: dict[Callable[[str], Any], Callable[..., dict[str, Any]]] = {
        nvidia_pickle.read: stylegan2_ada.from_nvidia,
        gan_zoo.read: gan_zoo.from_gan_zoo,
        stylegan.read: partial(stylegan.from_copy, image_size=cfg.image_size),
    }
    found = ((convert, kind(files["generator"])) for kind, convert in kinds.items())
    convert, whole = next((pair for pair in found if pair[1] is not None), (None, None))
    if whole is not None and len(files) > 1:
        rule = f"not with generator={cfg.generator}, which holds its networks already"
        raise ConfigError(list(files)[1], MISSING, rule)
    state = read(files["generator"]) if convert is None else {}
    if convert is None and biggan.recognises(state):
        content = biggan.from_biggan(files, tell=print)
    elif convert is None and stackgan.recognises(state):
        content = stackgan.from_stackgan(files, tell=print)
    elif convert is None:
        content = assemble(files, image_size=cfg.image_size, **options, tell=print)
    else:
        try:
            content = convert(whole, tell=print)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError("generator", cfg.generator, str(error)) from error
    AtomicCheckpointIO().save_checkpoint(content, out)
    model = content["config"]["resolved"]["model"]
    for name in files:
        node = model[name]
        shown = ", ".join(f"{key}={value}" for key, value in node.items() if key != "_target_")
        print(f"{name}: {node['_target_'].removeprefix('lightning_gans.networks.')}, {shown}")
    print(f"a checkpoint of {model['_target_'].rpartition('.')[2]} in {out}")


if __name__ == "__main__":
    main()
