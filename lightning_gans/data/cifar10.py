"""CIFAR-10."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.downloads import Downloaded


class CIFAR10(Downloaded):
    """The 50,000 training images of CIFAR-10 (Krizhevsky 2009), 32x32 RGB, ten classes."""

    folder = "cifar-10-batches-py"
    files = "data_batch_1 to data_batch_5, test_batch and batches.meta (from cifar-10-python.tar.gz)"

    def read(self) -> tuple[Any, Any]:
        """The training part."""
        from torchvision.datasets import CIFAR10 as Files

        found = Files(self.root, train=True, download=self.download)
        return found.data.transpose(0, 3, 1, 2), found.targets
