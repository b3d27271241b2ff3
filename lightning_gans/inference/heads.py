"""Read people and driving poses from folders, fine-tune a module to a person, and draw people in poses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_gans.checkpoints.files import AtomicCheckpointIO
from lightning_gans.checkpoints.load import initial_checkpoint
from lightning_gans.config.errors import ConfigError
from lightning_gans.data.file_sources import source_at
from lightning_gans.data.files import FileReader
from lightning_gans.data.image_files import ImageFiles
from lightning_gans.data.spec import ImageSpec
from lightning_gans.data.transforms import scaled
from lightning_gans.data.translation.landmark_files import JSON, NPY
from lightning_gans.data.translation.next_frame import natural
from lightning_gans.data.translation.roots import Roots
from lightning_gans.data.translation.talking_heads import VideoSource
from lightning_gans.images.pixels import to_uint8
from lightning_gans.images.sheets import grid
from lightning_gans.inference.source_images import source_shape
from lightning_gans.losses.content import ContentLoss
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.talking_heads import TalkingHeads
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.schedules.training_schedule import Phase, TrainingSchedule

DRAWINGS, FRAMES = "drawings", "frames"  # sub-folders of a person whose drawings are pictures


def heads_of(module: GenerativeModule, checkpoint: str) -> TalkingHeads:
    """Return a loaded module if it draws talking heads.

    Raises:
        ConfigError: It is of another family.
    """
    if not isinstance(module, TalkingHeads):
        raise ConfigError("checkpoint", checkpoint, f"is a {type(module).__name__}; give one of model=talking_heads")
    return module


def read_person(folder: str, module: TalkingHeads, key: str = "frames") -> tuple[Tensor, Tensor]:
    """Read the frames of a person and their drawings, at the module's size.

    Args:
        folder: Frames with ``landmarks.json`` or ``landmarks.npy`` beside them, or sub-folders ``frames`` and
            ``drawings`` of pictures of the same names.
        module: Whose shapes they get.
        key: Option that names the folder, for messages.

    Returns:
        Drawings (K, source_channels, H, W) and frames (K, channels, H, W) in [-1, 1].

    Raises:
        ConfigError: The folder has neither.
    """
    root, (source_channels, height, width) = Path(folder).expanduser(), source_shape(module)
    channels = int((module.config or {})["resolved"]["data"]["channels"])
    if (root / DRAWINGS).is_dir() and (root / FRAMES).is_dir():
        sides = [_pictures(root / side, key) for side in (DRAWINGS, FRAMES)]
        if sides[0] != sides[1]:
            raise ConfigError(key, folder, "frames and drawings must have the same names")
        shapes = ((DRAWINGS, source_channels), (FRAMES, channels))
        drawings, frames = (_read(root / side, sides[0], (height, width), depth) for side, depth in shapes)
        return drawings, frames
    if not root.is_dir() or not any(next(root.rglob(name), None) for name in (JSON, NPY)):
        rule = (
            "needs landmarks beside its frames (python -m lightning_gans.landmarks), or the folders frames and drawings"
        )
        raise ConfigError(key, folder, rule)
    source = VideoSource(Roots(str(root)), None, None, FileReader(), k=0)
    heads = source.load(ImageSpec((height, width), channels, 3))
    if source_channels != 3:
        rule = f"has landmarks, whose drawings have 3 channels; this checkpoint takes {source_channels}"
        raise ConfigError(key, folder, rule)
    everything = torch.arange(len(heads))
    return scaled(heads.drawings.fetch(everything)["image"]), scaled(heads.frames.fetch(everything)["image"])


def read_driving(folder: str, module: TalkingHeads) -> Tensor:
    """Read driving poses: the drawings (N, source_channels, H, W) in [-1, 1] of a folder's frames.

    Args:
        folder: As of ``read_person``; or a folder of the name ``drawings``, of pictures of drawings alone.
        module: Whose shapes they get.

    Raises:
        ConfigError: It is neither.
    """
    root = Path(folder).expanduser()
    alone = root if root.name == DRAWINGS else root / DRAWINGS
    if alone.is_dir():
        channels, height, width = source_shape(module)
        return _read(alone, _pictures(alone, "driving"), (height, width), channels)
    return read_person(folder, module, "driving")[0]


def _pictures(folder: Path, key: str) -> list[str]:
    names = sorted(source_at(str(folder), key).names(), key=natural)
    if not names:
        raise ConfigError(key, str(folder), "has no pictures")
    return names


def _read(folder: Path, names: Sequence[str], size: tuple[int, int], channels: int) -> Tensor:
    files = ImageFiles(source_at(str(folder)), names, root=str(folder), image_size=size, channels=channels)
    return scaled(files.fetch(torch.arange(len(names)))["image"])


def fine_tune(
    module: TalkingHeads,
    drawings: Tensor,
    frames: Tensor,
    *,
    epochs: int = 40,
    batch_size: int = 8,
    seed: int = 0,
    device: torch.device | None = None,
    **rates: float | None,
) -> None:
    """Make a module one person's, and fine-tune it to the person's frames.

    Each update of the generator and those of the discriminator take the same ``batch_size`` frames, in an order that is
    a function of the seed.

    Args:
        module: Changed in place.
        drawings: (K, source_channels, H, W) in [-1, 1].
        frames: (K, channels, H, W) in [-1, 1].
        epochs: Passes over the frames, the paper's 40; 0: P e + c becomes free and nothing is trained.
        batch_size: Frames of an update at most.
        seed: Of the order of the frames.
        device: To train on; ``None``: the module's.
        **rates: Learning rates by player, ``g`` and ``d``; ``None``: those of the checkpoint.
    """
    module.personalise(frames, drawings)
    if not epochs:
        return
    for player, rate in rates.items():
        if rate is not None:
            factory: Any = module.optimizer_factories[player]
            module.optimizer_factories[player] = partial(factory, lr=rate)
    n, size = len(frames), min(batch_size, len(frames))
    phase = Phase("fine-tuning", None, size, module.n_critic, players=("g", "d"))
    module.schedule, module.seed = TrainingSchedule([phase]), seed
    rng = torch.Generator().manual_seed(derive_seed("fine-tuning", seed))
    orders = [piece.tolist() for _ in range(epochs) for piece in torch.split(torch.randperm(n, generator=rng), size)]
    loader = DataLoader(TensorDataset(drawings, frames), batch_sampler=[order * module.n_critic for order in orders])
    place = device or module.device
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = Trainer(
        **quiet,
        enable_model_summary=False,
        max_epochs=1,
        accelerator=place.type,
        devices=1 if place.index is None else [place.index],
    )
    trainer.fit(module.train(), loader)
    module.to(place).eval()


def save_person(module: TalkingHeads, path: Path) -> None:
    """Write a fine-tuned module as a checkpoint, without the rows of the videos that it was trained on."""
    io = AtomicCheckpointIO()
    io.save_checkpoint({**initial_checkpoint(module), "loops": {}}, path)


def set_content(module: TalkingHeads, vgg19: str | None, vggface: str | None) -> None:
    """Let a module fine-tune with the networks of these files, where given, and else with those of its training."""
    old, weight = module.content.files, module.pyramid_weight
    (path_19, inputs_19), (path_face, inputs_face) = old["vgg19"], old["vggface"]
    module.content = ContentLoss(vgg19 or path_19, inputs_19, vggface or path_face, inputs_face, weight)


@torch.no_grad()
def draw(module: TalkingHeads, driving: Tensor, person: Tensor | None = None, batch_size: int = 16) -> Tensor:
    """Draw a person in driving poses.

    Args:
        module: The module.
        driving: Drawings (N, source_channels, H, W).
        person: Embedding (D,); ``None``: the module's own person.
        batch_size: Frames at once.

    Returns:
        (N, channels, H, W) uint8, on the CPU.
    """
    module.eval()
    pieces = torch.split(driving.to(module.device), batch_size)
    made = [module.run(module.sampler, piece, person) for piece in pieces]
    return torch.cat([to_uint8(images).cpu() for images in made])


def puppets(driving: Tensor, people: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Lay out a puppeteering sheet: drawings in the first row, then a row a person with one of its frames before it.

    Args:
        driving: Drawings (N, source_channels, H, W) in [-1, 1].
        people: Of each one frame (channels, H, W) uint8 and what was drawn, (N, channels, H, W) uint8.

    Returns:
        One image (channels, H', W') uint8.
    """
    channels = people[0][0].shape[0]
    poses = to_uint8(driving).cpu()
    poses = poses.expand(-1, channels, -1, -1) if poses.shape[1] == 1 else poses[:, :channels]
    rows = [torch.cat([torch.full_like(poses[:1], 255), poses])]
    rows += [torch.cat([frame[None], drawn]) for frame, drawn in people]
    return grid(torch.cat(rows), columns=len(driving) + 1)


def first_frame(frames: Tensor) -> Tensor:
    """Return the first of a person's frames (K, channels, H, W) in [-1, 1] as (channels, H, W) uint8."""
    found: Any = to_uint8(frames[:1])[0]
    return found.cpu()  # type: ignore[no-any-return]
