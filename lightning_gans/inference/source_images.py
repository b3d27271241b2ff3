"""Read the images of a folder that are to be translated, at their own sizes."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gans.checkpoints.integrity import malformed
from lightning_gans.config.errors import ConfigError
from lightning_gans.data.decoding import MODES, Decoder, Picture, has_alpha
from lightning_gans.data.file_sources import OnDisk, is_zip, no_images, source_at
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.source import FileError, Source
from lightning_gans.data.translation.files import label_map
from lightning_gans.images.size import height_width
from lightning_gans.models.translation import TranslationModule

WAITING = 4  # batches of pictures that may wait for others of their size
HOLE = 128  # what inpainting's holes are filled with: the middle between black and white
_GREY = ("1", "L", "LA", "La", "I", "F")


def source_shape(module: TranslationModule, direction: str = "a2b") -> tuple[int, int, int]:
    """Return the shape (C, H, W) of the sources that a direction was trained on, by the module's config.

    Raises:
        ValueError: The config does not say it.
    """
    with malformed("the checkpoint"):
        data = (module.config or {})["resolved"]["data"]
        height, width = (side // module.scale for side in height_width(data["image_size"]))
        return int(data["source_channels" if direction == "a2b" else "channels"]), height, width


class SourceImages(ImageFiles):
    """Decode pictures at their own sizes, upright, in the model's channels.

    Args:
        source: Folder or archive that holds them.
        names: Names of the pictures.
        root: Name of the source in messages.
        channels: Channels of the model's sources, 1 to 4; ignored for label maps.
        num_labels: Number of labels of label maps, whose values are below it; ``None``: the pictures are images.
        holes: Fill fully transparent pixels with middle grey, the holes that inpainting is trained on.
        decoder: Decoder of the files.

    Attributes:
        converted: Number of pictures that were converted, by kind of conversion.
    """

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        *,
        root: str,
        channels: int,
        num_labels: int | None = None,
        holes: bool = False,
        decoder: Decoder | None = None,
    ) -> None:
        super().__init__(source, names, root=root, image_size=1, channels=channels, decoder=decoder)  # any size
        self.num_labels, self.holes = num_labels, holes
        self.converted: Counter[str] = Counter()
        self._lock = threading.Lock()  # pictures are decoded by threads

    def _tensor(self, picture: Picture) -> Tensor:
        """Convert a picture to (C, H, W) uint8; a label map to (1, H, W) int64."""
        notes = ["turned upright"] if picture.rotated else []
        if self.num_labels is not None:
            pixels = label_map(picture, self.num_labels, "the model's labels").astype(np.int64)
        else:
            wanted = MODES[self.channels]
            upright = self.decoder.eight_bit(picture)
            if self.holes and has_alpha(upright):
                pixels = _with_holes(np.array(upright.convert(wanted)), np.array(upright)[..., -1], "A" in wanted)
                notes += self.decoder.note(picture, "RGBA")
            else:
                pixels = np.array(self.decoder.flatten(upright, wanted))
                notes += self.decoder.note(picture, wanted)
            notes += _changes(picture.mode, wanted)
        with self._lock:
            self.converted.update(notes)
        return torch.from_numpy(pixels).view(*pixels.shape[:2], -1).permute(2, 0, 1)


def _with_holes(pixels: np.ndarray[Any, Any], alpha: np.ndarray[Any, Any], has_alpha: bool) -> np.ndarray[Any, Any]:
    """Fill transparent pixels with middle grey, whatever colours a program left there."""
    layers = pixels.reshape(*alpha.shape, -1)
    layers[..., : layers.shape[2] - has_alpha][alpha == 0] = HOLE
    return layers


def find(root: str) -> tuple[Source, list[str]]:
    """Find the pictures in a folder or zip, or the one that a path names.

    Returns:
        The source and the names of its pictures.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: There are no pictures, or it cannot be read.
    """
    path = Path(root).expanduser()
    if not is_zip(root, "input") and not path.is_dir():
        return OnDisk(path.parent), [path.name]
    source = source_at(root, "input")
    names = source.names()
    if not names and not source.problems:
        raise ConfigError("input", root, no_images(source))
    return source, names


def read_ahead(files: SourceImages, pool: ThreadPoolExecutor, ahead: int) -> Iterator[Tensor | FileError]:
    """Yield every picture in order, decoded ahead by threads."""
    reading: deque[Future[Tensor | FileError]] = deque()
    for i in range(len(files)):
        reading.append(pool.submit(files.decode, i))
        if len(reading) > ahead:
            yield reading.popleft().result()
    while reading:
        yield reading.popleft().result()


def _changes(mode: str, wanted: str) -> list[str]:
    """Return notes on what converting one mode of Pillow's to another does to colours."""
    was_grey, is_grey = mode in _GREY or mode.startswith("I;"), wanted in ("L", "LA")
    notes = ["colour to grey"] if is_grey and not was_grey else []
    return notes + (["grey to colour"] if was_grey and not is_grey else [])
