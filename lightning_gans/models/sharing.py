"""Share what a module has learnt: its generator as a folder or a repository of the hub."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from typing_extensions import TypedDict, Unpack

from lightning_gans.data.base import ImageDataModule
from lightning_gans.images.files import save
from lightning_gans.models.previews import samples_sheet
from lightning_gans.models.sampling import Sampling
from lightning_gans.runtime.atomic import write_text
from lightning_gans.sharing import hub, pretrained
from lightning_gans.sharing.description import describe, find_card
from lightning_gans.sharing.model_card import model_card

README, GRID = "README.md", "samples.png"

_SHARED = ("generator", "generator_ema", "conditioning")


def is_shared(key: str) -> bool:
    """Return whether a key of a module's state dict is one that a shared generator brings."""
    return "." not in key or key.partition(".")[0] in _SHARED


class ShareOptions(TypedDict, total=False):
    """Declare what may be said of a shared generator.

    Attributes:
        card: Score card, as ``evaluate`` writes it. Left out: the newest that is known of this update.
        data: The data set, whose examples a translation family shows. Left out: the one that is known.
        license: Of the weights, as the hub names licences, e.g. ``apache-2.0``. Left out: ``unknown``.
        notes: Markdown at the end of the card, such as the licence of the training data.
        half: Write weights as float16, in half the bytes.
    """

    card: dict[str, Any] | None
    data: ImageDataModule | None
    license: str
    notes: str
    half: bool


class Sharing(Sampling):
    """Write the generator, its config and a model card where others can ``load`` it from.

    The part of ``GenerativeModule`` that shares it.

    Attributes:
        translates: Makes images from images, and not from latents.
        config: What checkpoints carry.
        score_card: The scores of the generator as it is, with what they depend on; ``None``: not known.
        open_data: Opens the data that the module was trained on; ``None``: not known. Set by ``load``.
    """

    translates: ClassVar[bool] = False
    config: dict[str, Any] | None
    score_card: dict[str, Any] | None = None
    open_data: Callable[[], ImageDataModule] | None = None

    def preview(self, data: ImageDataModule | None, *, n: int | None = None, seed: int = 0) -> Tensor | None:
        """Draw a picture of what the module makes, (C, H, W) uint8.

        Args:
            data: Whose real points stand behind generated ones, and whose examples a translation family translates.
            n: Samples (``None``: 64) or examples (16).
            seed: Seed of the samples.

        Returns:
            The picture; ``None`` from a translation family without data.
        """
        points = data is not None and len(data.shape) == 1
        behind = next(data.real_images(range(min(1000, len(data.train_images))), 1000)) if data and points else None
        return samples_sheet(self, n or 64, seed=seed, behind=behind)

    def shared_state(self) -> dict[str, Tensor]:
        """Return what sampling needs: the sampling network's weights as ``generator.*``, conditions and buffers."""
        self.prepare_sampling()
        parts = {"generator": self.sampler, "conditioning": self.conditioning}
        state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
        state |= {key: value for key, value in self.state_dict().items() if "." not in key}
        return {key: value for key, value in state.items() if isinstance(value, Tensor)}

    def save_pretrained(self, folder: str | os.PathLike[str], **options: Unpack[ShareOptions]) -> Path:
        """Write ``config.json``, ``model.safetensors``, the model card ``README.md`` and the picture ``samples.png``.

        What samples and scores come from is written, without discriminators and optimisers. Of the config's places on
        this machine only the last part is kept.

        Args:
            folder: Created if it is not there; older files of these names are replaced.
            **options: See ``ShareOptions``.

        Returns:
            The folder.

        Raises:
            ValueError: The module was made without a config, or weights are not finite in the precision chosen.
            OSError: A file cannot be written.
        """
        made = Path(folder).expanduser()
        self._write(made, options, place=made.resolve().name)
        return made

    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool = False,
        revision: str | None = None,
        token: str | None = None,
        **options: Unpack[ShareOptions],
    ) -> str:
        """Put what ``save_pretrained`` writes into a repository of the Hugging Face hub (extra ``hub``).

        Args:
            repository: ``ORG/NAME``, created if it is not there.
            private: Make a new repository private.
            revision: Branch; ``None``: the main one.
            token: Of the user; ``None``: the one that is logged in.
            **options: See ``ShareOptions``.

        Returns:
            Address of the repository.

        Raises:
            ValueError: A malformed name, a missing package, or as ``save_pretrained``.
            OSError: The hub refuses, or cannot be reached.
        """
        place = f"{hub.PREFIX}{repository}{f'@{revision}' if revision else ''}"
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder), options, place=place)
            return hub.upload(Path(folder), repository, private=private, revision=revision, token=token)

    def _write(self, folder: Path, options: ShareOptions, *, place: str) -> None:
        state, half = self.shared_state(), options.get("half", False)
        if half:
            state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        for key, value in state.items():
            if not torch.isfinite(value).all():
                raise ValueError(f"{key}: is not finite{' in float16' if half else ''}; nothing is written")
        card = options.get("card") or self.score_card or self._newest_card()
        description = describe(
            self.config or self.described, self.get_extra_state(), card, options.get("license", "unknown")
        )
        picture = self.preview(options.get("data") or self._known_data())
        pretrained.write_folder(folder, state, description)
        if picture is None:
            (folder / GRID).unlink(missing_ok=True)
        else:
            save(picture, folder / GRID, "overview")
        write_text(
            folder / README,
            model_card(
                type(self),
                description,
                state,
                place=place,
                translates=self.translates,
                grid=None if picture is None else GRID,
                notes=options.get("notes", ""),
            ),
        )

    def _newest_card(self) -> dict[str, Any] | None:
        """Return the score card that a Trainer's run has written of this update."""
        if self._trainer is None:
            return None
        return find_card(Path(self._trainer.default_root_dir, "checkpoints", "last.ckpt"), self.iteration)

    def _known_data(self) -> ImageDataModule | None:
        """Return the data of the Trainer, or else those that the module was trained on if they can be opened."""
        attached = getattr(self._trainer, "datamodule", None)
        if isinstance(attached, ImageDataModule) or self.open_data is None:
            return attached if isinstance(attached, ImageDataModule) else None
        try:
            return self.open_data()
        except (OSError, ValueError) as error:
            rank_zero_warn(f"the picture has no examples, since the training data cannot be opened: {error}")
            return None
