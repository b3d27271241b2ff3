"""Read pairs: pictures of two halves, or files of two folders that have one name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from annotated_types import Ge, Le
from lightning.pytorch.utilities import rank_zero_warn
from typing_extensions import TypedDict, Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.decoding import MODES
from lightning_gans.data.file_sources import printable
from lightning_gans.data.files import FileReader, chosen, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairFileOptions, select, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.files import HalfFiles, JoinedFiles, NumberFiles
from lightning_gans.data.translation.pair_transform import PairTransform, pair_transform
from lightning_gans.data.translation.pairs import ChannelConcat
from lightning_gans.data.translation.roots import ImageRoot, Roots, match

Layout = Literal["side_by_side", "folders"]
Direction = Literal["a2b", "b2a"]
Labels = Annotated[int, Ge(2), Le(256)]


class LayoutOptions(TypedDict, total=False):
    """Declare the options of where the sides of pairs are; see ``PairedSource``."""

    layout: Layout
    direction: Direction
    part: str | None
    test_part: str | None
    target_root: str | None
    source: str
    target: str
    instance: str | None
    test_source: str | None
    test_target: str | None
    test_instance: str | None
    source_suffix: str
    target_suffix: str
    instance_suffix: str
    num_labels: Labels | None


class PairedOptions(PairFileOptions, LayoutOptions, total=False):
    """Declare the options of sets of pairs that are files."""


class Paired(ImageDataModule):
    """Read images that belong together, of any sizes; both are resized, cut and mirrored alike.

    Args:
        root: A folder or zip that holds the folders of the pairs; or the sources, if ``target_root`` has the targets.
        **options: See ``ImageDataModule``, ``FileReader``, ``PairTransform`` and ``PairedSource``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, *, root: str, **options: Unpack[PairedOptions]) -> None:
        source = PairedSource(Roots(root), reader_of(options), **select(options, LayoutOptions))
        super().__init__(source=source, transform=source.transform(options), **shared_options(options))


