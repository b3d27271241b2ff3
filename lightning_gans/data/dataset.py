"""Take images from any map-style dataset of PyTorch or Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import index as as_index
from typing import Any, SupportsIndex, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm
from typing_extensions import Unpack

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, checked
from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import Batch, ImageDataset, InMemoryImages
from lightning_gans.data.decoding import MODES, Decoder, reason
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.options import DataOptions
from lightning_gans.data.resize import Policy, fit
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.subset import spread

Key = str | int | None
_USUAL: dict[str, tuple[str | int, ...]] = {"image_key": (0, "image", "img"), "label_key": (1, "label", "labels")}


class MapDataset(ImageDataModule):
    """Take the images of a map-style dataset: ``__len__`` and ``__getitem__(i)`` of tuples, dicts or images alone.

    An image is a Pillow image, an encoded file's bytes, an array (H, W[, C]) or a tensor (C, H, W) of one to four
    channels, uint8 or floats in ``value_range``. It is fitted into ``image_size`` and ``channels``. A dataset should
    give its images as they are: what it draws at random is no part of an exact resume; use ``flip``.

    Args:
        dataset: The dataset, or what makes it.
        test: Arguments with which ``dataset`` makes its test set, e.g. ``{"train": False}``, or that dataset itself;
            scores compare with it where ``val_fraction`` would be held out. ``None``: there is none.
        image_key: Name or position of the image in an item; ``None``: position 0, ``image`` or ``img``.
        label_key: Name or position of the label, read with ``num_classes``; ``None``: position 1, ``label`` or
            ``labels``.
        value_range: Least and largest value of images of floats.
        resize: How images of another size come to ``image_size``; see ``FileReader``.
        memory_gb: Sets up to this size are held in memory, others are read by index by ``num_workers`` processes.
        **options: See ``ImageDataModule``.

    Raises:
        ConfigError: A value out of range, or both ``test`` and ``val_fraction``.
    """

    @checked
    def __init__(
        self,
        *,
        dataset: Callable[..., Dataset[Any]] | Dataset[Any],
        test: Mapping[str, Any] | Dataset[Any] | None = None,
        image_key: Key = None,
        label_key: Key = None,
        value_range: Sequence[float] = (0.0, 1.0),
        resize: Policy = "cover",
        memory_gb: NonNegative = 4.0,
        **options: Unpack[DataOptions],
    ) -> None:
        if len(value_range) != 2 or value_range[0] >= value_range[1]:
            raise ConfigError("value_range", list(value_range), "must be the least and the largest value, e.g. [-1, 1]")
        if test is not None and options.get("val_fraction"):
            raise ConfigError("val_fraction", options["val_fraction"], "not with data.test, which is held out")
        read = ItemReader(image_key, label_key, (value_range[0], value_range[1]), resize)
        super().__init__(source=MapSource(dataset, test, read, memory_gb), **options)

    def _loaded(self) -> tuple[ImageDataset, ImageDataset | None]:
        if self._splits is None:
            self._splits = self.load(), self.source.load_test(self.spec)
            if self._splits[1] is None:
                self._splits = None
        return super()._loaded()

    def val(self) -> ImageDataModule:
        """Return this set with its test set, or held-out images, in the place of the training images."""
        other = super().val()
        other.split = "test" if cast(MapSource, self.source).test is not None else other.split
        return other


class ItemReader:
    """Read images and labels out of a dataset's items; see ``MapDataset``."""

    def __init__(self, image_key: Key, label_key: Key, value_range: tuple[float, float], resize: Policy) -> None:
        self.keys: dict[str, Key] = {"image_key": image_key, "label_key": label_key}
        self.value_range, self.resize, self.decoder = value_range, resize, Decoder()

    def image(self, item: Any, spec: ImageSpec) -> Tensor:
        """Return an item's image as (C, H, W) uint8."""
        mode = MODES[spec.channels]
        pixels = np.array(fit(self.decoder.flatten(self._picture(item), mode), spec.size, self.resize))
        return torch.from_numpy(pixels).view(*spec.size, -1).permute(2, 0, 1)

    def label(self, item: Any, num_classes: int) -> int:
        """Return an item's label."""
        value = self._entry(item, "label_key")
        label = as_index(cast(SupportsIndex, value.item() if isinstance(value, Tensor | np.ndarray) else value))
        if not 0 <= label < num_classes:
            raise ConfigError("data.num_classes", num_classes, f"there is a label {label}")
        return label

    def key(self, item: Any, name: str) -> Any:
        """Return the key that an item has its image or label under.

        Raises:
            ConfigError: It has none of such a name or position.
        """
        has = list(item) if isinstance(item, Mapping) else list(range(len(item)))
        wanted = _USUAL[name] if self.keys[name] is None else (self.keys[name],)
        found = next((key for key in wanted if key in has), None)
        if found is None:
            shown = ", ".join(map(str, has)) or "nothing"
            raise ConfigError(f"data.{name}", self.keys[name], f"items have {shown}; say which of these it is")
        return found

    def _entry(self, item: Any, name: str) -> Any:
        if not isinstance(item, Mapping | tuple | list):
            if name == "label_key":
                raise ConfigError("data.num_classes", "given", "items are images alone, without labels; must be null")
            return item
        return item[self.key(item, name)]

    def _picture(self, item: Any) -> Image.Image:
        """Return an item's image as a Pillow image of 8 bits."""
        value = self._entry(item, "image_key")
        if isinstance(value, Mapping) and value.get("bytes") is not None:  # undecoded, as Hugging Face stores them
            value = value["bytes"]
        if isinstance(value, bytes):
            return self.decoder.eight_bit(self.decoder.open(value))
        if isinstance(value, Image.Image):
            if value.mode.startswith(("I", "F")):
                raise ValueError(f"an image of mode {value.mode}; convert it to 8 bits")
            return value
        if isinstance(value, Tensor):
            value = (value.movedim(0, -1) if value.ndim == 3 else value).cpu().numpy()
        if not isinstance(value, np.ndarray):
            raise ValueError(f"its image is a {type(value).__name__}")
        value = value.squeeze(-1) if value.ndim == 3 and value.shape[-1] == 1 else value
        if value.dtype != np.uint8:
            low, high = self.value_range
            if not np.issubdtype(value.dtype, np.floating) or value.min() < low or value.max() > high:
                told = f"is {value.dtype} from {value.min():g} to {value.max():g}"
                raise ValueError(f"its image {told}; must be uint8, or floats in data.value_range=[{low:g}, {high:g}]")
            value = np.rint((value - low) * (255 / (high - low))).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(value))


