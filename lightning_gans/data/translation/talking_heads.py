"""Provide videos of talking heads: a folder of frames each, with landmarks beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.file_sources import printable
from lightning_gans.data.files import FileReader, reader_of
from lightning_gans.data.options import FileOptions
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.heads import HeadFrames, HeadOptions, HeadsDataModule, HeadSource
from lightning_gans.data.translation.landmark_files import Face, LandmarkDrawings, read_faces
from lightning_gans.data.translation.next_frame import natural
from lightning_gans.data.translation.roots import Roots

NAMED = 10  # frames and videos that a message names
PREPARE = "python -m lightning_gans.landmarks input=DIR"


class HeadFileOptions(HeadOptions, FileOptions, total=False):
    """Declare the options of videos of talking heads; see ``HeadOptions`` and ``FileReader``."""


class TalkingHeadVideos(HeadsDataModule):
    """Read videos of talking heads: every folder that holds frames is one, with its landmarks beside them.

    So VoxCeleb1's frames (``NAME/1.6/VIDEO/*.jpg``) are read as they are, and VoxCeleb2's and other MP4 files once
    ``python -m lightning_gans.landmarks`` has written their frames. Frames without a face are named and left out, and
    so are videos with fewer than K + 1 that are left. Landmarks are drawn by groups of points in fixed colours.

    Args:
        root: A folder or zip.
        within: Use only the videos under this sub-folder, e.g. ``train``; ``None``: everything.
        test_within: Sub-folder of the test videos; ``None``: there are none.
        join: Join folders of frames that lie in one folder to one video, as VoxCeleb2 has several pieces of each.
        **options: See ``HeadFileOptions``; ``num_videos`` of ``None`` are counted.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        root: str,
        within: str | None = None,
        test_within: str | None = None,
        join: bool = False,
        **options: Unpack[HeadFileOptions],
    ) -> None:
        k, reader = options.get("frames", 8), reader_of(options)
        source = VideoSource(Roots(root), within, test_within, reader, k=k, join=join)
        super().__init__(source, options)

    @classmethod
    def learn(cls, node: Mapping[str, Any]) -> dict[str, Any]:
        """Count the videos that can be trained on, if the config does not say how many there are."""
        if node.get("num_videos") is not None:
            return {}
        data = cls(**{key: value for key, value in node.items() if key[0] != "_" and key != "extractor"})
        assert isinstance(data.source, VideoSource)
        return {"num_videos": len(data.source.videos(data.source.within, "within"))}


class VideoSource(HeadSource):
    """Give the frames of videos that have a face, and drawings of its landmarks.

    Args:
        roots: The folder or zip.
        within: Sub-folder of the training videos; ``None``: everything.
        test_within: Sub-folder of the test videos; ``None``: there are none.
        reader: Reader of the files.
        k: Frames beside a target.
        join: See ``TalkingHeadVideos``.

    Raises:
        ConfigError: Files that cannot be read are to be skipped, whose places others would fill.
    """

    reader: FileReader

    def __init__(
        self,
        roots: Roots,
        within: str | None,
        test_within: str | None,
        reader: FileReader,
        *,
        k: int,
        join: bool = False,
    ) -> None:
        if reader.on_error != "stop":
            raise ConfigError("data.on_error", reader.on_error, "must be stop; no other frame may take one's place")
        self.roots, self.root, self.reader, self.k, self.join = roots, roots.root, reader, k, join
        self.within, self.test_within, self.split = within, test_within, within or self.split
        self._videos: dict[str | None, list[dict[str, Face]]] = {}

    def check(self, spec: ImageSpec) -> None:
        """Refuse drawings of other than three channels, and a place that is not there."""
        super().check(spec)
        if spec.source_channels != 3:
            raise ConfigError("data.source_channels", spec.source_channels, "must be 3, the colours of the landmarks")
        self.roots.check()

    def load(self, spec: ImageSpec) -> HeadFrames:
        """Return the training videos."""
        return self._heads(spec, self.within, "within")

    def load_test(self, spec: ImageSpec) -> HeadFrames | None:
        """Return the test videos, if there are any."""
        return None if self.test_within is None else self._heads(spec, self.test_within, "test_within")

    def videos(self, folder: str | None, option: str) -> list[dict[str, Face]]:
        """Return the faces of every video that has K + 1 of them, by the frames' names; warn of what is left out."""
        if folder in self._videos:
            return self._videos[folder]
        by_folder: dict[str, list[str]] = {}
        for name in sorted(self.roots().require(folder, option).values(), key=natural):
            by_folder.setdefault(str(PurePosixPath(name).parent), []).append(name)
        source, faceless = self.roots().source, list[str]()
        videos: dict[str, dict[str, Face]] = {}
        for place, names in by_folder.items():
            faces = read_faces(source, place, names)
            faceless += [name for name in names if name not in faces]
            videos.setdefault(str(PurePosixPath(place).parent) if self.join else place, {}).update(faces)
        kept = [faces for faces in videos.values() if len(faces) > self.k]
        short = [place for place, faces in videos.items() if len(faces) <= self.k]
        for found, what in ((faceless, "frames without a face"), (short, f"videos of fewer than {self.k + 1} frames")):
            if found:
                more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
                named = printable(", ".join(found[:NAMED]))
                rank_zero_warn(f"data.root={self.root}: {len(found)} {what} are left out: {named}{more}")
        if not kept:
            rule = f"no folder has {self.k + 1} frames with landmarks beside them; {PREPARE} writes them"
            raise ConfigError("data.root", self.root, rule)
        self._videos[folder] = kept
        return kept

    def _heads(self, spec: ImageSpec, folder: str | None, option: str) -> HeadFrames:
        videos = self.videos(folder, option)
        if spec.max_images is not None:  # whole videos, one at least
            sums = torch.tensor([len(video) for video in videos]).cumsum(0)
            videos = videos[: max(1, int((sums <= spec.max_images).sum()))]
        named = [(name, face, i) for i, video in enumerate(videos) for name, face in video.items()]
        root = self.roots()
        files = self.reader.files(root.source, [name for name, _, _ in named], spec, root=self.root)
        faces = [face if face.size else face._replace(size=self._size(files.decoder, name)) for name, face, _ in named]
        drawings = LandmarkDrawings(faces, spec.size, self.reader.resize)
        return HeadFrames(self.reader.in_memory(files)[0], drawings, torch.tensor([i for *_, i in named]), self.k)

    def _size(self, decoder: Any, name: str) -> tuple[int, int]:
        width, height = self.roots().source.picture(name, decoder).upright_size()
        return height, width
