"""Street View House Numbers."""

from __future__ import annotations

from typing import Any

from lightning_gans.data.downloads import Downloaded


class SVHN(Downloaded):
    """Street View House Numbers (Netzer et al. 2011), cropped digits, 32x32 RGB, ten classes.

    Args:
        part: ``train``: 73,257 images; ``extra``: 531,131 easier ones.
        **options: See ``Downloaded``.
    """

    folder = ""
    package = "scipy"

    def __init__(self, *, part: str = "train", **options: Any) -> None:
        super().__init__(**options)
        if part not in ("train", "extra"):
            raise ValueError(f"data.part={part}: must be train or extra")
        self.part = part

    @property
    def files(self) -> str:  # type: ignore[override]
        """One file a part."""
        return f"{self.part}_32x32.mat"

    def read(self) -> tuple[Any, Any]:
        """One part."""
        from torchvision.datasets import SVHN as Files

        found = Files(self.root, split=self.part, download=self.download)
        return found.data, found.labels
