"""Encode captions by looking them up in a file of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.text.base import TextEncoder


class Table(TextEncoder):
    """Look up vectors of captions in an ``.npz`` file of ``texts`` (M,) and ``vectors`` (M, dim).

    Checkpoints name the file and do not hold it; it is read when a vector is asked for.

    Args:
        weights: The file.
        dim: Length of a vector.
    """

    @checked
    def __init__(self, *, weights: str, dim: PositiveInt) -> None:
        super().__init__()
        self.path, self.dim = Path(weights).expanduser(), dim
        self._rows: dict[str, np.ndarray] | None = None

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Return vectors (N, dim).

        Raises:
            FileNotFoundError: The file is not there.
            ValueError: It holds something else, or lacks a caption.
        """
        rows = self._read()
        for text in texts:
            if text not in rows:
                raise ConfigError("text", text, f"is none of the {len(rows):,} captions in {self.path.name}")
        return torch.from_numpy(np.stack([rows[text] for text in texts]))

    def _read(self) -> dict[str, np.ndarray]:
        if self._rows is None:
            if not self.path.is_file():
                raise FileNotFoundError(f"model.text_encoder.weights={self.path}: no such file")
            try:
                with np.load(self.path, allow_pickle=False) as arrays:
                    texts, vectors = arrays["texts"].tolist(), np.asarray(arrays["vectors"], np.float32)
                if vectors.shape != (len(texts), self.dim) or not np.isfinite(vectors).all():
                    raise ValueError(f"vectors are {vectors.shape}, not ({len(texts)}, {self.dim}) of finite numbers")
            except Exception as error:  # a damaged file can fail anywhere in NumPy
                rule = f"must be an .npz file of texts (M,) and vectors (M, {self.dim}): {error}"
                raise ConfigError("model.text_encoder.weights", self.path, rule) from error
            self._rows = dict(zip(map(str, texts), vectors, strict=True))
        return self._rows

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the vectors: another process reads its own."""
        return {**self.__dict__, "_rows": None}
