"""Find the folders of a set of pairs, and the files that belong together by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from lightning_gans.data.file_sources import check_exists, no_images, printable, source_at
from lightning_gans.data.folder import prefix_of
from lightning_gans.data.source import Source

NAMED = 10  # files without a partner that a message names


class ImageRoot:
    """List a folder or zip of images.

    Args:
        root: The folder or zip.
        key: The option that names it.
    """

    def __init__(self, root: str, key: str) -> None:
        self.root, self.key = root, key
        self.source: Source = source_at(root, key)
        self.names = self.source.names()
        if not self.names:
            raise ValueError(f"{key}={root}: {no_images(self.source)}")
        parents = [PurePosixPath(name).parent.parts for name in self.names]
        depth = 0  # of the folders that hold everything
        while len(parents[0]) > depth and len({part[: depth + 1] for part in parents}) == 1:
            depth += 1
        self.tops = ["/".join(parents[0][:i]) + "/" if i else "" for i in range(depth + 1)]

    def subfolder(self, folder: str | None) -> dict[str, str]:
        """Return the images below a sub-folder, or all of them.

        Args:
            folder: Its path from ``root``, from the folder that holds everything (as in a zip of one folder), or from
                any folder between them; ``None``: all images.

        Returns:
            Full names by names below that folder; nothing without such a folder.
        """
        if folder is None:
            return {name.removeprefix(self.tops[-1]): name for name in self.names}
        for top in self.tops:
            start = f"{top}{prefix_of(folder)}"
            found = {name.removeprefix(start): name for name in self.names if name.startswith(start)}
            if found:
                return found
        return {}

    def require(self, folder: str | None, option: str) -> dict[str, str]:
        """Return the images below a sub-folder that must be there.

        Raises:
            ValueError: There are none; by the option that names the folder.
        """
        found = self.subfolder(folder)
        if not found:
            beside = sorted({name.removeprefix(self.tops[-1]).split("/")[0] for name in self.names if "/" in name})
            there = f"; there are {', '.join(beside[:NAMED])}" if beside else ""
            raise ValueError(
                f"data.{option}={folder}: {self.key}={printable(self.root)} has no images under such a folder"
                f"{printable(there)}"
            )
        return found


class Roots:
    """List the folders and zips of a set, each once.

    Args:
        root: Option ``data.root``, for messages, and the set's own place unless ``locate`` is given.
        locate: Returns the set's own place, downloaded if need be.
    """

    def __init__(self, root: str, locate: Callable[[], str] | None = None) -> None:
        self.root, self._locate = root, locate
        self._own: str | None = None if locate else root
        self._listed: dict[str, ImageRoot] = {}

    def locate(self) -> str:
        """Return the path of the set's own folder or zip, downloaded if need be."""
        if self._own is None and self._locate is not None:
            self._own = self._locate()
        return self._own or self.root

    def check(self, *others: tuple[str | None, str]) -> None:
        """Refuse a place that is not there, unless it can be located later.

        Args:
            *others: Further paths, each with the option that names it; ``None`` is no path.

        Raises:
            FileNotFoundError, ValueError: See ``check_exists``.
        """
        if self._locate is None:
            for path, key in ((self.root, "data.root"), *others):
                if path is not None:
                    check_exists(path, key)

    def __call__(self, root: str | None = None, key: str = "data.root") -> ImageRoot:
        """Return the set's own place, or another that an option names."""
        path = self.locate() if root is None else root
        if path not in self._listed:
            self._listed[path] = ImageRoot(path, key)
        return self._listed[path]


def match(sides: Mapping[str, Mapping[str, str]], suffixes: Mapping[str, str], where: str) -> dict[str, list[str]]:
    """Match the files of several folders by their names.

    Args:
        sides: Of each side full names by names below its folder.
        suffixes: What the names of a side end with before the extension and those of the others do not.
        where: What messages begin with.

    Returns:
        Full names of each side in one order.

    Raises:
        ValueError: With the files that stand alone, or two that have one name.
    """
    by_stem: dict[str, dict[str, str]] = {}
    for side, names in sides.items():
        by_stem[side] = {}
        for short, name in names.items():
            path = PurePosixPath(short)
            stem = str(path.with_name(path.stem.removesuffix(suffixes.get(side, ""))))
            if stem in by_stem[side]:
                raise ValueError(f"{where}: {printable(name)} and {printable(by_stem[side][stem])} have one name")
            by_stem[side][stem] = name
    everywhere = set.intersection(*(set(stems) for stems in by_stem.values()))
    alone = {side: [name for stem, name in stems.items() if stem not in everywhere] for side, stems in by_stem.items()}
    if any(alone.values()):
        told = []
        for side, lonely in alone.items():
            if lonely:
                more = f" and {len(lonely) - NAMED} more" if len(lonely) > NAMED else ""
                told.append(f"{len(lonely)} of {len(by_stem[side])} {side}s ({', '.join(lonely[:NAMED])}{more})")
        raise ValueError(
            f"{where}: files belong together by their names, and no partner have {printable('; '.join(told))}"
        )
    return {side: [stems[stem] for stem in sorted(everywhere)] for side, stems in by_stem.items()}
