"""Read two domains: any images in two folders."""

from __future__ import annotations

from typing_extensions import TypedDict, Unpack

from lightning_gans.config.types import checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.data.files import FileReader, chosen, reader_of
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import PairFileOptions, select, shared_options
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.pairs import Pairs, hold_out_domains
from lightning_gans.data.translation.roots import ImageRoot, Roots


class DomainOptions(TypedDict, total=False):
    """Declare the options of the folders of two domains; see ``UnpairedSource``."""

    target_root: str | None
    source: str
    target: str
    test_source: str | None
    test_target: str | None


class UnpairedOptions(PairFileOptions, DomainOptions, total=False):
    """Declare the options of sets of two domains in encoded images."""


class Unpaired(ImageDataModule):
    """Read images of two domains that do not belong together, of any sizes.

    Args:
        root: A folder or zip that holds the domains' folders; or the source domain, if ``target_root`` is the other.
        **options: See ``ImageDataModule``, ``FileReader``, ``PairTransform`` and ``UnpairedSource``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    @checked
    def __init__(self, *, root: str, **options: Unpack[UnpairedOptions]) -> None:
        source = UnpairedSource(Roots(root), reader_of(options), **select(options, DomainOptions))
        transform = pair_transform(options, resize=source.reader.resize)
        super().__init__(source=source, transform=transform, **shared_options(options))


class UnpairedSource(ImageSource):
    """Give the images of two domains.

    Args:
        roots: Where the set is.
        reader: Reader of the files.
        target_root: Folder or zip of the target domain; the folders below are not looked for then.
        source: Sub-folder of the source domain.
        target: Sub-folder of the target domain.
        test_source: Sub-folder of its test images; tests are left out if neither folder is there.
        test_target: Sub-folder of the target domain's test images.
    """

    reader: FileReader
    aligned = False

    def __init__(
        self,
        roots: Roots,
        reader: FileReader,
        *,
        target_root: str | None = None,
        source: str = "trainA",
        target: str = "trainB",
        test_source: str | None = "testA",
        test_target: str | None = "testB",
    ) -> None:
        self.roots, self.root, self.reader, self.target_root = roots, roots.root, reader, target_root
        self.folders = {"source": source, "target": target}
        self.test_folders = {"source": test_source, "target": test_target}
        self.split = f"{source} and {target}" if target_root is None else self.split

    def check(self, spec: ImageSpec) -> None:
        """Refuse places that are not there."""
        super().check(spec)
        self.roots.check((self.target_root, "data.target_root"))

    def download(self) -> None:
        """Download the set if it is a published one."""
        self.roots.locate()

    def load(self, spec: ImageSpec) -> Pairs:
        """Return both domains."""
        return Pairs(*self.reader.in_memory(*self.files(spec).values()), aligned=False)

    def files(self, spec: ImageSpec) -> dict[str, ImageFiles]:
        """Return the training images of both domains."""
        if self.target_root is None:
            return self._sides(spec, {side: (self.roots(), folder, side) for side, folder in self.folders.items()})
        target = self.roots(self.target_root, "data.target_root")
        return self._sides(spec, {"source": (self.roots(), None, "root"), "target": (target, None, "target_root")})

    def load_test(self, spec: ImageSpec) -> Pairs | None:
        """Return the test images of both domains, if there are any."""
        if self.target_root is not None:
            return None
        root = self.roots()
        if not any(folder and root.subfolder(folder) for folder in self.test_folders.values()):
            return None
        sides = self._sides(spec, {side: (root, folder, f"test_{side}") for side, folder in self.test_folders.items()})
        return Pairs(*self.reader.in_memory(*sides.values()), aligned=False)

    def hold_out(self, whole: ImageDataset, fraction: float, seed: int) -> tuple[ImageDataset, ImageDataset]:
        """Split each domain."""
        return hold_out_domains(self, whole, fraction, seed)

    def _sides(self, spec: ImageSpec, wanted: dict[str, tuple[ImageRoot, str | None, str]]) -> dict[str, ImageFiles]:
        channels = {"source": spec.source_channels, "target": spec.channels}
        sides = {}
        for side, (root, folder, option) in wanted.items():
            names = list(root.require(folder, option).values())
            names = [names[i] for i in chosen(names, spec.max_images)]
            sides[side] = self.reader.files(root.source, names, spec, root=self.root, channels=channels[side])
        return sides
