"""Pairs: pictures of two halves, or files of two folders that have one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_gans.data.datasets import Batch
from lightning_gans.data.decoding import MODES
from lightning_gans.data.file_sources import check_exists, printable
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.translation.base import ChannelConcat
from lightning_gans.data.translation.files import (
    HalfFiles,
    ImageRoot,
    JoinedFiles,
    NumberFiles,
    TranslationFiles,
    from_two_bytes,
    match,
)

Layout = Literal["side_by_side", "folders"]
Direction = Literal["a2b", "b2a"]


class Paired(TranslationFiles):
    """Images that belong together, of any sizes; both are fitted, cut and mirrored alike.

    Args:
        root: A folder or zip that holds the folders below; or the sources, if ``target_root`` holds the targets.
        layout: ``side_by_side``: pictures of two halves, A on the left and B on the right, in the folders ``part`` and
            ``test_part``; ``folders``: files of one name in the folders ``source`` and ``target``.
        direction: ``a2b``: A is the source; ``b2a``: B is. For pictures of two halves.
        part: Sub-folder of the pictures; ``None``: everything.
        test_part: Sub-folder of the test pictures; left out where it is not there.
        target_root: Folder or zip of the targets; whatever the layout, files of one name belong together then.
        source: Sub-folder of the sources.
        target: Sub-folder of the targets.
        instance: Sub-folder of maps that give each object of a picture a number (up to 16 bits); batches have them as
            ``instance`` (N, 1, H, W) int64. ``None``: there are none.
        test_source: Sub-folder of the test sources; tests are left out where a side of them is not there, ``None``:
            in any case.
        test_target: Sub-folder of the test targets.
        test_instance: Sub-folder of the test pictures' instance maps, if there is ``instance``.
        source_suffix: What the sources' names end with, before the extension, and the others' do not.
        target_suffix: The same of the targets.
        instance_suffix: The same of the instance maps.
        num_labels: Sources are label maps: PNGs whose values, from 0 to ``num_labels - 1``, are classes. Batches have
            them one-hot, (N, num_labels, H, W) of 0 and 1. ``None``: they are pictures.
        **options: See ``TranslationFiles``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    def __init__(
        self,
        *,
        root: str,
        layout: Layout = "side_by_side",
        direction: Direction = "a2b",
        part: str | None = "train",
        test_part: str | None = "test",
        target_root: str | None = None,
        source: str = "trainA",
        target: str = "trainB",
        instance: str | None = None,
        test_source: str | None = "testA",
        test_target: str | None = "testB",
        test_instance: str | None = None,
        source_suffix: str = "",
        target_suffix: str = "",
        instance_suffix: str = "",
        num_labels: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root=root, **options)
        if layout not in ("side_by_side", "folders"):
            raise ValueError(f"data.layout={layout}: must be side_by_side or folders")
        if direction not in ("a2b", "b2a"):
            raise ValueError(f"data.direction={direction}: must be a2b or b2a")
        self.layout = "folders" if target_root is not None else layout
        self.direction, self.folder, self.test_folder, self.target_root = direction, part, test_part, target_root
        self.folders = {"source": source, "target": target, "instance": instance}
        self.test_folders = {"source": test_source, "target": test_target, "instance": test_instance}
        self.suffixes = {"source": source_suffix, "target": target_suffix, "instance": instance_suffix}
        self.num_labels = num_labels
        self.label_keys = frozenset({"instance"} if num_labels is None else {"source", "instance"})
        self.part = (part or "train") if self.layout == "side_by_side" else source if target_root is None else "train"
        self._check_options()
        self.check_places()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one source, of one target and, if there is one, of one instance map."""
        found = super().shapes
        return found if self.folders["instance"] is None else {**found, "instance": (1, self.side, self.side)}

    def _check_options(self) -> None:
        labels, side_by_side = self.num_labels, self.layout == "side_by_side"
        if labels is None and self.source_channels not in MODES:
            raise ValueError(f"data.source_channels={self.source_channels}: must be 1 to 4, or data.num_labels given")
        if labels is not None:
            if not 2 <= labels <= 256:
                raise ValueError(f"data.num_labels={labels}: must be from 2 to 256, or null")
            if self.source_channels != labels:
                raise ValueError(f"data.source_channels={self.source_channels}: must be data.num_labels={labels}")
        for key, given in {"num_labels": labels, "instance": self.folders["instance"]}.items():
            if given is not None and side_by_side:
                raise ValueError(f"data.{key}={given}: needs data.layout=folders, not side_by_side")
        if self.direction == "b2a" and not side_by_side:
            raise ValueError("data.direction=b2a: not with data.layout=folders; exchange data.source and data.target")

    def check_places(self) -> None:
        """Refuse places that are not there."""
        check_exists(self.root)
        if self.target_root is not None:
            check_exists(self.target_root, "data.target_root")

    def files(self) -> ImageFiles:
        """The training pairs."""
        if self.layout == "side_by_side":
            return self._halves(list(self.place().require(self.folder, "part").values()))
        if self.target_root is None:
            places = {side: (self.place(), folder, side) for side, folder in self.folders.items() if folder is not None}
            return self._joined(places)
        target = self.place(self.target_root, "data.target_root")
        return self._joined({"source": (self.place(), None, "root"), "target": (target, None, "target_root")})

    def parts(self) -> dict[str, ImageFiles]:
        """The training pictures by side."""
        files = self.files()
        return files.sides if isinstance(files, JoinedFiles) else {"pairs": files}

    def load(self) -> ChannelConcat:
        """The training pairs."""
        return self._stacked(self.files())

    def load_test(self) -> ChannelConcat | None:
        """The test pairs, if there are any."""
        place = self.place()
        if self.target_root is not None:
            return None
        if self.layout == "side_by_side":
            found = {} if self.test_folder is None else place.subfolder(self.test_folder)
            return self._stacked(self._halves(list(found.values()))) if found else None
        folders = {side: self.test_folders[side] for side, folder in self.folders.items() if folder is not None}
        if folders["source"] is None:
            return None
        missing = [side for side, folder in folders.items() if folder is None or not place.subfolder(folder)]
        if missing:
            if len(missing) < len(folders):
                none = ", ".join(f"data.test_{side}={folders[side] or 'null'}" for side in missing)
                there = f"data.root={printable(self.root)}: the test part is left out, since a side of it is not there"
                rank_zero_warn(f"{there} ({none})")
            return None
        return self._stacked(self._joined({side: (place, one, f"test_{side}") for side, one in folders.items()}))

    def to_batch(self, batch: Batch, draws: Tensor | None) -> Batch:
        """Floats in [-1, 1]; label maps one-hot, numbers of objects as they are."""
        numbers: Batch = {}
        if self.num_labels is not None:
            classes = torch.arange(self.num_labels, device=batch["source"].device)[:, None, None]
            numbers["source"] = (batch["source"] == classes).float()
        if "instance" in batch:
            numbers["instance"] = from_two_bytes(batch["instance"])
        pictures = {key: images for key, images in batch.items() if key not in numbers}
        return {**super().to_batch(pictures, draws), **numbers}

    def _stacked(self, files: ImageFiles) -> ChannelConcat:
        if isinstance(files, JoinedFiles):
            channels = {side: one.channels for side, one in files.sides.items()}
        else:
            channels = {"source": self.source_channels, "target": self.channels}
        return ChannelConcat(self.load_in_memory(files)[0], **channels)

    def _halves(self, names: list[str]) -> HalfFiles:
        source = self.place().source
        return HalfFiles(
            source,
            [names[i] for i in self.chosen(names)],
            source_channels=self.source_channels,
            channels=self.channels,
            swap=self.direction == "b2a",
            **self.reading(source),
        )

    def _joined(self, wanted: Mapping[str, tuple[ImageRoot, str | None, str]]) -> JoinedFiles:
        found = {side: place.require(folder, option) for side, (place, folder, option) in wanted.items()}
        names = match(found, self.suffixes, f"data.root={self.root}")
        sides: dict[str, ImageFiles] = {}
        taken = self.chosen(names["source"])
        for side, (place, _, _) in wanted.items():
            chosen = [names[side][i] for i in taken]
            how = self.reading(place.source)
            if side == "source" and self.num_labels is not None:
                sides[side] = NumberFiles(place.source, chosen, below=self.num_labels, option="data.num_labels", **how)
            elif side == "instance":
                sides[side] = NumberFiles(place.source, chosen, below=2**16, option="16 bits", **how)
            else:
                channels = self.source_channels if side == "source" else self.channels
                sides[side] = self.make_files(place.source, chosen, channels=channels)
        return JoinedFiles(sides, **self.reading(wanted["source"][0].source))
