"""Provide the sets that the papers on translation published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import checked
from lightning_gans.data.archives import Archive, obtain, unpack
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.files import reader_of
from lightning_gans.data.options import select, shared_options
from lightning_gans.data.translation.pair_transform import pair_transform
from lightning_gans.data.translation.paired import LayoutOptions, PairedOptions, PairedSource
from lightning_gans.data.translation.roots import Roots
from lightning_gans.data.translation.unpaired import DomainOptions, UnpairedOptions, UnpairedSource

UNPAIRED_URL = "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets"
PAIRED_URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"


class ArchiveInfo(NamedTuple):
    """Record the bytes and SHA-256 of an archive; ``None`` where its publishers do not give them."""

    size: int | None = None
    sha256: str | None = None


UNPAIRED = {
    "apple2orange": ArchiveInfo(78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"),
    "cezanne2photo": ArchiveInfo(279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"),
    "cityscapes": ArchiveInfo(279601602, "d2f6910fd056c1ee9873777ae838e7ac4a2c833598ae62a04188e5ab2f4ea036"),
    "facades": ArchiveInfo(35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"),
    "horse2zebra": ArchiveInfo(116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"),
    "iphone2dslr_flower": ArchiveInfo(339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"),
    "maps": ArchiveInfo(1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"),
    "monet2photo": ArchiveInfo(305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
    "summer2winter_yosemite": ArchiveInfo(
        132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"
    ),
    "ukiyoe2photo": ArchiveInfo(292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"),
    "vangogh2photo": ArchiveInfo(306590349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"),
}
PAIRED = {
    "cityscapes": ArchiveInfo(103441232),
    "edges2handbags": ArchiveInfo(),
    "edges2shoes": ArchiveInfo(),
    "facades": ArchiveInfo(30168306),
    "maps": ArchiveInfo(250242400),
    "night2day": ArchiveInfo(),
}


class Published:
    """Locate a published set, which is downloaded if need be; what was broken off goes on.

    Args:
        name: Of the set.
        root: Folder of all sets.
        known: Archives by the names of sets.
        url: Address of the folder that has the archives; what comes is checked.
        ending: Of an archive's name: ``.zip`` is read in place, ``.tar.gz`` is unpacked to the folder ``name``.
        download: Download the set if it is not there.

    Raises:
        ValueError: There is no set of this name.
    """

    def __init__(
        self, name: str, root: str, known: Mapping[str, ArchiveInfo], url: str, ending: str, download: bool
    ) -> None:
        if name not in known:
            raise ConfigError("data.name", name, f"must be one of {', '.join(known)}")
        self.archive = Archive(f"{url}/{name}{ending}", *known[name])
        self.folder, self.key, self.download = Path(root).expanduser() / name, f"data.root={root}", download
        self.packed = self.folder.with_name(f"{name}{ending}")

    def __call__(self) -> str:
        """Return the path of the set, its folder or its zip."""
        if self.folder.is_dir():
            return str(self.folder)
        obtain(self.archive, self.packed, key=self.key, download=self.download)
        if self.packed.suffix == ".zip":
            return str(self.packed)
        return str(unpack(self.packed, self.folder, key=self.key))


class PublishedUnpaired(ImageDataModule):
    """Provide a set of CycleGAN's authors (Zhu et al. 2017, arXiv:1703.10593).

    ``NAME.zip`` in ``root`` is read in place; so is the folder ``NAME`` of those who unpacked it.

    Args:
        name: Of the set.
        root: Folder of all sets.
        download: Download the set if it is not there.
        mirror: Address of a folder to download from instead; what comes is checked all the same.
        **options: See ``ImageDataModule``, ``FileReader``, ``PairTransform`` and ``UnpairedSource``.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        name: str,
        root: str = "data",
        download: bool = True,
        mirror: str | None = None,
        **options: Unpack[UnpairedOptions],
    ) -> None:
        place = Published(name, root, UNPAIRED, mirror or UNPAIRED_URL, ".zip", download)
        source = UnpairedSource(Roots(root, place), reader_of(options), **select(options, DomainOptions))
        source.split = f"{name} {source.split}"
        transform = pair_transform(options, resize=source.reader.resize)
        super().__init__(source=source, transform=transform, **shared_options(options))


class PublishedPaired(ImageDataModule):
    """Provide a set of pix2pix's authors (Isola et al. 2017, arXiv:1611.07004): pictures of two halves.

    ``NAME.tar.gz`` is unpacked to the folder ``NAME`` in ``root``.

    Args:
        name: Of the set.
        root: Folder of all sets.
        download: Download the set if it is not there.
        mirror: Address of a folder to download from instead; what comes is checked all the same.
        **options: See ``ImageDataModule``, ``FileReader``, ``PairTransform`` and ``PairedSource``.

    Raises:
        ValueError: A value out of range.
    """

    @checked
    def __init__(
        self,
        *,
        name: str,
        root: str = "data",
        download: bool = True,
        mirror: str | None = None,
        **options: Unpack[PairedOptions],
    ) -> None:
        place = Published(name, root, PAIRED, mirror or PAIRED_URL, ".tar.gz", download)
        source = PairedSource(Roots(root, place), reader_of(options), **select(options, LayoutOptions))
        source.split = f"{name} {source.split}"
        super().__init__(source=source, transform=source.transform(options), **shared_options(options))
