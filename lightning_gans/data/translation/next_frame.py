"""Predict the next frame: the frames before it are the source."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import torch
from torch import Tensor
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import Batch, ImageDataset, Subset
from lightning_gans.data.file_sources import printable
from lightning_gans.data.files import FileReader, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource, val_count
from lightning_gans.data.options import PairFileOptions, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.roots import Roots


class Windows(ImageDataset):
    """Pair frames: the last of each window is the target, those before it, oldest first, are the source's channels.

    Args:
        frames: The images.
        windows: (N, k + 1) int64, which frames.
    """

    def __init__(self, frames: ImageDataset, windows: Tensor) -> None:
        self.frames, self.windows = frames, windows

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.windows)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``source`` (N, k C, H, W) and ``target`` (N, C, H, W) uint8."""
        wanted, place = torch.unique(self.windows[index], return_inverse=True)  # each frame is decoded once
        images = self.frames.fetch(wanted)["image"][place]  # (N, k + 1, C, H, W)
        return {"source": images[:, :-1].flatten(1, 2), "target": images[:, -1].contiguous()}

    def fingerprint(self) -> str:
        """Hash the frames and which of them follow on which."""
        digest = hashlib.blake2b(self.frames.fingerprint().encode(), digest_size=16)
        digest.update(self.windows.numpy().tobytes())
        return digest.hexdigest()


class NextFrame(ImageDataModule):
    """Read numbered frames, a folder a clip: the ``context`` frames before are the source of each frame.

    A frame's number is the last one in its name; a number that is missing begins a new clip.

    Args:
        root: A folder or zip of frames.
        context: Frames before.
        within: Use only the frames under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test clips; ``None``: there are none.
        **options: See ``ImageDataModule``, ``FileReader`` and ``PairTransform``; ``source_channels`` are ``context``
            times ``channels``. The last frames of the set are those that ``val_fraction`` holds out, and its first ones
            those that ``limit`` takes.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        context: PositiveInt = 3,
        within: str | None = None,
        test_within: str | None = None,
        **options: Unpack[PairFileOptions],
    ) -> None:
        source = FramesSource(Roots(root), context, within, test_within, reader_of(options))
        transform = pair_transform(options, resize=source.reader.resize)
        super().__init__(source=source, transform=transform, **shared_options(options))


class FramesSource(ImageSource):
    """Give windows of consecutive frames.

    Args:
        roots: The folder or zip.
        context: Frames before the target.
        within: Sub-folder of the training clips; ``None``: everything.
        test_within: Sub-folder of the test clips; ``None``: there are none.
        reader: Reader of the files.

    Raises:
        ValueError: A value out of range.
    """

    reader: FileReader

    def __init__(
        self, roots: Roots, context: int, within: str | None, test_within: str | None, reader: FileReader
    ) -> None:
        if reader.on_error != "stop":
            raise ConfigError(
                "data.on_error", reader.on_error, "must be stop; no clip can do without one of its frames"
            )
        self.roots, self.root, self.reader, self.context = roots, roots.root, reader, context
        self.within, self.test_within, self.split = within, test_within, within or self.split

    def check(self, spec: ImageSpec) -> None:
        """Refuse other source channels than those of all frames before, and a place that is not there."""
        super().check(spec)
        if spec.source_channels != self.context * spec.channels:
            raise ValueError(
                f"data.source_channels={spec.source_channels}: must be {self.context * spec.channels}, "
                f"data.context={self.context} times data.channels={spec.channels}"
            )
        self.roots.check()

    def load(self, spec: ImageSpec) -> Windows:
        """Return all windows of ``context + 1`` frames."""
        return self._windows(self._files(spec, self.within, "within"))

    def load_test(self, spec: ImageSpec) -> Windows | None:
        """Return those of the test clips, if there are any."""
        return None if self.test_within is None else self._windows(self._files(spec, self.test_within, "test_within"))

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the training frames, clip by clip in the order of their numbers."""
        return {"images": self._files(spec, self.within, "within")}

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Hold out the last windows, so that as few as possible of their frames are trained on."""
        n, index = val_count(len(whole), fraction), torch.arange(len(whole))
        return Subset(whole, index[:-n]), Subset(whole, index[-n:])

    def _files(self, spec: ImageSpec, folder: str | None, option: str) -> ImageFiles:
        root = self.roots()
        names = sorted(root.require(folder, option).values(), key=natural)[: spec.max_images]  # others leave no clips
        return self.reader.files(root.source, names, spec, root=self.root)

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
        return Windows(self.reader.in_memory(files)[0], windows)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names by their value, ``9.png`` before ``10.png``."""
    pieces = re.split(r"(\d+)", str(PurePosixPath(name).with_suffix("")))
    return [(i % 2, int(piece) if i % 2 else 0, "" if i % 2 else piece) for i, piece in enumerate(pieces)]


def runs(names: list[str], where: str) -> list[tuple[int, int]]:
    """Return where clips begin and end (one past the last) among sorted names of frames.

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
