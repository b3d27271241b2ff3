"""Write the images of a set of files once at the size that training takes."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.source import FileError
from lightning_gans.runtime.atomic import atomic_write, refuse_existing

AT_ONCE = 256  # images in memory


def files_of(data: ImageDataModule, path: Path, *, overwrite: bool = False) -> ImageFiles:
    """Return the files of a set that ``shrink`` can write, before the work for it begins.

    Args:
        data: A set of single images in files.
        path: The zip to write.
        overwrite: Replace a file that is there.

    Raises:
        ValueError: The set has no files or is for translation, or the zip is one already, or no zip.
    """
    if data.translates or data.source.reader is None:
        rule = f"{type(data).__name__} has no files of single images; for those, such as data=folder"
        raise ConfigError("to", str(path), rule)
    if path.suffix.lower() != ".zip":
        raise ConfigError("to", str(path), "must be the name of a zip, e.g. small.zip")
    refuse_existing(path, overwrite=overwrite, key="to")
    return data.source.files(data.spec)["images"]


def shrink(files: ImageFiles, path: Path) -> int:
    """Write images as training sees them, as PNGs in their class folders, into a zip.

    They read as the very pixels that the files themselves give, without decoding and resizing them. Files that cannot
    be read are left out.

    Args:
        files: The images.
        path: The zip; it appears once it is whole.

    Returns:
        The number of images.
    """
    taken: set[str] = set()
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:  # PNGs are compressed already
        for name, content in tqdm(_encoded(files), "writing images", len(files), leave=False, mininterval=1):
            archive.writestr(_free(name, taken), content)
    return len(taken)


def _encoded(files: ImageFiles) -> Iterator[tuple[str, bytes]]:
    """Yield names and PNGs in the set's order, encoded by threads."""

    def encode(i: int) -> bytes | None:
        image = files.decode(i)
        return None if isinstance(image, FileError) else _png(image)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(files), AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, len(files)))
            for i, content in zip(numbers, threads.map(encode, numbers), strict=True):
                if content is not None:
                    yield files.names[i], content


def _png(image: Tensor) -> bytes:
    """Encode an image (C, H, W) uint8 of one to four channels."""
    rows = image.permute(1, 2, 0).contiguous().to(torch.uint8).numpy()  # (H, W, C)
    content = io.BytesIO()
    Image.fromarray(rows[..., 0] if rows.shape[2] == 1 else rows).save(content, "png")
    return content.getvalue()


def _free(name: str, taken: set[str]) -> str:
    """Return the name of an image's PNG that no other has, and note it."""
    candidate = name if name.lower().endswith(".png") else f"{name}.png"
    while candidate in taken:
        candidate = f"{candidate[:-4]}_.png"
    taken.add(candidate)
    return candidate
