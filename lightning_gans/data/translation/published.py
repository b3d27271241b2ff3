"""The sets that the papers on translation published."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lightning_gans.data.archives import Archive, obtain, unpack
from lightning_gans.data.translation.files import ImageRoot, TranslationFiles
from lightning_gans.data.translation.paired import Paired
from lightning_gans.data.translation.unpaired import Unpaired


class ArchiveInfo(NamedTuple):
    """What is known of an archive: bytes and SHA-256; ``None`` where nobody has told."""

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


class Published(TranslationFiles):
    """A published set that lies in ``root``, or is downloaded there.

    Args:
        name: Of the set.
        root: Folder of all sets.
        download: Download it if it is not there; what was broken off goes on.
        mirror: Address of a folder to download from instead; what comes is checked all the same.
        **options: See the set's other base.

    Raises:
        ValueError: A value out of range.
    """

    known: ClassVar[dict[str, ArchiveInfo]]
    published_at: ClassVar[str]
    ending: ClassVar[str]  # of the archive's name

    def __init__(
        self, *, name: str, root: str = "data", download: bool = True, mirror: str | None = None, **options: Any
    ) -> None:
        if name not in self.known:
            raise ValueError(f"data.name={name}: must be one of {', '.join(self.known)}")
        self.choice, self.download, self.mirror = name, download, mirror
        super().__init__(root=root, **options)
        self.part = f"{name} {self.part}"

    def check_places(self) -> None:
        """What is not there is downloaded later."""

    def prepare_data(self) -> None:
        """Download on one process of each machine, before the others read."""
        self.setup("prepare")

    def place(self, root: str | None = None, key: str = "data.root") -> ImageRoot:
        """The set, downloaded if need be, or what an option names."""
        folder = Path(self.root).expanduser() / self.choice
        if root is None and not folder.is_dir():
            root = self.fetch(folder)
        return super().place(str(folder) if root is None else root, key)

    def fetch(self, folder: Path) -> str:
        """Download the archive where it is not there; where the set lies then."""
        packed = folder.with_name(f"{self.choice}{self.ending}")
        if str(packed) not in self._places:
            archive = Archive(f"{self.mirror or self.published_at}/{packed.name}", *self.known[self.choice])
            obtain(archive, packed, key=f"data.root={self.root}", download=self.download)
        return str(packed)


class PublishedUnpaired(Published, Unpaired):
    """A set of CycleGAN's authors (Zhu et al. 2017, arXiv:1703.10593).

    ``NAME.zip`` in ``root`` is read in place; so is the folder ``NAME`` of those who unpacked it. Arguments and errors
    are those of ``Published`` and ``Unpaired``.
    """

    known = UNPAIRED
    published_at = "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets"
    ending = ".zip"


class PublishedPaired(Published, Paired):
    """A set of pix2pix's authors (Isola et al. 2017, arXiv:1611.07004): pictures of two halves.

    ``NAME.tar.gz`` is unpacked to the folder ``NAME`` in ``root``. Arguments and errors are those of ``Published`` and
    ``Paired``.
    """

    known = PAIRED
    published_at = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
    ending = ".tar.gz"

    def fetch(self, folder: Path) -> str:
        """As the base, unpacked."""
        unpack(Path(super().fetch(folder)), folder, key=f"data.root={self.root}")
        return str(folder)
