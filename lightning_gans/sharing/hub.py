"""Fetch shared generators from the Hugging Face hub and put them there (extra ``hub``).

Two files of a repository are fetched, ``config.json`` and ``model.safetensors``; whatever else it holds, pickles for
instance, is never asked for. ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_TOKEN`` say where and as whom.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from lightning_gans.config.errors import ConfigError
from lightning_gans.sharing.pretrained import CONFIG, LIBRARY, WEIGHTS

PREFIX = "hf-hub:"
_PLACE = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def is_place(text: str) -> bool:
    """Return whether a text names a repository of the hub, ``hf-hub:ORG/NAME`` or ``hf-hub:ORG/NAME@REVISION``."""
    return text.startswith(PREFIX)


def fetch(place: str) -> Path:
    """Fetch a shared generator, unless the hub's cache has it, and return the path of its weights.

    Args:
        place: ``hf-hub:ORG/NAME``, with ``@REVISION`` for a branch, tag or commit.

    Raises:
        ConfigError: The name is malformed, or the package ``huggingface_hub`` is missing.
        OSError: The repository or a file of it cannot be had.
    """
    found = _PLACE.fullmatch(place.removeprefix(PREFIX))
    if found is None:
        raise ConfigError("checkpoint", place, f"must be {PREFIX}ORG/NAME or {PREFIX}ORG/NAME@REVISION")
    api = _api("checkpoint", place)
    paths = []
    for name in (CONFIG, WEIGHTS):
        try:
            paths.append(Path(api.hf_hub_download(found[1], name, revision=found[2])))
        except Exception as error:  # of the hub, the network or the disk
            raise OSError(f"{place}: {name} cannot be fetched ({_first_line(error)})") from error
    if paths[0].parent != paths[1].parent:  # the repository changed between the two
        raise OSError(f"{place}: changed while it was fetched; try again")
    return paths[1]


def upload(folder: Path, repository: str, *, private: bool, revision: str | None, token: str | None) -> str:
    """Put all files of a folder into a repository, which is created if it is not there; return its address.

    Raises:
        ConfigError: The name is malformed, or the package ``huggingface_hub`` is missing.
        OSError: The hub refuses, or cannot be reached.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
        raise ConfigError("repository", repository, "must be ORG/NAME")
    api = _api("repository", repository, token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, revision=revision, commit_message=f"Upload by {LIBRARY}"
        )
    except Exception as error:  # of the hub or the network
        raise OSError(f"{repository}: cannot be written ({_first_line(error)})") from error
    return f"{api.endpoint}/{repository}"


def _api(key: str, value: str, token: str | None = None) -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(key, value, 'needs huggingface_hub; pip install "lightning_gans[hub]"') from error
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token, library_name=LIBRARY)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
