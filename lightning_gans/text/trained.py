"""Encode captions by a network that is trained on a set's own pictures and captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, MinLen
from torch import Tensor
from tqdm import tqdm

from lightning_gans.config.errors import ConfigError
from lightning_gans.config.types import NonNegative, Positive, PositiveInt, checked
from lightning_gans.data.captions import Captions, shared
from lightning_gans.data.datasets import ImageDataset
from lightning_gans.extractors.base import prepared
from lightning_gans.networks.char_cnn_rnn import CharCNNRNN, as_bytes
from lightning_gans.networks.classifier import Classifier
from lightning_gans.runtime.distributed import broadcast_tensors, rank_and_world
from lightning_gans.runtime.seeding import derive_seed
from lightning_gans.text.base import TextEncoder

TEMPERATURE = 0.1  # of the contrastive loss


class Trained(TextEncoder):
    """Learn vectors of captions together with those of their pictures. Reed et al. 2016, arXiv:1605.05395.

    With F(v, t) the product of the vectors of a picture and of a caption, the structured joint embedding minimises

        mean over i, j of max(0, 1 + F(v_i, t_j) - F(v_i, t_i)) + max(0, 1 + F(v_j, t_i) - F(v_i, t_i))

    in batches of pictures with a caption each, where j is none that shares the caption with i, or the class
    (``by_class``). With ``loss=contrastive`` it minimises instead the mean of two cross-entropies: of finding i's
    caption among the batch's and the picture of i's caption among the pictures, by cosines over 0.1 (Zhang et al. 2020,
    arXiv:2010.00747).

    Both find a few directions that tell a batch's pairs apart, and stop. ``decorrelation`` asks for more: with C the
    covariance of a batch's vectors, scaled to a mean variance of 1, its weight times the mean over directions of the
    squares of C - I is added for pictures and for captions (in the manner of Bardes et al. 2022, arXiv:2105.04906).

    A caption longer than ``length`` bytes is the mean of its pieces. Vectors handed to generators are
    whitened over the training captions, so that what few captions differ in weighs as much as what many do; directions
    with less than a tenth of the largest variance weigh less, and the mean variance of a number is 1. Differs from
    the paper: this, bytes in the place of 70 letters, and pictures through a small network that learns too, where the
    paper has features of GoogLeNet.

    A training that finds the encoder untrained trains it before its first update; its weights are part of the
    checkpoint.

    Args:
        dim: Length of a vector.
        channels: Of the pictures.
        length: Bytes of a caption that are read at once, >= 16.
        widths: Feature maps of the three convolutions over a caption.
        image_size: Side that pictures are resized to, a power of two from 8.
        image_width: Feature maps of the first convolution over pictures.
        updates: Of the encoder's training.
        batch_size: Pictures with a caption each in an update.
        lr: Rate of Adam, linear to 0.
        by_class: Where the data have classes, captions of a class are true of all its pictures, as in the paper.
        loss: ``structured`` as in the paper, or ``contrastive``.
        decorrelation: Weight of the covariances; 0 as in the paper.
        weights: A file of ``python -m lightning_gans.train_encoder``, which has the same options; ``None``: train it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, or was made with other options.
    """

    centre: Tensor
    whitening: Tensor
    is_trained: Tensor

    @checked
    def __init__(
        self,
        *,
        dim: PositiveInt = 1024,
        channels: PositiveInt = 3,
        length: Annotated[int, Ge(16)] = 201,
        widths: Annotated[Sequence[int], MinLen(1)] = (384, 512, 512),
        image_size: PositiveInt = 64,
        image_width: PositiveInt = 32,
        updates: PositiveInt = 3000,
        batch_size: Annotated[int, Ge(2)] = 64,
        lr: Positive = 1e-3,
        by_class: bool = True,
        loss: Literal["structured", "contrastive"] = "structured",
        decorrelation: NonNegative = 0.0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.length, self.channels, self.image_size = dim, length, channels, image_size
        self.updates, self.batch_size, self.lr, self.weights = updates, batch_size, lr, weights
        self.by_class, self.loss, self.decorrelation = by_class, loss, decorrelation
        self.text = CharCNNRNN(dim=dim, length=length, channels=widths)
        self.sizes = {"channels": channels, "num_classes": dim, "image_size": image_size, "width": image_width}
        self.image = Classifier(**self.sizes)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("whitening", torch.eye(dim))
        self.register_buffer("is_trained", torch.zeros((), dtype=torch.int64))
        self.eval().requires_grad_(False)

    # ------------------------------------------------------------------------------ vectors

    def raw(self, texts: Sequence[str]) -> Tensor:
        """Compute the network's vectors (N, dim), as pictures are compared with."""
        rows, owners = (some.to(self.centre.device) for some in as_bytes(texts, self.length))
        made = self.text(rows)
        sums = made.new_zeros(len(texts), self.dim).index_add_(0, owners, made)
        return self.comparable(sums / owners.bincount(minlength=len(texts))[:, None])

    def vectors(self, texts: Sequence[str]) -> Tensor:
        """Compute vectors (N, dim), white over the training captions.

        Raises:
            ValueError: The encoder has not been trained.
        """
        if not self.is_trained:
            raise ConfigError("model.text_encoder", "trained", "has not learnt yet; train on data with captions")
        return (self.raw(texts) - self.centre) @ self.whitening

    @torch.no_grad()
    def joint(self, texts: Sequence[str]) -> Tensor:
        """Compute vectors of captions (N, dim) as those of pictures are compared with."""
        return torch.cat([self.raw(texts[start : start + 256]) for start in range(0, len(texts), 256)])

    @torch.no_grad()
    def images(self, images: Tensor) -> Tensor:
        """Compute vectors (N, dim) of pictures (N, C, H, W) uint8."""
        return self.comparable(self.image(prepared(images, self.channels, self.image_size).to(self.centre))[1])

    def comparable(self, vectors: Tensor) -> Tensor:
        """Return vectors (N, dim) whose products are compared: for the contrastive loss, of length 1."""
        return F.normalize(vectors) if self.loss == "contrastive" else vectors

    # ------------------------------------------------------------------------------ training

    def learn(self, images: ImageDataset, captions: Captions, *, seed: int = 0) -> None:
        """Read ``weights``, or train as described above; nothing if that has been done. On all processes together."""
        if self.is_trained:
            return
        if self.weights is not None:
            self.read(self.weights)
        else:
            self.fit(images, captions, seed=seed)
        if rank_and_world()[1] > 1:
            broadcast_tensors([*self.parameters(), *self.buffers()])

    def fit(self, images: ImageDataset, captions: Captions, *, seed: int = 0, progress: bool = False) -> list[float]:
        """Train on pictures and captions; returns the loss of every update."""
        losses = []
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(derive_seed("text encoder", seed))
            image = Classifier(**self.sizes).to(self.centre)  # with batch norm of its own, whatever processes share
            for layer in self.text.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()  # type: ignore[operator]
            weights = [*self.text.requires_grad_(True).parameters(), *image.parameters()]
            optimizer = torch.optim.Adam(weights, lr=self.lr)
            pieces, owners = as_bytes(captions.texts, self.length)
            rows = torch.split(pieces, owners.bincount().tolist())  # of every caption
            classes = images.entries("label") if self.by_class else None
            for update in tqdm(range(self.updates), "training the text encoder", disable=not progress, leave=False):
                for group in optimizer.param_groups:
                    group["lr"] = self.lr * (1 - update / self.updates)
                chosen = torch.randperm(len(images))[: self.batch_size]
                loss = self._loss(image, images, captions, chosen, rows, classes)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(float(loss.detach()))
        self.image.load_state_dict(image.state_dict())
        self.eval().requires_grad_(False)
        self.standardise(captions.texts)
        return losses

    def _loss(
        self,
        image: Classifier,
        images: ImageDataset,
        captions: Captions,
        chosen: Tensor,
        rows: Sequence[Tensor],
        classes: Tensor | None,
    ) -> Tensor:
        """Compute the structured loss of pictures number ``chosen``, each with one of its captions."""
        numbers = captions.numbers[chosen]  # (N, K)
        each = torch.rand(numbers.shape).masked_fill_(numbers < 0, -1).argmax(1, keepdim=True)
        used = numbers.gather(1, each)
        pieces = [rows[i][int(torch.randint(len(rows[i]), ()))] for i in used[:, 0].tolist()]
        texts = self.text(torch.stack(pieces).to(self.centre.device))
        pictures = images.fetch(chosen)["image"].to(self.centre.device)
        seen = image(prepared(pictures, self.channels, self.image_size).to(self.centre))[1]
        same = shared(numbers, used)  # picture i, caption j
        if classes is not None:
            same |= classes[chosen][:, None] == classes[chosen][None]
        compare = structured_loss if self.loss == "structured" else contrastive_loss
        loss = compare(self.comparable(seen) @ self.comparable(texts).T, same.to(self.centre.device))
        return loss + self.decorrelation * (correlation(seen) + correlation(texts)) if self.decorrelation else loss

    @torch.no_grad()
    def standardise(self, texts: Sequence[str]) -> None:
        """Set mean and whitening by the training captions."""
        made = self.joint(texts)
        self.centre.copy_(made.mean(0))
        covariance = (made - self.centre).double().T.cov(correction=0)
        values, directions = torch.linalg.eigh(covariance.view(self.dim, self.dim))
        values = values.clamp(min=0)
        damped = values + values[-1].clamp(min=1e-12) / 10
        scale = (self.dim / (values / damped).sum().clamp(min=1e-12)).sqrt()
        self.whitening.copy_(directions @ (scale * damped.rsqrt()[:, None] * directions.T))
        self.is_trained.fill_(1)

    # ------------------------------------------------------------------------------ files

    def read(self, path: str) -> None:
        """Load weights from a file of ``train_encoder``.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is none, or its networks are others.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"model.text_encoder.weights={path}: no such file")
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            self.load_state_dict(content["state_dict"])
        except Exception as error:
            rule = f"not of python -m lightning_gans.train_encoder with these options ({type(error).__name__})"
            raise ConfigError("model.text_encoder.weights", path, rule) from error


def structured_loss(scores: Tensor, same: Tensor) -> Tensor:
    """Compute the structured joint embedding loss.

    Args:
        scores: (N, N), product of picture i and caption j, which belong together where i = j.
        same: (N, N) bool, caption j is true of picture i too, or of its class, and is no mistake.
    """
    own = scores.diagonal()
    by_caption = (1 + scores - own[:, None]).clamp(min=0)  # picture i, other captions j
    by_picture = (1 + scores - own[None]).clamp(min=0)  # caption j, other pictures i
    return (by_caption + by_picture).masked_fill(same, 0).sum() / math.prod(scores.shape)


def contrastive_loss(cosines: Tensor, same: Tensor) -> Tensor:
    """Compute the mean of the cross-entropies of finding the caption of a picture, and the picture of a caption.

    Args:
        cosines: (N, N), of picture i and caption j, divided by ``TEMPERATURE`` here.
        same: As for ``structured_loss``.
    """
    own = torch.arange(len(cosines), device=cosines.device)
    is_own = own[:, None] == own
    logits = (cosines / TEMPERATURE).masked_fill(same & ~is_own, -torch.inf)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def correlation(vectors: Tensor) -> Tensor:
    """Compute the squared distance from I, over D, of the covariance of vectors (N, D) of mean variance 1."""
    centred = vectors - vectors.mean(0)
    covariance = centred.T @ centred / centred.square().mean().clamp(min=1e-12) / len(vectors)
    return (covariance - torch.eye(vectors.shape[1], device=vectors.device)).square().sum() / vectors.shape[1]


def accuracy(encoder: Trained, images: ImageDataset, captions: Captions, n: int = 1000) -> float:
    """Return the share of up to n pictures whose own caption scores highest among all different captions of the set."""
    every = encoder.joint(captions.texts)
    chosen = torch.arange(min(n, len(images)))
    seen = torch.cat(
        [encoder.images(images.fetch(some)["image"].to(every.device)) for some in torch.split(chosen, 256)]
    )
    best = (seen @ every.T).argmax(1).cpu()
    return float((captions.numbers[chosen] == best[:, None]).any(1).double().mean())
