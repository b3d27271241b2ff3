"""Find the landmarks of faces in the frames of videos by a detector of one's choice, and write them beside them."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.decoding import Decoder
from lightning_gans.data.file_sources import OnDisk
from lightning_gans.data.translation.landmark_drawing import POINTS
from lightning_gans.data.translation.landmark_files import JSON
from lightning_gans.data.translation.next_frame import natural
from lightning_gans.runtime.atomic import atomic_write, write_text

Extract = Callable[[np.ndarray], Sequence[np.ndarray]]  # (H, W, 3) uint8 to the (68, 2) points of every face


class Detector(NamedTuple):
    """Hold what finds landmarks, and what its user must know.

    Attributes:
        extract: Maps a picture (H, W, 3) uint8, RGB, to the landmarks (68, 2) of every face in it.
        licence: Of code and weights, which is printed.
    """

    extract: Extract
    licence: str


class Findings(NamedTuple):
    """Count what was found.

    Attributes:
        videos: Folders of frames.
        frames: Frames of all of them.
        faceless: Names of frames without a face, which are left out.
        several: Names of frames with more than one, of which the largest is taken.
    """

    videos: int
    frames: int
    faceless: list[str]
    several: list[str]


def detector_of(name: str, weights: str | None) -> Detector:
    """Load a detector of landmarks.

    Args:
        name: ``face_alignment`` or ``dlib``, packages of these names that the user has installed, or the dotted path of
            a function of the user's own.
        weights: Path of dlib's 68-point shape predictor.

    Raises:
        ConfigError: A package or the weights are missing, or the path leads nowhere.
    """
    if name in ("face_alignment", "dlib"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError("detector", name, f"needs the package {name}; pip install {name.replace('_', '-')}")
        return _face_alignment() if name == "face_alignment" else _dlib(weights)
    home, _, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(home), function)
    except (ImportError, AttributeError, ValueError) as error:
        rule = "must be face_alignment, dlib, or the dotted path of a function of pictures (H, W, 3) uint8"
        raise ConfigError("detector", name, f"{rule} ({error})") from error
    return Detector(found, str(getattr(found, "licence", "not told by it")))


def _face_alignment() -> Detector:
    face_alignment: Any = importlib.import_module("face_alignment")
    network = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, flip_input=False)
    licence = "face-alignment is BSD-3; its weights were trained on 300-W, which is for research only"
    return Detector(lambda picture: network.get_landmarks_from_image(picture) or [], licence)


def _dlib(weights: str | None) -> Detector:
    dlib: Any = importlib.import_module("dlib")

    if weights is None or not Path(weights).expanduser().is_file():
        rule = "must be the path of dlib's shape_predictor_68_face_landmarks.dat"
        raise ConfigError("weights", weights, rule)
    detect, predict = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(Path(weights).expanduser()))

    def extract(picture: np.ndarray) -> list[np.ndarray]:
        shapes = [predict(picture, box) for box in detect(picture, 1)]
        return [np.array([[point.x, point.y] for point in shape.parts()], np.float64) for shape in shapes]

    licence = "dlib is Boost 1.0; its 68-point weights were trained on iBUG 300-W, not for commercial use"
    return Detector(extract, licence)


def write_landmarks(root: Path, extract: Extract, *, overwrite: bool = False) -> Findings:
    """Find the landmarks of every frame under a folder, and write ``landmarks.json`` into every folder of frames.

    Args:
        root: A folder of videos, each a folder of frames.
        extract: See ``Detector``.
        overwrite: Find those of folders anew that have a file; otherwise these are passed over.

    Raises:
        ConfigError: There are no frames, or the detector gives something else than 68 points.
    """
    source, decoder = OnDisk(root), Decoder()
    by_folder: dict[str, list[str]] = {}
    for name in sorted(source.names(), key=natural):
        by_folder.setdefault(str(PurePosixPath(name).parent), []).append(name)
    if not by_folder:
        raise ConfigError("input", str(root), "has no folder of frames")
    faceless, several = list[str](), list[str]()
    for folder, names in tqdm(by_folder.items(), desc="finding landmarks", unit="video", leave=False):
        path = root / folder / JSON
        if path.exists() and not overwrite:
            continue
        found: dict[str, Any] = {}
        for name in names:
            picture = np.asarray(decoder.pixels(source.picture(name, decoder), "RGB"))
            faces = [np.asarray(face, np.float64) for face in extract(picture)]
            if any(face.shape != (POINTS, 2) for face in faces):
                raise ConfigError("detector", name, f"must give {POINTS} points of a face, not {faces[0].shape}")
            faceless += [] if faces else [name]
            several += [name] if len(faces) > 1 else []
            one = {"size": picture.shape[:2], "points": max(faces, key=_area).round(2).tolist()} if faces else None
            found[PurePosixPath(name).name] = one
        write_text(path, json.dumps(found))
    return Findings(len(by_folder), sum(map(len, by_folder.values())), faceless, several)


def _area(points: np.ndarray) -> float:
    return float(np.ptp(points, 0).prod())


def write_frames(videos: Path, out: Path, fps: float) -> int:
    """Write the frames of MP4 files, each into a folder of the file's name, as PNG; needs PyAV, the extra ``video``.

    Args:
        videos: A file, or a folder of files at any depth, as VoxCeleb2 has them.
        out: Folder that the folders of frames are written into; those that are there are passed over.
        fps: Frames of a second that are taken.

    Returns:
        The number of files.

    Raises:
        ConfigError: PyAV is not installed, or a file cannot be read.
    """
    if importlib.util.find_spec("av") is None:
        raise ConfigError("input", str(videos), 'MP4 files need PyAV: pip install "lightning_gans[video]"')
    files = [videos] if videos.is_file() else sorted(videos.rglob("*.mp4"))
    for file in tqdm(files, desc="writing frames", unit="video", leave=False):
        folder = out / (file.stem if videos.is_file() else file.relative_to(videos).with_suffix(""))
        if folder.is_dir():
            continue
        folder.mkdir(parents=True)
        for number, picture in enumerate(frames_of(file, fps)):
            with atomic_write(folder / f"{number:06d}.png") as temporary:
                picture.save(temporary, "PNG")
    return len(files)


def frames_of(file: Path, fps: float | None = None) -> Iterator[Image.Image]:
    """Yield the frames of a video file; with ``fps`` so many of a second, without all.

    Raises:
        ConfigError: It cannot be read.
    """
    import av

    try:
        with av.open(str(file)) as video:
            stream, after = video.streams.video[0], Fraction(0)
            for frame in video.decode(stream):
                at = Fraction(0) if frame.pts is None else frame.pts * Fraction(stream.time_base or 1)
                if fps is None or at >= after:
                    after = at + Fraction(0) if fps is None else after + Fraction(1) / Fraction(fps)
                    yield frame.to_image()  # type: ignore[no-untyped-call]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ConfigError("input", str(file), f"cannot be read as a video ({error})") from error
