"""Two domains: any images in two folders."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.file_sources import check_exists
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.translation.base import Pairs
from lightning_gans.data.translation.files import ImageRoot, TranslationFiles


class Unpaired(TranslationFiles):
    """Images of two domains that do not belong together, of any sizes.

    Args:
        root: A folder or zip that holds the folders below; or the source domain, if ``target_root`` is the other.
        target_root: Folder or zip of the target domain; the folders below are not looked for then.
        source: Sub-folder of the source domain.
        target: Sub-folder of the target domain.
        test_source: Sub-folder of its test images; tests are left out where neither is there.
        test_target: Sub-folder of the target domain's test images.
        **options: See ``TranslationFiles``.

    Raises:
        FileNotFoundError: There is no such folder or zip.
        ValueError: A value out of range.
    """

    aligned = False

    def __init__(
        self,
        *,
        root: str,
        target_root: str | None = None,
        source: str = "trainA",
        target: str = "trainB",
        test_source: str | None = "testA",
        test_target: str | None = "testB",
        **options: Any,
    ) -> None:
        super().__init__(root=root, **options)
        self.target_root = target_root
        self.folders = {"source": source, "target": target}
        self.test_folders = {"test_source": test_source, "test_target": test_target}
        self.part = f"{source} and {target}" if target_root is None else self.part
        self.check_places()

    def check_places(self) -> None:
        """Refuse places that are not there."""
        check_exists(self.root)
        if self.target_root is not None:
            check_exists(self.target_root, "data.target_root")

    def files(self) -> ImageFiles:
        """The training images of the source domain."""
        return self.parts()["source"]

    def parts(self) -> dict[str, ImageFiles]:
        """The training images of both domains."""
        if self.target_root is None:
            return self._sides({side: (self.place(), folder, side) for side, folder in self.folders.items()})
        target = self.place(self.target_root, "data.target_root")
        return self._sides({"source": (self.place(), None, "root"), "target": (target, None, "target_root")})

    def load(self) -> Pairs:
        """Both domains."""
        return Pairs(*self.load_in_memory(*self.parts().values()), aligned=False)

    def load_test(self) -> Pairs | None:
        """The test images of both domains, if there are any."""
        place = self.place()
        there = {option: folder and place.subfolder(folder) for option, folder in self.test_folders.items()}
        if self.target_root is not None or not any(there.values()):
            return None
        wanted = {option.removeprefix("test_"): (place, folder, option) for option, folder in self.test_folders.items()}
        return Pairs(*self.load_in_memory(*self._sides(wanted).values()), aligned=False)

    def _sides(self, wanted: dict[str, tuple[ImageRoot, str | None, str]]) -> dict[str, ImageFiles]:
        channels = {"source": self.source_channels, "target": self.channels}
        return {
            side: self.make_files(place.source, list(place.require(folder, option).values()), channels=channels[side])
            for side, (place, folder, option) in wanted.items()
        }
