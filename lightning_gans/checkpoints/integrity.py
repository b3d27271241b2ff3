"""Check that a checkpoint is complete: its format version, checksum, sections and weights."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_gans.checkpoints.roles import short_text
from lightning_gans.sharing.pretrained import FORMAT_VERSION

FORMAT, CHECKSUM = "lightning_gans_format", "lightning_gans_checksum"  # keys of a content


class DamagedError(ValueError):
    """Report a file that differs from what was written, or was never a checkpoint."""


def read_whole(file: Path) -> dict[str, Any]:
    """Read a checkpoint file and verify its format version and checksum; no code in it is run.

    Raises:
        OSError: The file cannot be read.
        DamagedError: The content differs from what was written, or holds more than data.
        ValueError: The file is no checkpoint of this package, or of a later format.
    """
    with file.open("rb"):  # or the system says why not
        pass
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        raise DamagedError(f"{file}: not a readable checkpoint; it is damaged, or holds more than data") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{file}: not a checkpoint of lightning_gans")
    written_by = content.get(FORMAT, 0)  # 0: before formats were numbered
    check_format(written_by, file)
    with malformed(file):
        if written_by and not (_names_are_whole(file) and content.get(CHECKSUM) == checksum(content)):
            raise DamagedError(
                f"{file}: is damaged; its content is not what was written (if it was changed on purpose, take "
                f"{CHECKSUM} and {FORMAT} out)"
            )
    return content


def check_format(written_by: Any, file: Path) -> None:
    """Refuse a format that is later than this version's.

    Raises:
        ValueError: With both.
    """
    if not isinstance(written_by, int) or written_by > FORMAT_VERSION:
        raise ValueError(
            f"{file}: is of format {short_text(written_by)}, and this version of lightning_gans reads up to "
            f"{FORMAT_VERSION}; use the version that wrote it, or a later one"
        )


def _names_are_whole(file: Path) -> bool:
    """Verify the archive's own checksum of everything that is no tensor."""
    try:
        with zipfile.ZipFile(file) as archive:
            return all(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False


def is_whole(file: Path) -> bool:
    """Return whether a file can be read and its checksum is right."""
    try:
        return bool(read_whole(file))
    except (ValueError, OSError):
        return False


def with_checksum(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint with format version and checksum added, as it is written."""
    return {**content, FORMAT: FORMAT_VERSION, CHECKSUM: checksum(content)}


def checksum(content: Any) -> str:
    """Compute the CRC-32 of a checkpoint's tensors in their order, including types and shapes.

    It finds accidents, not forgeries. Takes about a second per gigabyte.
    """
    found = 0

    def add(value: Any) -> None:
        nonlocal found
        if isinstance(value, Mapping | list | tuple):
            for one in value.values() if isinstance(value, Mapping) else value:
                add(one)
        elif isinstance(value, Tensor):
            found = zlib.crc32(f"{value.dtype}{tuple(value.shape)}".encode(), found)
            found = zlib.crc32(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data, found)

    add(content)
    return f"crc32:{found:08x}"


@contextlib.contextmanager
def malformed(file: Path | str) -> Iterator[None]:
    """Turn errors from reading a malformed section into one ``ValueError`` with the file's name."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, AssertionError, RuntimeError) as error:
        reason = short_text(f"{type(error).__name__}: {error}".splitlines()[0])
        raise ValueError(f"{file}: is malformed, or of another version of this package ({reason})") from error


def check_sections(content: dict[str, Any], file: Path, *, to_resume: bool) -> None:
    """Check that every section is there and has the right type.

    Raises:
        ValueError: There is no config.
        KeyError, TypeError: Another section is missing, or has the wrong type.
    """
    config = content.get("config")
    if not isinstance(config, dict) or "resolved" not in config:
        raise ValueError(f"{file}: holds no config, since its module was trained without one (module.config)")
    kinds: dict[str, type] = {"state_dict": dict}
    if to_resume:
        kinds |= {"epoch": int, "global_step": int, "optimizer_states": list, "lr_schedulers": list, "callbacks": dict}
        kinds |= {"loops": dict} if "loops" in content else {}  # which imported weights have not
    for name, kind in kinds.items():
        if not isinstance(content[name], kind):
            raise TypeError(f"{name}: no {kind.__name__}")
    for name in ("resolved", *(["source"] if to_resume else [])):
        if not isinstance(config.get(name), dict):
            raise TypeError(f"config.{name}: no dict")
    if not all(isinstance(name, str) for name in content["state_dict"]):
        raise TypeError("state_dict: a name is no string")
    if not isinstance(config["resolved"].get("model"), dict):
        raise TypeError("config.resolved.model: no dict")


def refuse_not_finite(state: Mapping[str, Any]) -> None:
    """Refuse weights that hold NaN or infinity: samples would be black, and scores meaningless.

    Raises:
        ValueError: Names the first such tensor.
    """
    for name, tensor in state.items():
        if isinstance(tensor, Tensor) and not torch.isfinite(tensor).all():
            raise ValueError(
                f"the checkpoint's weights are not finite, first those of {short_text(name)}: its training "
                "had diverged; use an earlier one"
            )


def describe_difference(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Describe in one line how names and shapes in two state dicts differ; "" if they do not.

    Args:
        mine: State dict of the module.
        theirs: State dict in the checkpoint.
    """
    sizes = [{k: tuple(v.shape) for k, v in state.items() if isinstance(v, Tensor)} for state in (theirs, mine)]
    names = [name for name in dict.fromkeys([*theirs, *mine]) if sizes[0].get(name) != sizes[1].get(name)]
    told = [
        f"{short_text(name)} is {sizes[0].get(name, 'absent')} and should be {sizes[1].get(name, 'absent')}"
        for name in names[:3]
    ]
    more = f"; and {len(names) - 3} more of {len(mine)}" if len(names) > 3 else ""
    return "; ".join(told) + more
