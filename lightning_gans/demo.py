"""Show a generator on a web page: ``python -m lightning_gans.demo checkpoint=PATH [host=127.0.0.1 port=7860]``."""

from __future__ import annotations

import importlib.util

from omegaconf import DictConfig

from lightning_gans.config.command import command
from lightning_gans.config.errors import MISSING, ConfigError
from lightning_gans.config.schemas import DemoSchema, sampling_options
from lightning_gans.runtime.light_imports import import_lightning


@command(DemoSchema)
def main(cfg: DictConfig) -> None:
    """Serve a page on which a checkpoint's generator samples, interpolates or translates uploads."""
    if importlib.util.find_spec("gradio") is None:
        raise ConfigError("demo", MISSING, 'needs the package gradio: pip install "lightning_gans[demo]"')

    import_lightning()

    from lightning_gans.checkpoints.load import load
    from lightning_gans.inference.demo import MAX_UPLOAD, Demo, make_page
    from lightning_gans.runtime.device import pick_device

    module = load(cfg.checkpoint, trust=cfg.trust, device=pick_device(cfg.device))
    demo = Demo(module, **sampling_options(cfg))
    page = make_page(demo, f"{type(module).__name__} at generator update {module.iteration:,}")
    where = {"server_name": cfg.host, "server_port": cfg.port, "share": cfg.share}
    page.launch(**where, max_file_size=MAX_UPLOAD, ssr_mode=False, footer_links=[])


if __name__ == "__main__":
    main()
