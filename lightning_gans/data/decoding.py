"""Decode pictures into pixels: told by their first bytes, upright, in 8 bits, laid on a background.

Everything that reads a user's picture goes through ``Decoder``, and everything that goes wrong is ``Unreadable``.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from lightning_gans.config.errors import ConfigError

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
FORMATS = {  # as Pillow names them, by their first bytes
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "WEBP": (b"RIFF",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
    "GIF": (b"GIF8",),
    "PPM": (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
}
MAX_PIXELS = 100_000_000
BYTES_PER_PIXEL = 8  # of the largest pixel that is read: four channels of 16 bits, uncompressed
BACKGROUND = "white"
BITS = 16  # of a value in a file of 16 bits, unless the user knows better
ORIENTATION = 0x0112  # the tag by which a camera says how it was held


class Unreadable(ValueError):
    """Report a picture that cannot be used; the message is the reason, without its name."""


class Picture:
    """Hold an encoded picture, of which only the header was read so far.

    Args:
        data: The whole file.
        max_pixels: Larger pictures are refused.

    Attributes:
        mode: As Pillow names it.
        format: As Pillow names it.
        bits: Of one value in the file: 1, 8, 16 or 32.
        rotated: Whether the camera was not held upright.
        size: Width and height; upright once it is decoded.
        top: The largest value of a picture of 16 bits; 0 before ``Decoder.eight_bit`` and of others.
        transparent: Whether ``Decoder.eight_bit`` found pixels that are not wholly opaque.

    Raises:
        Unreadable: It has too many pixels, or its header is damaged.
    """

    def __init__(self, data: bytes, max_pixels: int) -> None:
        try:
            header = Image.open(io.BytesIO(data), formats=list(FORMATS))
        except Image.DecompressionBombError as error:
            raise Unreadable(f"more pixels than data.max_pixels={max_pixels}") from error
        if header.width * header.height > max_pixels:
            raise Unreadable(f"{header.width}x{header.height} pixels; more than data.max_pixels={max_pixels}")
        self.data, self.header, self.mode, self.format = data, header, header.mode, header.format
        self.bits = {"1": 1, "F": 32}.get(header.mode, 16 if _has_16_bits(header) else 8)
        self.rotated = header.getexif().get(ORIENTATION, 1) in range(2, 9)
        self.size = header.size
        self.top, self.transparent = 0, False

    def decode(self, draft: int | None = None) -> Image.Image:
        """Decode the picture and turn it upright; sets ``size``.

        Args:
            draft: Decode a JPEG no larger than needed for sides of so many pixels; ``size`` is that of the whole.
        """
        image = self.header
        whole = image.size
        if draft is not None:
            image.draft(image.mode, (draft, draft))  # no side will be below this one
        image.load()  # TIFFs are turned by Pillow here, and lose the tag
        whole = image.size if draft is None else whole
        self.size = whole[::-1] if image.getexif().get(ORIENTATION, 1) in range(5, 9) else whole
        return ImageOps.exif_transpose(image)

    def upright_size(self) -> tuple[int, int]:
        """Return width and height, upright; decodes only turned pictures, since some formats turn them by then."""
        if self.rotated:
            self.decode()
        return self.size

    def lower_bytes(self) -> Image.Image:
        """Decode the lower bytes of colours of 16 bits, of which Pillow gives the upper ones, and turn them upright.

        Raises:
            Unreadable: Pillow has no reader of them.
        """
        image = Image.open(io.BytesIO(self.data), formats=list(FORMATS))
        swapped = str.maketrans("BL", "LB")  # in the other byte order they are the upper ones
        tiles: list[Any] = []
        for tile in image.tile:  # how it is packed, where, and what its decoder is told: the order, and maybe more
            order, *rest = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
            if order not in ("RGB;16B", "RGB;16L", "RGBA;16B", "RGBA;16L"):
                raise Unreadable(f"mode {self.mode} of 16 bits: data.bits cannot be heeded; convert it to 8 bits")
            order = order[:-1] + order[-1].translate(swapped)
            told = (order, *rest) if isinstance(tile[3], tuple) else order
            tiles.append(getattr(type(tile), "_make", tuple)((*tile[:3], told)))
        image.tile = tiles
        image.load()
        return ImageOps.exif_transpose(image)


@dataclass(frozen=True)
class Decoder:
    """Decode pictures into pixels of 8 bits.

    Args:
        max_pixels: Larger pictures are not decoded.
        background: Colour that is laid beneath transparent pixels where alpha is dropped, as ``check_background`` takes
            it; ``None``: the colours that the file has there, whatever they are.
        bits: Of one value in files of 16 bits: 12 for values from 0 to 4095; ``None``: all 16.
    """

    max_pixels: int = MAX_PIXELS
    background: str | None = BACKGROUND
    bits: int | None = None

    @property
    def max_bytes(self) -> int:
        """Return the size of the largest file that is read, in bytes."""
        return BYTES_PER_PIXEL * self.max_pixels

    def open(self, data: bytes) -> Picture:
        """Read the header of a picture.

        Raises:
            Unreadable: See ``Picture``.
        """
        return Picture(data, self.max_pixels)

    def pixels(self, picture: Picture, mode: str, draft: int | None = None) -> Image.Image:
        """Decode a picture upright, in ``mode``, one of ``MODES``; see ``Picture.decode``."""
        return self.flatten(self.eight_bit(picture, draft), mode)

    def eight_bit(self, picture: Picture, draft: int | None = None) -> Image.Image:
        """Decode a picture upright, in 8 bits and with its alpha; sets ``top`` and ``transparent`` of the picture.

        Raises:
            Unreadable: Values of 32 bits, whose range is not known, or larger ones than ``bits`` allows.
        """
        image = picture.decode(draft)
        if picture.bits == 16:
            image = self._scaled(image, picture)
        elif image.mode in ("I", "F"):
            raise Unreadable(f"mode {image.mode}: 32-bit values of unknown range; convert it to 8 or 16 bits")
        if has_alpha(image):
            image = image.convert("LA" if image.mode in ("La", "LA", "L", "1") else "RGBA")
            picture.transparent = image.getchannel("A").getextrema() != (255, 255)
        return image

    def flatten(self, image: Image.Image, mode: str) -> Image.Image:
        """Convert a picture of 8 bits to ``mode``, on the background if that has no alpha and the picture has."""
        if self.background is None or "A" in mode or not has_alpha(image):
            return image.convert(mode)
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, self.background), layer).convert(mode)

    def note(self, picture: Picture, mode: str) -> list[str]:
        """Say in words what becomes of a decoded picture's values and transparency in ``mode``, where they change."""
        notes = [f"{self.bits or BITS} bits to 8"] if picture.bits == 16 else []
        return notes + ([self.dropping_alpha] if picture.transparent and "A" not in mode else [])

    @property
    def dropping_alpha(self) -> str:
        """Say what becomes of transparent pixels where alpha is dropped, in words."""
        return "alpha left out" if self.background is None else f"transparent, laid on {self.background}"

    def _scaled(self, image: Image.Image, picture: Picture) -> Image.Image:
        """Scale values of 16 bits to 8, which Pillow's conversion would clip; of colours it gives the upper bytes."""
        key = image.info.get("transparency")
        grey = image.mode.startswith("I")
        values = np.asarray(image).astype(np.uint32)
        if not grey and self.bits is not None:
            values = values * 256 + np.asarray(picture.lower_bytes())
        picture.top = int(values.max()) if grey or self.bits is not None else int(values.max()) * 256 + 255
        if not grey and self.bits is None:
            if isinstance(key, tuple):
                image.info["transparency"] = tuple(value >> 8 for value in key)
            return image
        largest = 2 ** (self.bits or BITS) - 1
        if picture.top > largest:
            raise Unreadable(f"value {picture.top}: must be from 0 to {largest} (data.bits={self.bits})")
        scaled = Image.fromarray(((values * 255 + largest // 2) // largest).astype(np.uint8))
        if key is None:
            return scaled
        opaque = (values != (key if grey else np.array(key))).reshape(*values.shape[:2], -1).any(2)
        scaled.putalpha(Image.fromarray((opaque * 255).astype(np.uint8)))
        return scaled


def has_alpha(image: Image.Image) -> bool:
    """Return whether pixels may be transparent: by an alpha channel, by a palette, or by a colour that says so."""
    palette = image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")
    return palette or image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def check_background(background: Any, key: str = "data.background") -> None:
    """Refuse what is no opaque colour.

    Raises:
        ConfigError: By the key that says it.
    """
    if background is None:
        return
    try:
        opaque = isinstance(background, str) and len(ImageColor.getrgb(background)) == 3
    except ValueError:
        opaque = False
    if not opaque:
        raise ConfigError(key, background, "must be white, black, another colour's name, '#rrggbb', or null")


def reason(error: Exception) -> str:
    """Say what is wrong in words, without the objects that Pillow and zipfile print."""
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether values have 16 bits; Pillow keeps those of grey only, of colours it gives the upper eight."""
    stored = any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))
    return stored or image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
