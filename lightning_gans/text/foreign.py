"""Encode captions by models of other packages: wordllama's vectors of words, and sentence encoders of transformers."""

from __future__ import annotations

import hashlib
import importlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import PositiveInt, checked
from lightning_gans.runtime.atomic import atomic_write
from lightning_gans.runtime.cache import cache_folder
from lightning_gans.text.base import TextEncoder


class Foreign(TextEncoder):
    """Define encoders whose weights belong to others: checkpoints name them, and never hold them.

    Vectors are kept in the user's cache folder by the encoder's name and the captions' content.

    Args:
        name: Of the model.
        dim: Length of a vector.
        cache: Keep vectors on disk.
    """

    package: str  # that makes vectors
    extra: str  # of this package, which installs it

    def __init__(self, name: str, dim: int, *, cache: bool) -> None:
        super().__init__()
        self.name, self.dim, self.cache = name, dim, cache
        self._model: Any = None

    @abstractmethod
    def load(self, module: Any) -> Any:
        """Return the model, given the package's module."""

    @abstractmethod
    def compute(self, model: Any, texts: Sequence[str]) -> np.ndarray:
        """Return vectors (N, dim)."""

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Return vectors (N, dim), from the cache if they are there.

        Raises:
            ConfigError: The package is not installed, or the model cannot be had.
        """
        key = hashlib.blake2b(repr((self.package, self.name, self.dim, list(texts))).encode(), digest_size=16)
        path = cache_folder() / "captions" / f"{key.hexdigest()}.npy"
        if self.cache and path.is_file():
            try:
                return torch.from_numpy(np.load(path, allow_pickle=False).reshape(len(texts), self.dim))
            except (OSError, ValueError):  # damaged: it is computed again
                pass
        rows = np.asarray(self.compute(self._loaded(), texts), np.float32)
        if self.cache:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.save(file, rows)
        return torch.from_numpy(rows)

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                module = importlib.import_module(self.package)
            except ImportError as error:
                rule = f'needs the package {self.package}: pip install "lightning_gans[{self.extra}]"'
                raise ConfigError("model.text_encoder", type(self).__name__, rule) from error
            try:
                self._model = self.load(module)
            except Exception as error:  # of another package: no network, no such name, a damaged file
                rule = f"cannot be loaded by {self.package}: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
                raise ConfigError("model.text_encoder.name", self.name, rule) from error
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the model: another process loads its own."""
        return {**self.__dict__, "_model": None}


class WordLlama(Foreign):
    """Average wordllama's vectors of a caption's words; its wheel holds them, so that nothing is downloaded.

    Order is lost: "a red bird on a blue branch" is "a blue bird on a red branch".

    Args:
        name: Of wordllama's configuration.
        dim: Length of a vector: 256, or 64 or 128, its first numbers.
        cache: Keep vectors on disk.
    """

    package, extra = "wordllama", "wordllama"

    @checked
    def __init__(self, *, name: str = "l2_supercat", dim: PositiveInt = 256, cache: bool = True) -> None:
        super().__init__(name, dim, cache=cache)

    def load(self, module: Any) -> Any:
        """Load the vectors that came with the package."""
        home = Path(module.__file__).parent  # where the wheel has its files, tokeniser included
        shortened = None if self.dim == 256 else self.dim
        return module.WordLlama.load(self.name, cache_dir=home, trunc_dim=shortened, disable_download=True)

    def compute(self, model: Any, texts: Sequence[str]) -> np.ndarray:
        """Return vectors (N, dim) of length 1."""
        found: np.ndarray = model.embed(list(texts), norm=True)
        return found


class Transformer(Foreign):
    """Average the last states of a sentence encoder of transformers, and divide by their length.

    Args:
        name: Of a model on the hub, or the path of a folder.
        dim: Length of its vectors.
        cache: Keep vectors on disk.
    """

    package, extra = "transformers", "transformers"

    @checked
    def __init__(self, *, name: str, dim: PositiveInt, cache: bool = True) -> None:
        super().__init__(name, dim, cache=cache)

    def load(self, module: Any) -> Any:
        """Load tokeniser and model, without any code of theirs."""
        place = str(Path(self.name).expanduser()) if Path(self.name).expanduser().is_dir() else self.name
        how = {"trust_remote_code": False}
        model = module.AutoModel.from_pretrained(place, use_safetensors=True, **how)
        return module.AutoTokenizer.from_pretrained(place, **how), model.eval()

    def compute(self, model: Any, texts: Sequence[str]) -> np.ndarray:
        """Return vectors (N, dim) of length 1."""
        tokenize, network = model
        tokens = tokenize(list(texts), padding=True, truncation=True, return_tensors="pt")
        states: Tensor = network(**tokens).last_hidden_state  # (N, L, dim)
        weight = tokens["attention_mask"][:, :, None].to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1)
        found: np.ndarray = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found
