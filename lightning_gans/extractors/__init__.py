"""Networks whose features scores compare."""

from typing import TYPE_CHECKING

from lightning_gans.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_gans.extractors.avatars import AvatarsExtractor
    from lightning_gans.extractors.base import Extractor
    from lightning_gans.extractors.classifier import ClassifierExtractor
    from lightning_gans.extractors.digits import DigitsExtractor
    from lightning_gans.extractors.dinov2 import DINOv2
    from lightning_gans.extractors.inception import Inception
    from lightning_gans.extractors.none import NoExtractor
    from lightning_gans.extractors.points import Points
    from lightning_gans.extractors.stacked import Stacked
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "AvatarsExtractor",
    "ClassifierExtractor",
    "DINOv2",
    "DigitsExtractor",
    "Extractor",
    "Inception",
    "NoExtractor",
    "Points",
    "Stacked",
]
