"""Claim a run's folder before Hydra writes into it. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lightning_gans.config.claims import (
    CHECKPOINTS,
    SWEEP,
    WRITTEN,
    claim,
    claim_for_new,
    environment_number,
    existing,
    is_first_process,
    make_new,
    refuse_taken,
    release,
)
from lightning_gans.config.command import handle_errors
from lightning_gans.config.errors import ConfigError
from lightning_gans.config.overrides import quote


class ClaimFolder(Callback):
    """Claim the folder of a run or sweep before Hydra itself writes there (a callback of Hydra's).

    A folder that is named by the time and taken gets a number behind its name, any other is refused. All processes of
    torchrun get the folder of the first.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None  # at the end Hydra 1.4 no longer says what the config calls it

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim ``hydra.run.dir``; exit code 1 if it is taken."""

        def claim_it(folder: Path) -> None:
            if config.get("resume") and _is_resumed_in(config.resume, folder):
                claim(folder)
                return
            hydras = [config.hydra.output_subdir] if config.hydra.output_subdir else []
            claim_for_new(folder, [*WRITTEN, *hydras])

        self.folder = handle_errors(_claim_node)(config, "run", claim_it)

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Let others resume the run."""
        if self.folder is not None:
            release(self.folder)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim ``hydra.sweep.dir``; exit code 1 if it is taken."""

        def claim_it(folder: Path) -> None:
            for _ in range(2):  # again once no other can write there
                if existing(folder, SWEEP) or next(folder.rglob("job.json"), None) is not None:
                    raise ConfigError("hydra.sweep.dir", folder, "holds a sweep already; choose another folder")
                refuse_taken(folder, key="hydra.sweep.dir")
                claim(folder, key="hydra.sweep.dir")

        self.folder = handle_errors(_claim_node)(config, "sweep", claim_it)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Let others write there."""
        if self.folder is not None:
            release(self.folder)


def _is_resumed_in(resume: str, folder: Path) -> bool:
    """Return whether the checkpoint that is resumed is one of the folder's own."""
    from lightning_gans.checkpoints import files

    return files.find(resume).resolve().parent == (folder / CHECKPOINTS).resolve()


def _claim_node(config: DictConfig, node: str, claim_it: Callable[[Path], None]) -> Path:
    """Claim ``hydra.NODE.dir`` and return it; its name is written down where it became another."""
    raw = OmegaConf.to_container(config.hydra[node], resolve=False)["dir"]  # type: ignore[call-overload,index]
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)  # of which a folder's name may speak
        given = Path(config.hydra[node].dir)
    finally:
        HydraConfig.instance().cfg = before

    def claimed() -> Path:
        if "${now:" in str(raw):
            return make_new(given)
        claim_it(given)
        return given

    folder = _of_first_process(node, claimed) if _has_agent() else claimed() if is_first_process() else given
    if folder != given:
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra[node].dir = str(folder)
            config.hydra.overrides.hydra.append(f"hydra.{node}.dir={quote(str(folder))}")  # jobs compose anew
    return folder


def _has_agent() -> bool:
    """Return whether torchrun started several processes, which can ask its store."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and environment_number("WORLD_SIZE", 1) > 1


def _of_first_process(node: str, claimed: Callable[[], Path]) -> Path:
    """Return the folder that torchrun's first process claims, on all processes."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(os.environ["MASTER_ADDR"], environment_number("MASTER_PORT", 29500), is_master=False)
    key = f"lightning_gans/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{node}"
    if is_first_process():
        try:
            folder = str(claimed())
        except BaseException:
            store.set(key, "")
            raise
        store.set(key, folder)
    else:
        folder = store.get(key).decode()
        if not folder:
            raise SystemExit(1)  # the first process says why
    return Path(folder)
