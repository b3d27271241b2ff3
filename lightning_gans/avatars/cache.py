"""Render many avatars once: by all cores, with a bar, into the user's cache folder.

Faces are kept in files of ``CHUNK``, whose names are a hash of all that their pixels depend on: the faces, their poses,
kind and size, and the versions of the packages and of this code. A file is written whole or not at all. A start that
was stopped goes on where it was, and processes that start at once share the work, since each takes the files in another
order and passes over those that are there. Any file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lightning_gans.avatars.identities import UPRIGHT, Pose
from lightning_gans.avatars.parts import Avatar
from lightning_gans.avatars.render import Kind, draw
from lightning_gans.runtime.atomic import atomic_write
from lightning_gans.runtime.cache import cache_folder

VERSION = 1  # of how faces are drawn
CHUNK = 250


class Face(NamedTuple):
    """Hold what is drawn."""

    avatar: Avatar
    pose: Pose = UPRIGHT


def render(faces: Sequence[Face], kind: Kind, size: int, folder: Path | None = None) -> np.ndarray:
    """Return pictures (N, 3, size, size) or drawings (N, 1, size, size) of faces, uint8, from the cache where they are.

    Threads draw, since rasterising lets go of Python's lock. A full or read-only disk costs only the next start's time.

    Args:
        faces: At least one.
        kind: ``picture`` or ``drawing``.
        size: Side in pixels.
        folder: Of the cache; ``None``: ``avatars`` in the user's.
    """
    folder = cache_folder() / "avatars" if folder is None else folder
    chunks = [faces[start : start + CHUNK] for start in range(0, len(faces), CHUNK)]
    paths = [folder / f"{_key(chunk, kind, size)}.npy" for chunk in chunks]
    channels = 3 if kind == "picture" else 1
    whole = np.empty((len(faces), channels, size, size), np.uint8)
    missing = [i for i, path in enumerate(paths) if not _read(path, whole[i * CHUNK : (i + 1) * CHUNK])]
    if not missing:
        return whole
    random.Random(os.getpid()).shuffle(missing)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    title = f"drawing {len(faces):,} {kind}s of avatars, once"
    total = sum(len(chunks[i]) for i in missing)
    with ThreadPoolExecutor(cores) as threads, tqdm(total=total, desc=title, leave=False, mininterval=1) as bar:

        def fill(i: int) -> None:
            place = whole[i * CHUNK : (i + 1) * CHUNK]
            if not _read(paths[i], place):  # which another process may have drawn meanwhile
                for n, face in enumerate(chunks[i]):
                    place[n] = draw(kind, face.avatar, size, face.pose)
                    bar.update()
                _write(paths[i], place)

        list(threads.map(fill, missing))
    return whole


def _key(chunk: Sequence[Face], kind: Kind, size: int) -> str:
    packages = {name: version(name) for name in ("python_avatars", "resvg_py")}
    text = json.dumps([VERSION, packages, kind, size, chunk])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, place: np.ndarray) -> bool:
    """Fill ``place`` from a file; false if there is none, or one that is damaged, which is drawn anew."""
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    if stored.shape != place.shape or stored.dtype != np.uint8:
        return False
    place[...] = stored
    return True


def _write(path: Path, pixels: np.ndarray) -> None:
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, pixels)
    except OSError:
        return
