"""Run folders: one run at a time writes into a folder, and a new one finds nothing there that it would replace.

Nothing here imports torch, since a folder is claimed before anything is written, by Hydra too.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lightning_gans.arguments import quote
from lightning_gans.atomic import set_aside
from lightning_gans.cli import told

try:
    import fcntl
except ImportError:  # Windows: new folders are still claimed by being made
    fcntl = None  # type: ignore[assignment]

CLAIM = ".lightning_gans"  # the locked file in a folder that is written to; says by whom
CHECKPOINTS = "checkpoints"
WRITTEN = ("config.yaml", "metrics.csv", "scores", "samples", "tensorboard", "wandb", "wandb_id.txt", "job.json")
SWEEP = ("multirun.yaml", "optimization_results.yaml")
_FREE = (errno.EACCES, errno.EAGAIN)  # what a lock that another process holds says
_held: dict[Path, int] = {}  # open claims of this process, by folder


def is_first_process() -> bool:
    """Return whether this process writes: the first of a training, as its launcher numbers them.

    Numbers count only beside the number of processes that a launcher sets, so that one that a shell has left over
    means nothing.
    """
    for rank, size in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if _number(size, 1) > 1 and rank in os.environ:
            return _number(rank, 0) == 0 and _number("NODE_RANK", 0) == 0
    return _number("NODE_RANK", 0) == 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def claim(folder: Path, *, key: str = "hydra.run.dir") -> bool:
    """Keep other processes from writing into a folder, until this one ends or releases it; made if need be.

    The system forgets the claim of a process that dies, so a run that was killed can be resumed at once. Later
    processes of one training share their first one's claim and take none.

    Args:
        folder: The run's or sweep's.
        key: What it is typed as.

    Returns:
        Whether it was claimed now, and not before by this process or the training's first one.

    Raises:
        ValueError: Another process writes there.
        OSError: It cannot be made or written.
    """
    place = folder.resolve()
    if place in _held or not is_first_process():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder / CLAIM, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    if not _held:
        atexit.register(_release_all)
    try:
        if fcntl is not None:
            fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process, not of its data workers
    except OSError as error:
        if error.errno in _FREE:
            owner = " ".join(os.read(number, 200).decode(errors="replace").split())
            os.close(number)
            raise ValueError(
                f"{key}={folder}: another run is writing there ({owner}); wait for its end, or choose another folder"
            ) from None
        print(f"{folder}: files cannot be locked there ({error.strerror}); start no second run in it", file=sys.stderr)
    if not _is_there(folder / CLAIM, number):  # its last owner took it away as we opened it
        os.close(number)
        return claim(folder, key=key)
    with contextlib.suppress(OSError):  # a full disk is told where something is lost by it
        os.ftruncate(number, 0)
        os.write(number, f"process {os.getpid()} on {socket.gethostname()} since {time.ctime()}\n".encode())
    _held[place] = number
    return True


def release(folder: Path) -> None:
    """Let others write into a folder again; one in which nothing was written is removed, with empty ones above it."""
    place = folder.resolve()
    number = _held.pop(place, None)
    if number is None:
        return
    with contextlib.suppress(OSError):
        if [path.name for path in place.iterdir()] == [CLAIM]:
            (place / CLAIM).unlink()
            os.removedirs(place)
    os.close(number)


def _release_all() -> None:
    """Release what a run held that ended in a mistake."""
    for place in list(_held):
        release(place)


def _is_there(path: Path, number: int) -> bool:
    """Return whether a path still names the file that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False


def make_new(folder: Path) -> Path:
    """Make and claim a folder that was not there: ``folder``, or with the first free of ``-2``, ``-3``, ... behind it.

    Raises:
        OSError: It cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    number, made = 1, folder
    while True:
        try:
            made.mkdir()
        except FileExistsError:
            number += 1
            made = folder.with_name(f"{folder.name}-{number}")
        else:
            claim(made)
            return made


def claim_for_new(folder: Path, written: Sequence[str] = WRITTEN) -> bool:
    """Claim a folder for a new run, which replaces nothing there; returns as ``claim`` does.

    What a run of ours has left that ended before its first checkpoint is set aside, so that the same command can be
    given again.

    Args:
        folder: Where it will write.
        written: Names of what it will write beside checkpoints.

    Raises:
        ValueError: The folder holds a training, or files of another origin, or another process writes there.
        OSError: It cannot be made or written.
    """
    if not is_first_process():
        return False
    refuse_taken(folder, written)
    claimed = claim(folder)
    refuse_taken(folder, written)  # by a run that has ended in between
    for path in _present(folder, written):
        set_aside(path, "of a run that saved no checkpoint", "old")
    return claimed


def refuse_taken(folder: Path, written: Sequence[str] = WRITTEN, *, key: str = "hydra.run.dir") -> None:
    """Refuse a folder that holds what a new run would replace or mix with its own.

    Args:
        folder: Where it would write.
        written: Names of what it would write beside checkpoints.
        key: What the folder is typed as.

    Raises:
        ValueError: With what is there.
    """
    if next((folder / CHECKPOINTS).glob("*.ckpt"), None) is not None:
        raise ValueError(
            f"{key}={folder}: holds a training already; choose another folder, or go on with it by resume={folder}"
        )
    found = _present(folder, written)
    if found and not (folder / CLAIM).is_file():
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{key}={folder}: holds {names}, not of a run of this version; choose another folder")


def _present(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names if os.path.lexists(folder / name)]


class ClaimFolder(Callback):
    """Hydra's callback that claims the folder of a run or sweep before Hydra itself writes there.

    A folder that is named by the time and taken gets a number behind its name, any other is refused. All processes of
    torchrun get the folder of the first.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim ``hydra.run.dir``; exit code 1 if it is taken."""

        def claim_it(folder: Path) -> None:
            if config.get("resume") and _is_resumed_in(config.resume, folder):
                claim(folder)
                return
            hydras = [config.hydra.output_subdir] if config.hydra.output_subdir else []
            claim_for_new(folder, [*WRITTEN, *hydras])

        told(_claim_node)(config, "run", claim_it)

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Let others resume the run."""
        release(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim ``hydra.sweep.dir``; exit code 1 if it is taken."""

        def claim_it(folder: Path) -> None:
            for _ in range(2):  # again once no other can write there
                if _present(folder, SWEEP) or next(folder.rglob("job.json"), None) is not None:
                    raise ValueError(f"hydra.sweep.dir={folder}: holds a sweep already; choose another folder")
                refuse_taken(folder, key="hydra.sweep.dir")
                claim(folder, key="hydra.sweep.dir")

        told(_claim_node)(config, "sweep", claim_it)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Let others write there."""
        release(Path(config.hydra.sweep.dir))


def _is_resumed_in(resume: str, folder: Path) -> bool:
    """Return whether the checkpoint that is resumed is one of the folder's own."""
    from lightning_gans import checkpoint

    return checkpoint.find(resume).resolve().parent == (folder / CHECKPOINTS).resolve()


def _claim_node(config: DictConfig, node: str, claim_it: Callable[[Path], None]) -> None:
    """Claim ``hydra.NODE.dir``, and write down its name where it became another."""
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


def _has_agent() -> bool:
    """Return whether torchrun started several processes, which can ask its store."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and _number("WORLD_SIZE", 1) > 1


def _of_first_process(node: str, claimed: Callable[[], Path]) -> Path:
    """Return the folder that torchrun's first process claims, on all processes."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(os.environ["MASTER_ADDR"], _number("MASTER_PORT", 29500), is_master=False)
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
