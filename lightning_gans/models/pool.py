"""Keep a history of generated images for the discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gans.config.types import NonNegativeInt, checked
from lightning_gans.images.size import Size, height_width


class ImagePool(nn.Module):
    """Give the discriminator an older fake in place of a newest one, half of the time.

    Until it is full, the pool keeps every image and hands it on. After that, each image is handed on as it is with
    probability 1/2; otherwise an image drawn from the pool is, and the new one takes its place. Shrivastava et al.
    2017, arXiv:1612.07828, section 2.3, as CycleGAN has it (arXiv:1703.10593, section 4).

    It is one pool of the global batch, the same on every process, and state of the training: its images are a buffer.

    Args:
        size: Images kept; 0: none, every image is handed on.
        image_size: Side of the images, or ``[height, width]``.
        channels: Of the images.
    """

    images: Tensor

    @checked
    def __init__(self, *, size: NonNegativeInt = 50, image_size: Size, channels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, channels, *height_width(image_size)))
        self.kept = 0  # images in it; a number of Python's, so that nothing waits for a GPU

    @torch.no_grad()
    def forward(self, fakes: Tensor, seed: int) -> Tensor:
        """Exchange the fakes of a global batch, in their order.

        Args:
            fakes: (N, C, H, W), the same on every process.
            seed: Of the draws of this call.

        Returns:
            (N, C, H, W) without a gradient.
        """
        if not self.size:
            return fakes.detach()
        handed_on = fakes.detach().to(self.images.dtype, copy=True)
        rng = torch.Generator().manual_seed(seed)
        draws = torch.rand(len(fakes), generator=rng).tolist()
        slots = torch.randint(self.size, (len(fakes),), generator=rng).tolist()
        for image, draw, slot in zip(handed_on, draws, slots, strict=True):
            if self.kept < self.size:
                self.images[self.kept] = image
                self.kept += 1
            elif draw < 0.5:
                older = self.images[slot].clone()
                self.images[slot] = image
                image.copy_(older)
        return handed_on

    def get_extra_state(self) -> int:
        """Return how many images it keeps, in every ``state_dict``."""
        return self.kept

    def set_extra_state(self, state: int) -> None:
        """Restore the number of kept images."""
        self.kept = state
