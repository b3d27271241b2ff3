"""Any images in a folder or a zip."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from lightning_gans.data.base import Batch, ImageData, ImageSet, TensorImages

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class Folder(ImageData):
    """Images in a folder or a zip, of any sizes; class sub-folders become labels.

    An image is resized so that its shorter side is ``image_size`` (antialiased bicubic) and its centre is cut out.

    Args:
        root: The folder or zip.
        memory_gb: Decoded sets up to this size are held in memory; larger ones are read batch by batch by
            ``num_workers`` processes.
        **options: See ``ImageData``. With ``num_classes`` the sub-folders of ``root``, in alphabetical order, are the
            classes.
    """

    def __init__(self, *, root: str, memory_gb: float = 4.0, **options: Any) -> None:
        super().__init__(**options)
        if self.channels not in MODES:
            raise ValueError(f"data.channels={self.channels}: must be 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)")
        if memory_gb < 0:
            raise ValueError(f"data.memory_gb={memory_gb}: must be >= 0")
        if not Path(root).expanduser().exists():
            raise FileNotFoundError(f"data.root={root}: does not exist; give a folder or a zip of images")
        self.root, self.memory_gb = root, memory_gb

    def load(self) -> ImageSet:
        """List the images, and decode them if they fit."""
        files = ImageFiles(self.root, self.image_size, self.channels, self.limit)
        if self.num_classes is not None:
            files.use_classes(self.num_classes)
        size = len(files) * self.channels * self.image_size**2
        return files.decoded() if size <= self.memory_gb * 2**30 else files


class ImageFiles(ImageSet):
    """Images on disk, decoded when they are fetched.

    Args:
        root: A folder or a zip.
        image_size: Height and width of the images handed out.
        channels: 1 to 4.
        limit: Use the first so many.

    Raises:
        FileNotFoundError: ``root`` does not exist.
        ValueError: There are no images in it, or one cannot be read.
    """

    def __init__(self, root: str, image_size: int, channels: int, limit: int | None = None) -> None:
        self.root, self.image_size, self.channels = Path(root).expanduser(), image_size, channels
        if not self.root.exists():
            raise FileNotFoundError(f"data.root={root}: does not exist; give a folder or a zip of images")
        self.is_zip = self.root.is_file()
        if self.is_zip and not zipfile.is_zipfile(self.root):
            raise ValueError(f"data.root={root}: is neither a folder nor a zip")
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        self.names = sorted(filter(_is_image, self._list()))[:limit]
        if not self.names:
            raise ValueError(f"data.root={root}: no images ({', '.join(EXTENSIONS)})")
        self.labels: Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.names)

    def use_classes(self, num_classes: int) -> None:
        """Make labels of the sub-folders; a zip's single top folder does not count.

        Raises:
            ValueError: Their number is not ``num_classes``.
        """
        parents = [PurePosixPath(name).parent.parts for name in self.names]
        while len({part[:1] for part in parents}) == 1 and parents[0]:
            parents = [part[1:] for part in parents]
        folders = [part[0] if part else "" for part in parents]
        self.classes = sorted(set(folders))
        if self.classes == [""] or len(self.classes) != num_classes:
            found = ", ".join(self.classes[:10]) if self.classes != [""] else "none"
            raise ValueError(
                f"data.num_classes={num_classes}: {self.root} has {len(self.classes)} class folders ({found})"
            )
        self.labels = torch.tensor([self.classes.index(folder) for folder in folders])

    def fetch(self, index: Tensor) -> Batch:
        """Decode the images of one batch."""
        batch = {"image": torch.stack([self._decode(i) for i in index.tolist()])}
        if self.labels is not None:
            batch["label"] = self.labels[index]
        return batch

    def decoded(self) -> TensorImages:
        """All images in memory, decoded by threads."""
        images = torch.empty(len(self), self.channels, self.image_size, self.image_size, dtype=torch.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            decoding = threads.map(self._decode, range(len(self)))
            for i, image in enumerate(tqdm(decoding, "reading images", len(self), leave=False, mininterval=1)):
                images[i] = image
        held = TensorImages(images, self.labels)
        held.classes = self.classes
        return held

    def _list(self) -> Iterator[str]:
        if self.is_zip:
            yield from (info.filename for info in self._zip().infolist() if not info.is_dir())
            return
        for folder, _, files in os.walk(self.root):
            for file in files:
                yield Path(folder, file).relative_to(self.root).as_posix()

    def _zip(self) -> zipfile.ZipFile:
        """This process's own handle: a forked one would share its file position with other workers."""
        if self._archive is None or self._archive[0] != os.getpid():
            self._archive = (os.getpid(), zipfile.ZipFile(self.root))
        return self._archive[1]

    def _decode(self, i: int) -> Tensor:
        name = self.names[i]
        try:
            with self._zip().open(name) if self.is_zip else open(self.root / name, "rb") as file:
                image = eight_bit(ImageOps.exif_transpose(Image.open(file))).convert(MODES[self.channels])
        except (OSError, SyntaxError, ValueError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
            raise ValueError(f"data.root={self.root}: cannot read {name} ({error})") from error
        pixels = np.asarray(cover(image, self.image_size))
        return torch.from_numpy(pixels.copy()).view(self.image_size, self.image_size, -1).permute(2, 0, 1)

    def __getstate__(self) -> dict[str, Any]:
        """Open archives stay behind."""
        return {**self.__dict__, "_archive": None}


def _is_image(name: str) -> bool:
    """By its ending; what file managers leave behind (``__MACOSX``, ``._a.png``) is none."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
    return name.lower().endswith(EXTENSIONS) and not hidden


def eight_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled to 8, which Pillow's own conversion would clip.

    Raises:
        ValueError: 32-bit values, whose range is not known.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) * 255 // 65535).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}: 32-bit values of unknown range; convert it to 8 or 16 bits")
    return image


def cover(image: Image.Image, size: int) -> Image.Image:
    """Resize so that the shorter side is ``size`` (antialiased bicubic) and cut out the centre."""
    width, height = image.size
    if (width, height) != (size, size):
        scale = size / min(width, height)
        image = image.resize(
            (max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BICUBIC
        )
        left, top = (image.width - size) // 2, (image.height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    return image
