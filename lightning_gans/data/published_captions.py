"""Read birds and flowers as StackGAN's authors published them: pickles of pictures, vectors of captions and classes.

A part (``train``, ``test``) holds ``304images.pickle`` and ``76images.pickle`` (pictures as arrays),
``char-CNN-RNN-embeddings.pickle`` (N x captions x 1024), ``class_info.pickle`` and ``filenames.pickle``. The captions
themselves, which the vectors are of, are the lines of ``text_c10/NAME.txt`` beside the parts, if they are there.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.data.captions import CaptionedImages, Captions, number_captions
from lightning_gans.data.files import FileReader
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.source import Source
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread
from lightning_gans.runtime.unpickling import Known, RestrictedUnpickler

VECTORS = "char-CNN-RNN-embeddings.pickle"
PICTURES = {76: "76images.pickle", 304: "304images.pickle"}  # by their side, rising
_rebuild: Any = np.empty(0).__reduce__()[0]  # NumPy's own, wherever its version has it
_scalar: Any = np.float64(0).__reduce__()[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Return the bytes that a text stands for in pickles of Python 2's protocol."""
    if encoding != "latin1":
        raise ValueError(f"encoding {encoding!r}")
    return text.encode(encoding)


KNOWN: Known = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _rebuild for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


def read_pickle(path: Path) -> Any:
    """Read a pickle of lists, texts, numbers and arrays, and of nothing else.

    Raises:
        ValueError: It cannot be read, or names something else.
    """
    try:
        with path.open("rb") as file:
            return RestrictedUnpickler(file, KNOWN, "lists and arrays", encoding="latin1").load()
    except Exception as error:  # a damaged or hostile file can fail anywhere
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ConfigError("data.root", path, f"cannot be read as lists and arrays: {said}") from error


class PublishedPart:
    """Give a part of a published set.

    Args:
        folder: Of the part.
        texts: Folder of the captions; there or not.
        test: The test part of the set, of a part that is not one.
    """

    def __init__(self, folder: Path, texts: Path, test: PublishedPart | None = None) -> None:
        self.folder, self.texts, self.test = folder, texts, test

    def files(self, spec: ImageSpec, reader: FileReader) -> ImageFiles:
        """Return the pictures, of the smaller size that is large enough, or else of the larger."""
        sizes = [size for size, name in PICTURES.items() if (self.folder / name).is_file()]
        if not sizes:
            raise ConfigError("data.root", self.folder, f"has none of {', '.join(PICTURES.values())}")
        side = next((size for size in sizes if size >= max(spec.size)), sizes[-1])
        names = [str(name) for name in read_pickle(self.folder / "filenames.pickle")]
        source = InPickle(self.folder / PICTURES[side], names)
        taken = [names[i] for i in spread(len(names), spec.max_images).tolist()]
        return reader.files(source, taken, spec, root=str(self.folder))

    def load(self, spec: ImageSpec, reader: FileReader) -> CaptionedImages:
        """Return pictures with captions and their vectors (``text``), and classes where ``num_classes`` is set."""
        files = self.files(spec, reader)
        assert isinstance(files.source, InPickle)
        rows = spread(len(files.source.listed), spec.max_images)
        vectors = self._vectors(len(files.source.listed))[rows]
        classes = None
        if spec.num_classes is not None:
            found = np.unique(np.asarray(read_pickle(self.folder / "class_info.pickle")), return_inverse=True)
            if len(found[0]) != spec.num_classes:
                raise ConfigError("data.num_classes", spec.num_classes, f"{self.folder} has {len(found[0])} classes")
            classes = torch.from_numpy(found[1].reshape(-1)).long()[rows]
        files.labels = torch.arange(len(files))
        captions = self._captions(files.names, vectors.shape[1])
        images = CaptionedImages(reader.in_memory(files)[0], captions, classes)
        images.columns["text"] = vectors
        return images

    def _vectors(self, n: int) -> Tensor:
        vectors = torch.from_numpy(np.asarray(read_pickle(self.folder / VECTORS), dtype=np.float32))
        if vectors.ndim != 3 or len(vectors) != n or not vectors.isfinite().all():
            rule = f"holds vectors of shape {tuple(vectors.shape)}; must be ({n}, captions, length), all finite"
            raise ConfigError("data.root", self.folder / VECTORS, rule)
        return vectors

    def _captions(self, names: Sequence[str], k: int) -> Captions:
        """Return the captions by number; of pictures without a text file, or with another number, each is its own."""
        said = []
        for name in names:
            path = self.texts / f"{name}.txt"
            inside = path.resolve().is_relative_to(self.texts.resolve())
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if inside and path.is_file() else []
            texts = [line.strip() for line in lines if line.strip()]
            said.append(texts if len(texts) == k == len(set(texts)) else [f"{name} {i}" for i in range(k)])
        return number_captions(said)


def find(root: str, within: str | None) -> PublishedPart | None:
    """Return the part of a published set that a folder is; ``None`` for anything else."""
    home = Path(root).expanduser()
    folder = home / (within or "")
    if not (folder / VECTORS).is_file():
        return None
    above = folder.parent
    test = above / "test"
    is_other = folder.name != "test" and (test / VECTORS).is_file()
    return PublishedPart(folder, above / "text_c10", PublishedPart(test, above / "text_c10") if is_other else None)


class InPickle(Source):
    """Read pictures of a pickle of arrays (H, W, 3) uint8.

    Args:
        path: The file.
        listed: Names of the pictures.
    """

    def __init__(self, path: Path, listed: list[str]) -> None:
        self.path, self.listed, self.problems = path, listed, []
        self._number = {name: i for i, name in enumerate(listed)}
        self._arrays: Any = None

    def names(self) -> list[str]:
        """Return the names of the pictures."""
        return self.listed

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """Encode a picture without loss."""
        if self._arrays is None:
            self._arrays = read_pickle(self.path)
            if len(self._arrays) != len(self.listed):
                rule = f"holds {len(self._arrays)} pictures; filenames.pickle has {len(self.listed)}"
                raise ConfigError("data.root", self.path, rule)
        file = io.BytesIO()
        Image.fromarray(np.asarray(self._arrays[self._number[name]], dtype=np.uint8)).save(file, "PPM")
        size = file.tell()
        file.seek(0)
        return file, size

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the pictures: another process reads its own."""
        return {**self.__dict__, "_arrays": None}
