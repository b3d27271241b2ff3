"""MNIST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.nn.functional as F

from lightning_gans.data.base import ImageData, TensorImages
from lightning_gans.data.resize import resize


class MNIST(ImageData):
    """The 60,000 training images of MNIST (LeCun et al. 1998), 28x28, ten classes.

    Padded by two black pixels on every side to 32x32, then resized to ``image_size`` if that is another.

    Args:
        root: Folder that holds ``MNIST/raw`` as torchvision lays it out.
        download: Let torchvision download what is missing.
        image_size: Height and width of the images handed out.
        channels: Channels beyond the first repeat it.
        **options: See ``ImageData``.
    """

    def __init__(self, *, root: str = "data", download: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.root, self.download = root, download

    def prepare_data(self) -> None:
        """Download on one process of each machine."""
        self._files()

    def load(self) -> TensorImages:
        """Read torchvision's files."""
        files = self._files()
        images = F.pad(files.data[: self.limit, None], (2, 2, 2, 2))
        return TensorImages(
            resize(images, self.image_size).repeat(1, self.channels, 1, 1), files.targets[: self.limit].long()
        )

    def _files(self) -> Any:
        from torchvision.datasets import MNIST as Files

        try:
            return Files(self.root, train=True, download=self.download)
        except (RuntimeError, OSError) as error:
            raise FileNotFoundError(
                f"data.root={self.root}: MNIST is not there and could not be downloaded ({error}). Put "
                f"train-images-idx3-ubyte and train-labels-idx1-ubyte into {Path(self.root) / 'MNIST' / 'raw'}"
            ) from error
