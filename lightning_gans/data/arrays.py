"""Read images in a NumPy archive, such as ``sample format=npz`` writes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from lightning_gans.data.decoding import MODES
from lightning_gans.data.source import Source

KEYS = ("images", "arr_0")  # ours, and what ``np.savez`` calls an array without a name


class InArray(Source):
    """Read images of an array (n, H, W, C) uint8 in an ``.npz`` file, under the key ``images`` or ``arr_0``.

    Each is handed out as an encoded file, so that it is checked, resized and counted as one.

    Args:
        path: The file.
        key: The option that named it.
    """

    def __init__(self, path: Path, key: str = "data.root") -> None:
        self.path, self.key, self.problems = path, key, []
        self._images: np.ndarray | None = None

    def names(self) -> list[str]:
        """Return the numbers of the images, as names.

        Raises:
            ValueError: The file cannot be read, or holds no such array.
        """
        return [f"{i:06d}" for i in range(len(self._array()))]

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Encode an image without loss."""
        pixels = self._array()[int(name)]
        file = io.BytesIO()
        image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        image.save(file, "PPM" if image.mode in ("L", "RGB") else "PNG")  # PPM is bytes as they are
        size = file.tell()
        file.seek(0)
        return file, size

    def _array(self) -> np.ndarray:
        if self._images is None:
            self._images = self._load()
        return self._images

    def _load(self) -> np.ndarray:
        at = f"{self.key}={self.path}"
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                found = next((key for key in KEYS if key in arrays), None)
                images = None if found is None else arrays[found]
                held = ", ".join(arrays.files) or "nothing"
        except Exception as error:  # a damaged file can fail anywhere in NumPy or zlib
            raise ValueError(f"{at}: cannot be read as an .npz file ({type(error).__name__}: {error})") from error
        if images is None:
            raise ValueError(f"{at}: holds {held}; needs an array images (n, H, W, C) of uint8")
        if images.ndim != 4 or images.shape[-1] not in MODES or images.dtype != np.uint8 or 0 in images.shape:
            raise ValueError(
                f"{at}: {found} is {images.shape} of {images.dtype}; must be (n, H, W, C) of uint8, C 1 to 4"
            )
        pixels: np.ndarray = images
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the pixels: another process reads its own."""
        return {**self.__dict__, "_images": None}
