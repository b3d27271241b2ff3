"""STL-10."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.downloads import Downloaded


class STL10(Downloaded):
    """STL-10 (Coates et al. 2011), 96x96 RGB from ImageNet; 2.6 GB to download and to hold while it is resized.

    Args:
        part: ``unlabeled``: 100,000 images; ``train``: 5,000 of ten classes; ``train+unlabeled``: both.
        **options: See ``Downloaded``. Only ``train`` has labels.
    """

    folder = "stl10_binary"
    files = "{train,test}_X.bin, {train,test}_y.bin and unlabeled_X.bin (from stl10_binary.tar.gz)"

    def __init__(self, *, part: str = "unlabeled", **options: Any) -> None:
        super().__init__(**options)
        if part not in ("unlabeled", "train", "train+unlabeled"):
            raise ValueError(f"data.part={part}: must be unlabeled, train or train+unlabeled")
        if self.num_classes is not None and part != "train":
            raise ValueError(f"data.num_classes={self.num_classes}: only data.part=train has labels, not {part}")
        self.part = part

    def read(self) -> tuple[Any, Any]:
        """One part."""
        from torchvision.datasets import STL10 as Files

        found = Files(self.root, split=self.part, download=self.download)
        return found.data, found.labels if self.part == "train" else None
