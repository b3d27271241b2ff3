"""Read the landmarks of videos: a file beside the frames of each, and which frames have a face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_gans.data.datasets import Batch, ImageDataset
from lightning_gans.data.decoding import reason
from lightning_gans.data.resize import Policy
from lightning_gans.data.source import Source
from lightning_gans.data.translation.landmark_drawing import POINTS, draw_landmarks, placed

JSON, NPY = "landmarks.json", "landmarks.npy"
MOST_BYTES = 2**28  # of a file of landmarks


class Face(NamedTuple):
    """Hold the landmarks of a frame.

    Attributes:
        points: (68, 2), right and down in pixels of the frame.
        size: Height and width of the frame; ``None``: not in the file.
    """

    points: np.ndarray
    size: tuple[int, int] | None


def read_faces(source: Source, folder: str, frames: Sequence[str]) -> dict[str, Face]:
    """Read the landmarks of a video's frames; those without a face are left out.

    Args:
        source: Of the frames.
        folder: Of the video, whose ``landmarks.json`` or ``landmarks.npy`` is read. The one maps names of frames to
            ``{"points": 68 pairs, "size": [height, width]}`` or null, the other has (F, 68, 2) numbers for the frames
            in the order of their names, not finite where there is no face.
        frames: Names of the video's frames, sorted.

    Returns:
        Faces by full names; nothing without such a file.

    Raises:
        ValueError: The file is something else; with its name.
    """
    names = {name: str(PurePosixPath(folder, name)) for name in (JSON, NPY)}
    for kind, name in names.items():
        try:
            file, size = source.open(name)
        except Exception:  # there is none: every source has errors of its own
            continue
        try:
            with file:
                if size > MOST_BYTES:
                    raise ValueError(f"{size:,} bytes are too many")
                return _of_json(file.read(), frames) if kind == JSON else _of_array(file, frames)
        except Exception as error:
            raise ValueError(f"{name}: holds no landmarks of the frames beside it ({reason(error)})") from error
    return {}


def _of_json(text: bytes, frames: Sequence[str]) -> dict[str, Face]:
    listed = json.loads(text)
    found = {}
    for name in frames:
        one = listed.get(PurePosixPath(name).name)
        if one is not None:
            height, width = one["size"]
            found[name] = Face(_checked(np.array(one["points"], np.float64)), (int(height), int(width)))
    return found


def _of_array(file: BinaryIO, frames: Sequence[str]) -> dict[str, Face]:
    points = np.load(file, allow_pickle=False)
    if points.shape != (len(frames), POINTS, 2):
        raise ValueError(f"an array {points.shape}, where {(len(frames), POINTS, 2)} is needed")
    pairs = zip(frames, points.astype(np.float64), strict=True)
    return {name: Face(own, None) for name, own in pairs if np.isfinite(own).all()}


def _checked(points: np.ndarray) -> np.ndarray:
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise ValueError(f"an array {points.shape}, where {(POINTS, 2)} finite numbers are needed")
    return points


class LandmarkDrawings(ImageDataset):
    """Draw the landmarks of frames, placed as the frames are resized.

    Args:
        faces: Landmarks and sizes of every frame.
        size: Height and width of the drawings.
        policy: How frames are resized.
    """

    def __init__(self, faces: Sequence[Face], size: tuple[int, int], policy: Policy) -> None:
        self.faces, self.size, self.policy = faces, size, policy

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.faces)

    def fetch(self, index: Tensor) -> Batch:
        """Return ``image`` (N, 3, H, W) uint8."""
        drawn = []
        for face in (self.faces[i] for i in index.tolist()):
            assert face.size is not None
            lines = draw_landmarks(placed(face.points, face.size, self.size, self.policy), self.size)
            drawn.append(torch.from_numpy(lines.copy()).permute(2, 0, 1))
        return {"image": torch.stack(drawn)}