class MapSource(ImageSource):
    """Give the images of a map-style dataset; see ``MapDataset``."""

    def __init__(self, dataset: Any, test: Any, read: ItemReader, memory_gb: float) -> None:
        self.dataset, self.test, self.read, self.memory_gb = dataset, test, read, memory_gb
        self._made: Any = None

    def check(self, spec: ImageSpec) -> None:
        """Refuse channels that pictures do not have."""
        if spec.channels not in MODES:
            raise ConfigError("data.channels", spec.channels, "must be 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)")

    def download(self) -> None:
        """Make the dataset, which may download it, and the test set."""
        self._items()
        self._test_items()

    def load(self, spec: ImageSpec) -> ImageDataset:
        """Return the images, in memory if they fit."""
        return self._images(self._items(), spec, spec.max_images)

    def load_test(self, spec: ImageSpec) -> ImageDataset | None:
        """Return the test set's images, or ``None`` without any."""
        items = self._test_items()
        return None if items is None else self._images(items, spec, None)

    def _items(self) -> Any:
        if self._made is None:
            self._made = _map_style(self.dataset() if callable(self.dataset) else self.dataset)
        return self._made

    def _test_items(self) -> Any:
        if isinstance(self.test, Mapping):
            if not callable(self.dataset):
                raise ConfigError("data.test", dict(self.test), "of a dataset that is made already; give its test set")
            return _map_style(self.dataset(**self.test))
        return None if self.test is None else _map_style(self.test)

    def _images(self, items: Any, spec: ImageSpec, limit: int | None) -> ImageDataset:
        images = IndexedImages(items, self.read, spec)
        if limit is not None and limit < len(images):
            images = images.taking(spread(len(images), limit, images.entries("label")))
        size = len(images) * spec.channels * spec.size[0] * spec.size[1]
        return images.in_memory() if size <= self.memory_gb * 2**30 else images


