"""Feed metrics of what a model makes of examples of the data: classes of images, images of captions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.captions import NONE, captions_of
from lightning_gans.data.subset import spread
from lightning_gans.images.pixels import to_uint8
from lightning_gans.metrics.base import GenerativeMetric
from lightning_gans.models.accuracy import classified
from lightning_gans.models.base import GenerativeModule
from lightning_gans.models.text import Text
from lightning_gans.runtime.distributed import rank_and_world, rank_slice

OWN = ("classified", "captioned")  # feeds


def update_own(
    metric: GenerativeMetric,
    module: Any,
    data: ImageDataModule,
    *,
    n: int,
    seed: int,
    batch_size: int,
    sampling: Mapping[str, float],
) -> dict[str, Any]:
    """Feed a metric this process's share of the examples.

    Args:
        metric: Its feed is one of ``OWN``.
        module: Classifies, or samples by captions.
        data: Whose examples.
        n: Most samples of captions.
        seed: Seed of the samples.
        batch_size: Images at once.
        sampling: Options of sampling.

    Returns:
        Entries of the score card.
    """
    rank, world = rank_and_world()
    if metric.feed == "classified":
        for logits, labels in classified(module, data, rank_slice(data.n_examples, rank, world), batch_size):
            metric.update(logits, labels)
        return {"classified": data.examples_of}
    chosen = spread(data.n_examples, n)
    mine = rank_slice(len(chosen), rank, world)
    for start in range(mine.start, mine.stop, batch_size):
        places = range(start, min(start + batch_size, mine.stop))
        metric.update(*captioned(module, data, chosen[list(places)].tolist(), places, seed, sampling))
    return {"captions": data.examples_of, "captions_n": len(chosen)}


def captioned(
    module: GenerativeModule,
    data: ImageDataModule,
    examples: list[int],
    numbers: range,
    seed: int,
    sampling: Mapping[str, float],
) -> tuple[Any, ...]:
    """Draw samples number ``numbers`` of the first captions of some examples.

    Returns:
        Samples (N, C, H, W) uint8, the examples' pictures likewise, their attributes (N, A) int64 or ``None``, -1 where
        captions do not tell them, the captions, and the encoder of text.
    """
    images, condition = data.example_images, module.conditioning["text"]
    assert isinstance(condition, Text)
    captions, attributes, said = captions_of(images), images.entries("attributes"), images.entries("said")
    if attributes is not None and said is not None:
        attributes = attributes.masked_fill(~said, NONE)
    assert captions is not None
    texts = [captions.texts[int(captions.numbers[i, 0])] for i in examples]
    turn = -numbers.start % len(texts)  # sample i has text i, counted round, and the first one here is texts[0]
    given = texts[turn:] + texts[:turn]
    (made,) = module.samples(list(numbers), seed=seed, batch_size=len(numbers), text=given, **sampling)
    real = to_uint8(data.examples(examples)["image"]).to(made.device)
    return to_uint8(made), real, None if attributes is None else attributes[examples], texts, condition.encoder
