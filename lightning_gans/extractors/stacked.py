"""Features of images whose channels are images of their own (stacked MNIST)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lightning_gans.extractors.base import Extractor, Features


class Stacked(Extractor):
    """Extract features of each of three channels as an image of its own, as in stacked MNIST: three digits.

    Features are those of the channels side by side; a class is a triple of classes, so there are K^3.

    Args:
        base: Makes the extractor of one channel.
    """

    def __init__(self, base: Callable[[], Extractor]) -> None:
        super().__init__()
        self.base = base()
        self.name = f"stacked_{self.base.name}"
        self.resize = f"each channel as an image: {self.base.resize}"
        self.num_features, self.num_classes = 3 * self.base.num_features, self.base.num_classes**3
        self.weights_hash, self.accuracy = self.base.weights_hash, self.base.accuracy

    def extract(self, images: Tensor) -> Features:
        """Compute features (N, 3 F) and log-probabilities of the triples (N, K^3).

        Raises:
            ValueError: The images do not have three channels.
        """
        if images.shape[1] != 3:
            raise ValueError(f"extractor {self.name}: images have {images.shape[1]} channels; it takes 3")
        found = self.base.extract(images.flatten(0, 1)[:, None])
        one, two, three = found.logits.float().log_softmax(1).view(len(images), 3, -1).unbind(1)
        triples = one[:, :, None, None] + two[:, None, :, None] + three[:, None, None, :]
        return Features(found.features.reshape(len(images), -1), triples.flatten(1))
