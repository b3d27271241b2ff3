"""Identity, expression and similarity of talking heads on held-out avatars, by the number of frames.

    python benchmarks/talking_heads.py CHECKPOINT [--extractor FILE] [--shots 1 8 32] [--people 20] [--tuned 4]

Every one of ``--people`` held-out identities is drawn in the eight named expressions from K frames of others.
``expression`` is the share of faces that the extractor takes for the expression that drove them, of eight;
``retrieval`` the share whose other attributes, as the extractor tells them, are closest by cosine to
the right person's among all; ``cosine`` that to the right one; ``SSIM`` and ``L1`` compare with the true faces. Rows of
fine-tuned people are of ``--tuned`` of them, each trained for 40 epochs. The control draws everybody by the frames of
the next person, and true faces show what the extractor can tell.
"""

from __future__ import annotations

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_gans.avatars.identities import Population
from lightning_gans.avatars.parts import EXPRESSION, NAMED, Avatar
from lightning_gans.checkpoints.load import load
from lightning_gans.data.avatars import Faces
from lightning_gans.data.transforms import scaled
from lightning_gans.data.translation.avatar_heads import BARE
from lightning_gans.extractors.avatars import AvatarsExtractor
from lightning_gans.extractors.base import prepared
from lightning_gans.images.files import save
from lightning_gans.inference import heads
from lightning_gans.metrics.ms_ssim import ssim
from lightning_gans.metrics.paired import l1
from lightning_gans.models.talking_heads import TalkingHeads

EACH, GALLERY = 48, 8  # frames of a person, and those that say who it is; the others are for the encoder


class People:
    """Draw held-out people: their frames, and their faces in the named expressions with the drawings of these.

    Args:
        module: Whose config names the set.
        n: Number of people.
    """

    def __init__(self, module: TalkingHeads, n: int) -> None:
        node = (module.config or {})["resolved"]["data"]
        drawn = Population(node["seed"], EACH, node["parts"], "all", 0.0)
        self.faces, self.size = Faces(drawn, n), int(node["image_size"])
        self.channels, self.source_channels = int(node["channels"]), int(node["source_channels"])
        everybody = [drawn.avatar(i, "test") for i in range(n * EACH)]
        shape = (n, EACH)
        self.frames = self._images("picture", everybody, self.channels).unflatten(0, shape)
        self.drawings = self._images("drawing", [self.bare(face) for face in everybody], 1).unflatten(0, shape)
        posed = [Avatar(*named, *drawn.identity(i, "test")) for i in range(n) for named in NAMED.values()]
        self.targets = self._images("picture", posed, self.channels)  # (n x 8, C, H, W)
        self.driving = self._images("drawing", [self.bare(face) for face in posed[: len(NAMED)]], 1)
        assert len(EXPRESSION) == len(next(iter(NAMED.values())))

    @staticmethod
    def bare(face: Avatar) -> Avatar:
        """Return what drawings show of a face."""
        return face._replace(**BARE)

    def _images(self, kind: str, avatars: list[Avatar], channels: int) -> Tensor:
        depth = channels if kind == "picture" else self.source_channels
        numbers = torch.arange(len(avatars))
        return self.faces.images(kind, avatars, numbers, "test", self.size, depth).images  # type: ignore[arg-type]


class Scores:
    """Score drawn faces of everybody in every expression.

    Args:
        people: The people.
        extractor: Tells attributes.
    """

    def __init__(self, people: People, extractor: AvatarsExtractor) -> None:
        self.people, self.extractor = people, extractor.eval()
        gallery = torch.stack([self.identity(frames[-GALLERY:]).mean(0) for frames in people.frames])
        self.gallery = F.normalize(gallery, dim=1)

    def parts(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits of every attribute, of images (N, C, H, W) uint8."""
        _, logits = self.extractor.network(prepared(images, self.extractor.channels, self.extractor.image_size))
        return dict(zip(self.extractor.heads, torch.split(logits, list(self.extractor.heads.values()), 1), strict=True))

    def identity(self, images: Tensor) -> Tensor:
        """Return the probabilities of all attributes but the expression's, side by side, as unit vectors (N, D)."""
        lasting = [logits.softmax(1) for name, logits in self.parts(images).items() if name not in EXPRESSION]
        return F.normalize(torch.cat(lasting, 1), dim=1)

    @torch.no_grad()
    def __call__(self, images: Tensor, who: list[int]) -> dict[str, float]:
        """Return the scores of images (8 N, C, H, W) uint8 of N people in every expression."""
        targets = torch.cat([self.people.targets[i * len(NAMED) : (i + 1) * len(NAMED)] for i in who])
        right = torch.tensor(who).repeat_interleave(len(NAMED))
        expressed = self.extractor._expression(self.parts(images)).argmax(1)
        closeness = self.identity(images) @ self.gallery.T  # (8 N, people)
        return {
            "expression": float(expressed.eq(torch.arange(len(NAMED)).repeat(len(who))).double().mean()),
            "retrieval": float(closeness.argmax(1).eq(right).double().mean()),
            "cosine": float(closeness.gather(1, right[:, None]).mean()),
            "SSIM": float(ssim(images, targets).mean()),
            "L1": float(l1(images, targets).mean()),
        }


def row(name: str, scores: dict[str, float]) -> None:
    """Print a row of the table."""
    print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in scores.values()) + " |", flush=True)


def main() -> None:
    """Print the table, and write a puppeteering sheet if asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--extractor", help="of train_extractor data=avatars; else the one that ships")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--tuned", type=int, default=4, help="people who are fine-tuned to; 0: none")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--sheet", help="PNG of six people, from the last number of frames")
    given = parser.parse_args()
    module = load(given.checkpoint)
    assert isinstance(module, TalkingHeads)
    people = People(module, given.people)
    score = Scores(people, AvatarsExtractor("expression", "named", given.extractor))
    everybody, driving = list(range(given.people)), scaled(people.driving)
    print("| | expression | retrieval | cosine | SSIM | L1 |\n|---|---|---|---|---|---|")
    row("true faces", score(people.targets, everybody))
    for k in given.shots:
        frames, drawings = (scaled(side[:, :k]) for side in (people.frames, people.drawings))
        found = [module.person_of(*pair) for pair in zip(frames, drawings, strict=True)]
        drawn = [heads.draw(module, driving, person) for person in found]
        row(f"K = {k}", score(torch.cat(drawn), everybody))
        row(f"K = {k}, of the next person", score(torch.cat([*drawn[1:], drawn[0]]), everybody))
        if given.sheet and k == given.shots[-1]:
            shown = [(people.frames[i, 0], drawn[i]) for i in everybody[:6]]
            save(heads.puppets(driving, shown), given.sheet, "overview")
        who = everybody[: given.tuned]
        if not who:
            continue
        row(f"K = {k}, {len(who)} people", score(torch.cat(drawn[: len(who)]), who))
        tuned = []
        for i in who:
            mine = copy.deepcopy(module)
            heads.fine_tune(mine, drawings[i], frames[i], epochs=given.epochs)
            tuned.append(heads.draw(mine, driving))
        row(f"K = {k}, {len(who)} people, fine-tuned", score(torch.cat(tuned), who))


if __name__ == "__main__":
    main()
