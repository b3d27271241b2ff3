"""Write images and animations to files and folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from lightning_gans.images.pixels import displayable, to_pil
from lightning_gans.runtime.atomic import atomic_write

MARK = "lightning_gans"  # keyword of the text chunk of pictures that this package writes
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")


def save(image: Tensor, path: str | os.PathLike[str], mark: str | None = None) -> Path:
    """Write an image (C, H, W) uint8 of one to four channels as PNG; others by their first three channels.

    Args:
        image: The image.
        path: File to write.
        mark: Role of the picture, kept in a text chunk of the file: ``overview`` of many, which no listing of images
            counts, or ``sample``.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
    """
    if image.shape[0] > 4:
        image = displayable(image)
    target = Path(path)
    text = PngInfo()
    if mark is not None:
        text.add_text(MARK, mark)
    with atomic_write(target) as temporary:
        to_pil(image).save(temporary, "PNG", pnginfo=text)
    return target


def animate(frames: Sequence[Tensor], path: str | os.PathLike[str], milliseconds: int = 80) -> Path:
    """Write frames (C, H, W) uint8 as an endless GIF, or as an MP4 (H.264), and return its path.

    Args:
        frames: Images of one size; small ones are enlarged by a whole number.
        path: File to write; ends in ``.gif`` or ``.mp4``, which needs PyAV.
        milliseconds: Duration of a frame.

    Raises:
        OSError: The file cannot be written.
    """
    factor = max(1, 192 // max(frames[0].shape[-2:]))
    pictures = []
    for frame in frames:
        pixels = displayable(frame)[:3].permute(1, 2, 0).cpu().numpy()
        picture = Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
        size = (picture.width * factor, picture.height * factor)
        pictures.append(picture.resize(size, Image.Resampling.NEAREST))
    if Path(path).suffix == ".mp4":
        with atomic_write(Path(path)) as temporary:
            _write_mp4(pictures, temporary, milliseconds)
        return Path(path)
    options: dict[str, Any] = {"duration": milliseconds, "loop": 0, "comment": MARK.encode()}
    with atomic_write(Path(path)) as temporary:
        pictures[0].save(temporary, "GIF", save_all=True, append_images=pictures[1:], **options)
    return Path(path)


def _write_mp4(pictures: Sequence[Image.Image], path: Path, milliseconds: int) -> None:
    """Encode pictures as H.264 in yuv420p, which needs even sides: odd ones get a black row or column."""
    import av

    width, height = (side + side % 2 for side in pictures[0].size)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        file.metadata["comment"] = MARK
        stream = file.add_stream("libx264", rate=Fraction(1000, milliseconds), options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            sheet = Image.new("RGB", (width, height))
            sheet.paste(picture)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(sheet), format="rgb24")))
        file.mux(stream.encode())


def make_folder(out: str | os.PathLike[str]) -> Path:
    """Create the folder ``out`` unless it exists, and return it.

    Raises:
        ValueError: It cannot be created or written, or has the name of a picture.
    """
    folder = Path(out)
    if folder.name.lower().endswith(EXTENSIONS) and not folder.is_dir():
        raise ValueError(f"out={out}: ends as a picture does ({folder.suffix}); say a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out={out}: cannot be made a folder ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise ValueError(f"out={out}: cannot be written")
    return folder
