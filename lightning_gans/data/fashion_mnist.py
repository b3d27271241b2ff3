"""Fashion-MNIST."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.downloads import Downloaded


class FashionMNIST(Downloaded):
    """The 60,000 training images of Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747), 28x28 grey, ten classes.

    As they are with ``image_size`` 28; else padded by two black pixels on every side to 32x32, then resized to
    ``image_size`` if that is another.
    """

    folder = "FashionMNIST/raw"
    files = "{train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte"
    pad, grey = 2, True

    def read(self) -> tuple[Any, Any]:
        """The training part."""
        from torchvision.datasets import FashionMNIST as Files

        found = Files(self.root, train=True, download=self.download)
        return found.data[:, None], found.targets
