"""The frames before to the next one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor

from lightning_gans.data.datasets import Batch, ImageDataset, Subset
from lightning_gans.data.file_sources import check_exists, printable
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.translation.files import TranslationFiles


class Windows(ImageDataset):
    """Runs of frames: the last of each is the target, those before it, oldest first, are the source's channels.

    Args:
        frames: The images.
        windows: (N, k + 1) int64, which frames.
    """

    def __init__(self, frames: ImageDataset, windows: Tensor) -> None:
        self.frames, self.windows = frames, windows

    def __len__(self) -> int:
        """Number of runs."""
        return len(self.windows)

    def fetch(self, index: Tensor) -> Batch:
        """``source`` (N, k C, H, W) and ``target`` (N, C, H, W) uint8."""
        wanted, place = torch.unique(self.windows[index], return_inverse=True)  # each frame is decoded once
        images = self.frames.fetch(wanted)["image"][place]  # (N, k + 1, C, H, W)
        return {"source": images[:, :-1].flatten(1, 2), "target": images[:, -1].contiguous()}

    def fingerprint(self) -> str:
        """Of the frames and of which follow on which."""
        digest = hashlib.blake2b(self.frames.fingerprint().encode(), digest_size=16)
        digest.update(self.windows.numpy().tobytes())
        return digest.hexdigest()


class NextFrame(TranslationFiles):
    """Numbered frames, a folder a clip: the ``context`` frames before are the source of each frame.

    A frame's number is the last one in its name; a number that is missing begins a new clip.

    Args:
        root: A folder or zip of frames.
        context: Frames before.
        within: Use only what lies under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test clips; ``None``: there are none.
        **options: See ``TranslationFiles``; ``source_channels`` are ``context`` times ``channels``. The last frames of
            the set are those that ``val_fraction`` holds out, and its first ones those that ``limit`` takes.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    def __init__(
        self,
        *,
        root: str,
        context: int = 3,
        within: str | None = None,
        test_within: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root=root, **options)
        if context < 1:
            raise ValueError(f"data.context={context}: must be >= 1")
        if self.source_channels != context * self.channels:
            raise ValueError(
                f"data.source_channels={self.source_channels}: must be {context * self.channels}, "
                f"data.context={context} times data.channels={self.channels}"
            )
        if self.on_error != "stop":
            raise ValueError(f"data.on_error={self.on_error}: must be stop; no clip can do without one of its frames")
        self.context, self.within, self.test_within, self.part = context, within, test_within, within or self.part
        check_exists(root)

    def files(self) -> ImageFiles:
        """The training frames, clip by clip in the order of their numbers."""
        return self._files(self.within, "within")

    def load(self) -> Windows:
        """All runs of ``context + 1`` frames."""
        return self._windows(self.files())

    def load_test(self) -> Windows | None:
        """The same of the test clips, if there are any."""
        return None if self.test_within is None else self._windows(self._files(self.test_within, "test_within"))

    def divide(self, whole: ImageDataset) -> tuple[ImageDataset, ImageDataset]:
        """The last frames are held out, so that no training run shows them."""
        n = len(super().divide(whole)[1])
        index = torch.arange(len(whole))
        return Subset(whole, index[:-n]), Subset(whole, index[-n:])

    def chosen(self, names: Sequence[str]) -> list[int]:
        """The first ``limit`` frames: others would leave no clips."""
        return list(range(len(names)))[: self.limit]

    def _files(self, folder: str | None, option: str) -> ImageFiles:
        place = self.place()
        return self.make_files(place.source, sorted(place.require(folder, option).values(), key=natural))

    def _windows(self, files: ImageFiles) -> Windows:
        clips = runs(list(files.names), f"data.root={self.root}")
        starts = [i for first, last in clips for i in range(first, last - self.context)]
        if not starts:
            longest = max(last - first for first, last in clips)
            raise ValueError(
                f"data.context={self.context}: needs clips of {self.context + 1} frames with consecutive numbers; the "
                f"longest in data.root={self.root} has {longest}"
            )
        windows = torch.tensor(starts)[:, None] + torch.arange(self.context + 1)
        return Windows(self.load_in_memory(files)[0], windows)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by their value, ``9.png`` before ``10.png``."""
    pieces = re.split(r"(\d+)", str(PurePosixPath(name).with_suffix("")))
    return [(i % 2, int(piece) if i % 2 else 0, "" if i % 2 else piece) for i, piece in enumerate(pieces)]


def runs(names: list[str], where: str) -> list[tuple[int, int]]:
    """Where clips begin and end (one past the last) among sorted names of frames.

    Raises:
        ValueError: A name without a number.
    """
    clips: list[tuple[int, int]] = []
    before: tuple[str, str, int] | None = None
    for i, name in enumerate(names):
        path = PurePosixPath(name)
        found = re.fullmatch(r"(.*?)(\d+)(\D*)", path.stem, re.DOTALL)
        if found is None:
            raise ValueError(f"{where}: {printable(name)} has no number; frames are told by the numbers in their names")
        frame = (f"{path.parent}/{found[1]}", found[3], int(found[2]))
        if before is not None and frame == (*before[:2], before[2] + 1):
            clips[-1] = clips[-1][0], i + 1
        else:
            clips.append((i, i + 1))
        before = frame
    return clips