class PairedSource(ImageSource):
    """Give pairs of images.

    Args:
        roots: Where the set is.
        reader: Reader of the files.
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

    Raises:
        ValueError: A value out of range, or options that do not go together.
    """

    reader: FileReader

    @checked
    def __init__(
        self,
        roots: Roots,
        reader: FileReader,
        *,
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
        num_labels: Labels | None = None,
    ) -> None:
        self.roots, self.root, self.reader = roots, roots.root, reader
        self.has_halves = layout == "side_by_side" and target_root is None
        self.direction, self.folder, self.test_folder, self.target_root = direction, part, test_part, target_root
        self.folders = {"source": source, "target": target, "instance": instance}
        self.test_folders = {"source": test_source, "target": test_target, "instance": test_instance}
        self.suffixes = {"source": source_suffix, "target": target_suffix, "instance": instance_suffix}
        self.num_labels = num_labels
        self.split = (part or "train") if self.has_halves else source if target_root is None else "train"

    def transform(self, options: PairFileOptions) -> PairTransform:
        """Return the transform that the options ask for, of label and instance maps too."""
        has_instances = self.folders["instance"] is not None
        resize = self.reader.resize
        return pair_transform(options, num_labels=self.num_labels, instance=has_instances, resize=resize)

    def check(self, spec: ImageSpec) -> None:
        """Refuse other channels than pictures and label maps have, layouts that lack them, and places not there."""
        super().check(spec)
        if self.num_labels is None and spec.source_channels not in MODES:
            raise ConfigError("data.source_channels", spec.source_channels, "must be 1 to 4, or data.num_labels given")
        if self.num_labels not in (None, spec.source_channels):
            raise ConfigError(
                "data.source_channels", spec.source_channels, f"must be data.num_labels={self.num_labels}"
            )
        for key, given in {"num_labels": self.num_labels, "instance": self.folders["instance"]}.items():
            if given is not None and self.has_halves:
                raise ConfigError(f"data.{key}", given, "needs data.layout=folders, not side_by_side")
        if self.direction == "b2a" and not self.has_halves:
            raise ConfigError(
                "data.direction", "b2a", "not with data.layout=folders; exchange data.source and data.target"
            )
        self.roots.check((self.target_root, "data.target_root"))

    def download(self) -> None:
        """Download the set if it is a published one."""
        self.roots.locate()

    def load(self, spec: ImageSpec) -> ChannelConcat:
        """Return the training pairs."""
        return self._concat(spec, self.pairs(spec))

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the training pictures by side."""
        pairs = self.pairs(spec)
        return pairs.sides if isinstance(pairs, JoinedFiles) else {"pairs": pairs}

    def pairs(self, spec: ImageSpec) -> JoinedFiles | HalfFiles:
        """Return the files of the training pairs, joined."""
        if self.has_halves:
            return self._halves(spec, list(self.roots().require(self.folder, "part").values()))
        if self.target_root is None:
            sides = {side: (self.roots(), folder, side) for side, folder in self.folders.items() if folder is not None}
            return self._joined(spec, sides)
        target = self.roots(self.target_root, "data.target_root")
        return self._joined(spec, {"source": (self.roots(), None, "root"), "target": (target, None, "target_root")})

    def load_test(self, spec: ImageSpec) -> ChannelConcat | None:
        """Return the test pairs, if there are any."""
        root = self.roots()
        if self.target_root is not None:
            return None
        if self.has_halves:
            found = {} if self.test_folder is None else root.subfolder(self.test_folder)
            return self._concat(spec, self._halves(spec, list(found.values()))) if found else None
        folders = {side: self.test_folders[side] for side, folder in self.folders.items() if folder is not None}
        if folders["source"] is None:
            return None
        missing = [side for side, folder in folders.items() if folder is None or not root.subfolder(folder)]
        if missing:
            if len(missing) < len(folders):
                none = ", ".join(f"data.test_{side}={folders[side] or 'null'}" for side in missing)
                there = f"data.root={printable(self.root)}: the test part is left out, since a side of it is not there"
                rank_zero_warn(f"{there} ({none})")
            return None
        wanted = {side: (root, folder, f"test_{side}") for side, folder in folders.items()}
        return self._concat(spec, self._joined(spec, wanted))

    def _concat(self, spec: ImageSpec, files: JoinedFiles | HalfFiles) -> ChannelConcat:
        if isinstance(files, JoinedFiles):
            channels = {side: one.channels for side, one in files.sides.items()}
        else:
            channels = {"source": spec.source_channels, "target": spec.channels}
        return ChannelConcat(self.reader.in_memory(files)[0], **channels)

    def _halves(self, spec: ImageSpec, names: list[str]) -> HalfFiles:
        source = self.roots().source
        return HalfFiles(
            source,
            [names[i] for i in chosen(names, spec.max_images)],
            source_channels=spec.source_channels,
            channels=spec.channels,
            swap=self.direction == "b2a",
            **self.reader.options(source, spec, self.root),
        )

    def _joined(self, spec: ImageSpec, wanted: Mapping[str, tuple[ImageRoot, str | None, str]]) -> JoinedFiles:
        found = {side: root.require(folder, option) for side, (root, folder, option) in wanted.items()}
        matched = match(found, self.suffixes, f"data.root={self.root}")
        taken = chosen(matched["source"], spec.max_images)
        sides: dict[str, ImageFiles] = {}
        for side, (root, _, _) in wanted.items():
            names, source = [matched[side][i] for i in taken], root.source
            numbers = {"source": (self.num_labels, "data.num_labels"), "instance": (2**16, "16 bits")}
            below, option = numbers.get(side, (None, ""))
            if below is not None:
                how = self.reader.options(source, spec, self.root)
                sides[side] = NumberFiles(source, names, below=below, option=option, **how)
            else:
                channels = spec.source_channels if side == "source" else spec.channels
                sides[side] = self.reader.files(source, names, spec, root=self.root, channels=channels)
        return JoinedFiles(sides, **self.reader.options(wanted["source"][0].source, spec, self.root))
