"""Write the model card of a shared generator: what it is, how to use it, its scores and what they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from torch import Tensor

from lightning_gans.sharing.pretrained import LIBRARY

LEFT_OUT = ("scores", "seconds", "checkpoint", "reference_root", "higher_is_better")  # of a card's table


def model_card(
    family: type,
    description: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    place: str,
    translates: bool,
    grid: str | None,
    notes: str,
) -> str:
    """Return the Markdown of a model card, with the YAML that the hub reads in front of it.

    Args:
        family: Class of the module, whose docstring names the paper.
        description: Content of ``config.json``.
        state: The weights.
        place: What readers give ``load``.
        translates: Whether it makes images from images.
        grid: File of the picture; ``None``: there is none.
        notes: Markdown of the author's.
    """
    card = description["card"] or {}
    scores = {key: value for key, value in card.get("scores", {}).items() if isinstance(value, int | float)}
    data = ".".join(str(description["config"].get("data", {}).get("_target_", "")).split(".")[-2:-1])  # its module
    head = {
        "license": description["license"],
        "library_name": LIBRARY,
        "pipeline_tag": "image-to-image" if translates else "unconditional-image-generation",
        "tags": ["gan", "pytorch", "lightning", LIBRARY, family.__name__.lower()],
        **({"datasets": [data]} if data else {}),
        **({"metrics": list(scores)} if scores else {}),
    }
    title = f"# {family.__name__}{f' of {data}' if data else ''}"
    blocks = [f"---\n{yaml.safe_dump(head, sort_keys=False)}---", title, _paper(family)]
    blocks += [f"![{'Examples' if translates else 'Samples'}]({grid})"] if grid else []
    blocks += ["## Use", _use(place, translates), "## Scores", _scores(scores, card)]
    blocks += ["## Weights", _weights(description, state), *([notes.strip()] if notes else [])]
    return "\n\n".join(blocks) + "\n"


def _paper(family: type) -> str:
    """Return the first paragraph of a family's docstring as a sentence about the weights."""
    first = " ".join((family.__doc__ or "").strip().split("\n\n")[0].split())
    return f"A generator of `{LIBRARY}`" + (f": {first.removeprefix('Train ')}" if first else ".")


def _use(place: str, translates: bool) -> str:
    made = (
        "images = module.translate(source)  # (N, C, H, W) in [-1, 1]"
        if translates
        else "images = module.sample(16, seed=0)  # (16, C, H, W) in [-1, 1]"
    )
    command = "translate" if translates else "sample"
    taken = " input=DIR" if translates else ""
    return (
        f'```python\nimport lightning_gans\n\nmodule = lightning_gans.load("{place}")\n{made}\n```\n\n'
        f"```bash\npython -m lightning_gans.{command} checkpoint={place}{taken} out=DIR\n```"
    )


def _scores(scores: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    if not scores:
        return "Not scored."
    rows = [(key, f"{value:.5g}") for key, value in scores.items()]
    rows += [(key, str(value)) for key, value in card.items() if key not in LEFT_OUT and not isinstance(value, dict)]
    cells = [f"| {key} | {value} |".replace("\n", " ") for key, value in rows]
    return "\n".join(["| score, and what it depends on | |", "|---|---|", *cells])


def _weights(description: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    numbers = sum(value.numel() for value in state.values())
    kinds = ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in state.values()}))
    counters = description["state"]
    seen = f"{counters.get('iteration', 0):,} generator updates, {counters.get('images_seen', 0):,} real images shown"
    return (
        f"{numbers:,} numbers ({kinds}) after {seen}. The generator alone: no discriminator and no optimiser, so that "
        "training cannot be resumed from it."
    )
