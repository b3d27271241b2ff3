"""Claim run folders: one run at a time writes into a folder, and a new one replaces nothing there.

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
from collections.abc import Sequence
from pathlib import Path

from lightning_gans.config.errors import ConfigError
from lightning_gans.runtime.atomic import set_aside

try:
    import fcntl
except ImportError:  # Windows: new folders are still claimed by being made
    fcntl = None  # type: ignore[assignment]

CLAIM = ".lightning_gans"  # the locked file in a folder that is written to; says by whom
CHECKPOINTS = "checkpoints"
WRITTEN = (
    *("config.yaml", "metrics.csv", "scores", "samples", "tensorboard", "wandb", "wandb_id.txt", "job.json"),
    *("mlflow", "mlflow.db", "mlflow_id.txt"),
)
SWEEP = ("multirun.yaml", "optimization_results.yaml")
_FREE = (errno.EACCES, errno.EAGAIN)  # what a lock that another process holds says
_held: dict[Path, int] = {}  # open claims of this process, by folder


def is_first_process() -> bool:
    """Return whether this process is the first of a training, which writes, as its launcher numbers them.

    Numbers count only beside the number of processes that a launcher sets, so that one that a shell has left over
    means nothing.
    """
    for rank, size in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if environment_number(size, 1) > 1 and rank in os.environ:
            return environment_number(rank, 0) == 0 and environment_number("NODE_RANK", 0) == 0
    return environment_number("NODE_RANK", 0) == 0


def environment_number(name: str, default: int) -> int:
    """Return a whole number from the environment, or the default."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def claim(folder: Path, *, key: str = "hydra.run.dir") -> bool:
    """Keep other processes from writing into a folder, until this one ends or releases it; made if need be.

    The system forgets the claim of a process that dies, so a run that was killed can be resumed at once. Later
    processes of one training share their first one's claim and take none.

    Args:
        folder: The run's or sweep's.
        key: Option that names it.

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
            rule = f"another run is writing there ({owner}); wait for its end, or choose another folder"
            raise ConfigError(key, folder, rule) from None
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
    for path in existing(folder, written):
        set_aside(path, "of a run that saved no checkpoint", "old")
    return claimed


def refuse_taken(folder: Path, written: Sequence[str] = WRITTEN, *, key: str = "hydra.run.dir") -> None:
    """Refuse a folder that holds what a new run would replace or mix with its own.

    Args:
        folder: Where it would write.
        written: Names of what it would write beside checkpoints.
        key: Option that names it.

    Raises:
        ValueError: With what is there.
    """
    if next((folder / CHECKPOINTS).glob("*.ckpt"), None) is not None:
        rule = f"holds a training already; choose another folder, or go on with it by resume={folder}"
        raise ConfigError(key, folder, rule)
    found = existing(folder, written)
    if found and not (folder / CLAIM).is_file():
        names = ", ".join(path.name for path in found)
        raise ConfigError(key, folder, f"holds {names}, not of a run of this version; choose another folder")


def existing(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return those of the names that a folder holds."""
    return [folder / name for name in names if os.path.lexists(folder / name)]