class IndexedImages(ImageDataset):
    """Read a dataset's items when they are fetched.

    Args:
        items: The dataset.
        read: Reader of its items.
        spec: Of the images.
    """

    def __init__(self, items: Any, read: ItemReader, spec: ImageSpec) -> None:
        self.items, self.read, self.spec = items, read, spec
        self.indices = torch.arange(len(items))
        self._labels: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    def taking(self, indices: Tensor) -> IndexedImages:
        """Return some of the images, (N,) int64."""
        other = IndexedImages(self.items, self.read, self.spec)
        other.indices, other._labels = self.indices[indices], None if self._labels is None else self._labels[indices]
        return other

    def fetch(self, index: Tensor) -> Batch:
        """Read the items of one batch."""
        read = [self._item(i) for i in self.indices[index].tolist()]
        batch = {"image": torch.stack([image for image, _ in read])}
        if self.spec.num_classes is not None:
            batch["label"] = torch.tensor([label for _, label in read])
        return batch

    def entries(self, key: str) -> Tensor | None:
        """Return the labels (N,) as ``label``: those of a column, or else of all items, which are read for them."""
        classes = self.spec.num_classes
        if key != "label" or classes is None:
            return None
        if self._labels is None:
            items = self.items
            if hasattr(items, "column_names") and len(items):  # Hugging Face's
                column = items.select_columns([self.read.key(items[0], "label_key")])
                items = column.with_format(None)
            wanted = tqdm(self.indices.tolist(), "reading labels", leave=False, mininterval=1)
            self._labels = torch.tensor([self._told(i, self.read.label, items, classes) for i in wanted])
        return self._labels

    def in_memory(self) -> InMemoryImages:
        """Read all items once."""
        images = torch.empty(len(self), self.spec.channels, *self.spec.size, dtype=torch.uint8)
        labels = torch.zeros(len(self), dtype=torch.int64)
        for place, i in enumerate(tqdm(self.indices.tolist(), "reading images", leave=False, mininterval=1)):
            images[place], labels[place] = self._item(i)
        return InMemoryImages(images, labels if self.spec.num_classes is not None else None)

    def _item(self, i: int) -> tuple[Tensor, int]:
        return self._told(i, self._read, self.items, self.spec)  # type: ignore[no-any-return]

    def _read(self, item: Any, spec: ImageSpec) -> tuple[Tensor, int]:
        classes = spec.num_classes
        return self.read.image(item, spec), 0 if classes is None else self.read.label(item, classes)

    def _told(self, i: int, read: Callable[..., Any], items: Any, *arguments: Any) -> Any:
        """Read an item; whatever its code raises becomes a mistake in the data, with the item's number."""
        try:
            return read(items[i], *arguments)
        except ConfigError:
            raise
        except Exception as error:
            raise ValueError(f"data.dataset: item {i} cannot be read: {reason(error)}") from error


def _map_style(items: Any) -> Any:
    """Refuse what is no dataset with numbered items.

    Raises:
        ConfigError: With the splits of a Hugging Face dataset that has several.
    """
    name = type(items).__name__
    if isinstance(items, Mapping):
        splits = ", ".join(map(str, items))
        raise ConfigError("data.dataset", name, f"has the splits {splits}; say data.dataset.split=... of one")
    if not (hasattr(items, "__len__") and hasattr(items, "__getitem__")):
        raise ConfigError("data.dataset", name, "has no __len__ and __getitem__; must be a map-style dataset")
    if not len(items):
        raise ConfigError("data.dataset", name, "is empty")
    return items
