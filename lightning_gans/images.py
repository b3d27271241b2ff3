"""From the networks' range to pictures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from tqdm import tqdm

from lightning_gans.atomic import written_whole
from lightning_gans.data.folder import EXTENSIONS, MARK, OnDisk, has_mark


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1], (..., C, H, W), to uint8, rounded to nearest; points (N, D) stay as they are."""
    if images.ndim == 2:
        return images.float()
    return images.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)


def grid(images: Tensor, *, columns: int | None = None, gap: int = 2) -> Tensor:
    """Lay images out in rows.

    Args:
        images: (N, C, H, W) uint8.
        columns: Images in a row; ``None``: as square as possible.
        gap: Pixels between images.

    Returns:
        One image (C, H', W') uint8 of one, three or four channels.
    """
    images = displayable(images)
    n, channels, height, width = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    sheet = torch.zeros(channels, rows * (height + gap) + gap, columns * (width + gap) + gap, dtype=torch.uint8)
    for i, image in enumerate(images.cpu()):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def panels(rows: Sequence[Sequence[Tensor]], *, gap: int = 2) -> Tensor:
    """Lay out groups of images that belong together, e.g. a picture and its translation, several groups in a line.

    Args:
        rows: Groups of equally many images (C, H, W) uint8, whose sides and channels may differ. Within a group small
            ones are enlarged by a whole number.
        gap: Pixels between images; twice as many between groups.

    Returns:
        One image (C', H', W') uint8 of one or three channels.
    """
    groups = [[displayable(image.cpu())[:3] for image in row] for row in rows]
    channels = max(image.shape[0] for group in groups for image in group)
    groups = [[_enlarged(image, group).expand(channels, -1, -1) for image in group] for group in groups]
    height, width = (max(image.shape[i] for group in groups for image in group) for i in (1, 2))
    in_group = len(groups[0])
    across = max(1, round((len(groups) * height / (in_group * width)) ** 0.5))
    down = -(-len(groups) // across)
    sheet_width = across * (in_group * (width + gap) + gap) + gap
    sheet = torch.zeros(channels, down * (height + gap) + gap, sheet_width, dtype=torch.uint8)
    for i, group in enumerate(groups):
        top, left = gap + i // across * (height + gap), gap + i % across * (in_group * (width + gap) + gap)
        for j, image in enumerate(group):
            y = top + (height - image.shape[1]) // 2
            x = left + j * (width + gap) + (width - image.shape[2]) // 2
            sheet[:, y : y + image.shape[1], x : x + image.shape[2]] = image
    return sheet


def _enlarged(image: Tensor, beside: Sequence[Tensor]) -> Tensor:
    """By the whole number that makes an image as large as the largest beside it."""
    factor = max(1, min(max(other.shape[i] for other in beside) // image.shape[i] for i in (1, 2)))
    return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def thumbnail(image: Tensor, size: Sequence[int], side: int, whole: bool = True) -> Tensor:
    """An image (C, H, W) uint8 enlarged to ``size`` (height, width), then brought to ``side`` pixels at most.

    The ``whole`` image is reduced; otherwise its middle is cut out.
    """
    pixels = displayable(image)[None].float()
    if tuple(pixels.shape[-2:]) != tuple(size):
        pixels = F.interpolate(pixels, tuple(size), mode="nearest-exact")
    if not whole:
        top, left = (max(0, (length - side) // 2) for length in size)
        pixels = pixels[..., top : top + side, left : left + side]
    elif max(size) > side:
        reduced = [max(1, round(length * side / max(size))) for length in size]
        pixels = F.interpolate(pixels, reduced, mode="area")
    return pixels[0].round().to(torch.uint8)


def label_colours(labels: Tensor, num_labels: int) -> Tensor:
    """A map of labels (..., H, W) in colours that differ, (..., 3, H, W) uint8; label 0 is black."""
    turns = torch.arange(num_labels) * 0.618034  # of the colour circle: the golden ratio keeps neighbours apart
    hues = (turns[:, None] - torch.tensor([0.0, 1 / 3, 2 / 3])) * 2 * torch.pi
    brightness = 0.6 + 0.4 * (torch.arange(num_labels) % 3 / 2)
    palette = (127.5 * (1 + hues.cos()) * brightness[:, None]).round().to(torch.uint8)
    palette[0] = 0
    return palette[labels.cpu().long()].movedim(-1, -3)


def visible(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1], uint8 or one-hot labels, as uint8 of at most four channels.

    One-hot labels, each place 1 in one channel and 0 in the others, become colours.
    """
    if images.dtype == torch.uint8:
        return displayable(images)
    if images.shape[1] > 1 and bool(((images == 0) | (images == 1)).all()) and bool((images.sum(1) == 1).all()):
        return label_colours(images.argmax(1), images.shape[1])
    return displayable(to_uint8(images))


def scatter(points: Tensor, behind: Tensor | None = None, *, size: int = 512, reach: float = 1.25) -> Tensor:
    """Draw points of the plane.

    Args:
        points: (N, 2), in blue.
        behind: (M, 2), in grey below them.
        size: Height and width of the picture.
        reach: The picture shows [-reach, reach] in both directions, upwards as usual.

    Returns:
        (3, size, size) uint8.
    """
    sheet = np.full((size, size, 3), 255, np.uint8)
    for given, colour in ((behind, (200, 200, 200)), (points, (30, 80, 200))):
        if given is not None:
            at = np.rint((given.cpu().numpy() / reach + 1) / 2 * (size - 1))
            at = at[np.isfinite(at).all(1) & (at >= 1).all(1) & (at < size - 1).all(1)].astype(int)
            for right, down in np.ndindex(3, 3):
                sheet[size - 2 - at[:, 1] + down, at[:, 0] - 1 + right] = colour
    return torch.from_numpy(sheet).permute(2, 0, 1)


def overview(samples: Tensor, behind: Tensor | None = None) -> Tensor:
    """A grid of images (N, C, H, W) uint8, or points (N, 2) before the real ones ``behind`` them."""
    return scatter(samples, behind) if samples.ndim == 2 else grid(samples)


def displayable(images: Tensor) -> Tensor:
    """Images (..., C, H, W) that every viewer shows: alpha of grey is left out, so are channels beyond the third."""
    channels = images.shape[-3]
    kept = 1 if channels == 2 else 3 if channels > 4 else channels
    return images[..., :kept, :, :]


def picture(images: Tensor, *, columns: int | None = None) -> Image.Image:
    """Images as one picture, which notebooks show.

    Args:
        images: (N, C, H, W), or one (C, H, W); in [-1, 1], or uint8.
        columns: Images in a row; ``None``: as square as possible.
    """
    images = images if images.ndim == 4 else images[None]
    return to_pil(grid(images if images.dtype == torch.uint8 else to_uint8(images.detach()), columns=columns))


def to_pil(image: Tensor) -> Image.Image:
    """An image (C, H, W) uint8 of one to four channels as Pillow's."""
    pixels = np.ascontiguousarray(image.cpu().permute(1, 2, 0).numpy())
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)


def save(image: Tensor, path: str | os.PathLike[str], mark: str | None = None) -> Path:
    """Write an image (C, H, W) uint8 of one to four channels as PNG; others by their first three channels.

    Args:
        image: The image.
        path: Where to.
        mark: What the picture is among others, kept in the file: ``overview`` of many, which no listing of images
            counts, or ``sample``.
    """
    if image.shape[0] > 4:
        image = displayable(image)
    target = Path(path)
    text = PngInfo()
    if mark is not None:
        text.add_text(MARK, mark)
    with written_whole(target) as temporary:
        to_pil(image).save(temporary, "PNG", pnginfo=text)
    return target


def animate(frames: Sequence[Tensor], path: str | os.PathLike[str], milliseconds: int = 80) -> Path:
    """Write frames (C, H, W) uint8 as an endless GIF; small ones are enlarged by a whole number."""
    factor = max(1, 192 // max(frames[0].shape[-2:]))
    pictures = []
    for frame in frames:
        pixels = displayable(frame)[:3].permute(1, 2, 0).cpu().numpy()
        picture = Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
        size = (picture.width * factor, picture.height * factor)
        pictures.append(picture.resize(size, Image.Resampling.NEAREST))
    options: dict[str, Any] = {"duration": milliseconds, "loop": 0, "comment": MARK.encode()}
    with written_whole(Path(path)) as temporary:
        pictures[0].save(temporary, "GIF", save_all=True, append_images=pictures[1:], **options)
    return Path(path)


def make_folder(out: str | os.PathLike[str]) -> Path:
    """The folder ``out``, made if need be.

    Raises:
        ValueError: It cannot be made or written, or would be called as a picture is.
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


def refuse_foreign(folder: Path, names: Iterable[str], heads: Sequence[str] = ()) -> None:
    """Refuse a folder with files of names that a command writes, unless this package wrote them.

    Args:
        folder: Where it writes.
        names: Of its files.
        heads: How its texts begin; pictures are known by their mark.

    Raises:
        ValueError: With the first file that would be lost.
    """
    for path in (folder / name for name in names):
        if path.is_symlink() or (path.exists() and not _is_ours(path, heads)):
            raise ValueError(f"out={folder}: has {path.name}, which is not of this command; choose another folder")


def _is_ours(path: Path, heads: Sequence[str]) -> bool:
    try:
        with path.open("rb") as file:
            start, end = file.read(1024), b""
            if start.startswith(b"GIF"):  # whose comment may be its last block
                file.seek(max(0, path.stat().st_size - 64))
                end = file.read()
    except OSError:
        return False
    marks = [f"tEXt{MARK}\0".encode(), *([MARK.encode()] if start.startswith(b"GIF") else [])]
    return any(mark in start + end for mark in marks) or start.startswith(tuple(head.encode() for head in heads))


def older_samples(out: str | os.PathLike[str], *, overwrite: bool) -> list[Path]:
    """Files of earlier samples in a folder, which have to go before new ones are written there.

    Args:
        out: The folder, which need not exist.
        overwrite: Whether they may go; pictures that are no samples of ours never do.

    Raises:
        ValueError: Samples would replace files or stand among pictures that are there.
    """
    folder = Path(out)
    if not folder.is_dir():
        return []
    source = OnDisk(folder)
    found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(EXTENSIONS))
    ours = [path for path in found if any(has_mark(source, path.name, mark) for mark in ("sample", "overview"))]
    foreign = [path for path in found if path not in ours]
    arrays = [path for path in [folder / "samples.npz"] if path.exists()]
    if foreign:
        count = f"{len(foreign)} pictures that are no samples of this command, e.g. {foreign[0].name}"
        raise ValueError(f"out={out}: has {count}; choose another folder")
    if (ours or arrays) and not overwrite:
        count = f"{len(ours + arrays)} files of earlier samples, e.g. {(ours + arrays)[0].name}"
        raise ValueError(f"out={out}: has {count}; choose another folder, or say overwrite=true")
    return ours + arrays


def write_samples(
    batches: Iterable[Tensor],
    n: int,
    out: str | os.PathLike[str],
    format: str = "png",  # noqa: A002
    behind: Tensor | None = None,
    older: Sequence[Path] = (),
) -> Path:
    """Write samples and a grid of the first 64, all or none of them.

    Args:
        batches: Images in [-1, 1], (N, C, H, W) each, or points (N, 2).
        n: How many there will be.
        out: Folder.
        format: ``png``: one file an image, ``000000.png``; ``npz``: ``samples.npz`` with ``images`` (n, H, W, C) uint8.
            Points are always ``samples.npz`` with ``points`` (n, 2) float32, and a picture of them all.
        behind: Real points, for the picture.
        older: Earlier samples whose place they take.

    Returns:
        Path of the grid.

    Raises:
        OSError: The disk is full, say; what was in the folder before is still there, and nothing else.
    """
    folder = make_folder(out)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as own:
        making = Path(own)
        first: list[Tensor] = []
        kept: list[np.ndarray] = []
        done = 0
        for batch in tqdm(batches, "sampling", leave=False, mininterval=1):
            pictures = to_uint8(batch).cpu()
            first += pictures[: max(0, 64 - done)]
            if pictures.ndim == 2:
                kept.append(pictures.numpy())
            elif format == "npz":
                kept.append(pictures.permute(0, 2, 3, 1).numpy())
            else:
                for i, picture in enumerate(pictures):
                    save(picture, making / f"{done + i:0{max(6, len(str(n - 1)))}d}.png", "sample")
            done += len(pictures)
        if kept:
            arrays = {"points" if kept[0].ndim == 2 else "images": np.concatenate(kept)}
            with written_whole(making / "samples.npz") as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        points = torch.from_numpy(np.concatenate(kept)) if kept and kept[0].ndim == 2 else None
        sheet = grid(torch.stack(first)) if points is None else scatter(points, behind)
        save(sheet, making / "grid.png", "overview")
        made = {path.name: path for path in sorted(making.iterdir())}
        for name, path in made.items():
            os.replace(path, folder / name)
        for path in older:
            if path.name not in made:
                path.unlink()
    return folder / "grid.png"
