"""Report the images of a set, and what training will make of them."""

from __future__ import annotations

import copy
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.decoding import BITS, MODES
from lightning_gans.data.file_sources import printable
from lightning_gans.data.image_files import ImageFiles, ImageInfo
from lightning_gans.data.resize import middle
from lightning_gans.data.source import FileError
from lightning_gans.data.subset import class_folders
from lightning_gans.data.table import TableDataModule
from lightning_gans.data.translation.files import HalfFiles, JoinedFiles, NumberFiles
from lightning_gans.data.translation.paired import PairedSource
from lightning_gans.images.pixels import visible
from lightning_gans.images.sheets import grid, overview, panels
from lightning_gans.tables import report
from lightning_gans.tables.picture import picture

SHOWN = 64  # pictures in the grid
NAMED = 20  # unreadable files in the report

Named = tuple[str, ImageInfo]


class Report(NamedTuple):
    """Hold the report on a set.

    Attributes:
        text: One fact a line, for people.
        unreadable: How many files cannot be used.
        grid: Pictures as training sees them, (C, H, W) uint8; ``None`` if there are none.
    """

    text: str
    unreadable: int
    grid: Tensor | None


def look(data: ImageDataModule, *, examples: int = 3) -> Report:
    """Read a whole set and report it.

    Args:
        data: Any image set.
        examples: File names given for each remark.

    Returns:
        The report. Files that cannot be read are counted whatever ``on_error`` says.

    Raises:
        ValueError: There are no images, or not the classes that were asked for.
        FileNotFoundError: The set is not there.
    """
    if isinstance(data, TableDataModule):
        return _look_at_table(data)
    if data.translates:
        return _look_at_pairs(data, examples)
    return _look_at_tensors(data) if data.source.reader is None else _look_at_files(data, examples)


def _look_at_pairs(data: ImageDataModule, examples: int) -> Report:
    """Report the files of each side, if there are files, and show pairs as training gets them."""
    rows, unreadable = [("data", f"{type(data).__name__}: {data.description}"), ("kind", data.kind)], 0
    data = copy.copy(data)
    source = data.source = copy.copy(data.source)
    if source.reader is not None:
        source.reader = replace(source.reader, memory_gb=0.0, on_error="stop")  # only what is shown is decoded below
        found = source.files(data.spec)
        inspected = {side: _inspect(files) for side, files in found.items()}
        for side, files in found.items():
            known, problems = inspected[side]
            unreadable += len(problems)
            rows += [("", ""), (side, _count(files, known, problems)), *_unreadable(problems)]
            if known:
                rows += _contents(files, known, examples, labelled=False)
                rows += [(f"as {_size(files)}", _how(files)), *_changes(files, known, examples)]
        if isinstance(source, PairedSource):
            misfits = _misfits(source.pairs(data.spec), {side: dict(known) for side, (known, _) in inspected.items()})
            unreadable += len(misfits)
            rows += [("", ""), *_unreadable(misfits)]
        else:
            rows.append(("", ""))
    if unreadable:
        return Report(_table([*rows, ("batches", "none are made before every file can be read")]), unreadable, None)
    data.setup("check")
    shapes = [f"{key} {_shape_text(shape)}" for key, shape in data.shapes.items()]
    rows.append(("training", f"{len(data.train_images):,} sources; handed out as {', '.join(shapes)}"))
    rows.append(("examples", f"{data.n_examples:,} ({data.examples_of})"))
    batch = data.training_examples(_spread(len(data.train_images), SHOWN // 2).tolist())
    sides = [visible(batch[key]) for key in ("source", "target")]
    return Report(_table(rows), 0, panels(list(zip(*sides, strict=True))))


def _misfits(files: ImageFiles, known: dict[str, dict[str, ImageInfo]]) -> list[FileError]:
    """Return the files that belong together and have different aspects, of those that can be read."""
    if not isinstance(files, JoinedFiles):
        return []
    found = []
    for i in range(len(files)):
        facts = {side: known[side].get(one.names[i]) for side, one in files.sides.items()}
        sizes = {side: (one.width, one.height) for side, one in facts.items() if one is not None}
        problem = files.misfit(i, sizes) if len(sizes) == len(facts) else None
        found += [] if problem is None else [problem]
    return found


def _look_at_table(data: TableDataModule) -> Report:
    """Report every column, and draw the marginals of rows as training gets them."""
    raw = data.source.read()
    codes = data.table.encode(raw, seed=data.seed)
    size = f"{len(raw):,}" + (f"; {raw.skipped:,} lines left out" if raw.skipped else "")
    learnt = f"{len(data.table.encoded)} of {len(raw.names)} columns; handed out as vectors of {data.table.width}"
    rows = [("data", f"{type(data).__name__}: {data.description}"), ("rows", size), ("learnt", learnt), ("", "")]
    unreadable = raw.skipped
    return Report(
        _table([*rows, *report.lines(data.table, raw)]), unreadable, picture(data.table, data.table.values(codes))
    )


def _look_at_tensors(data: ImageDataModule) -> Report:
    data.setup("check")
    images, n = data.train_images, len(data.train_images)
    kept = "held in memory" if images.is_in_memory else "read by index"
    rows = [("data", f"{type(data).__name__}: {data.description}"), ("images", f"{n:,}, {kept}")]
    held_out = data._loaded()[1]
    if held_out is not None:
        rows.append(("held out", f"{len(held_out):,}"))
    rows.append(("handed out as", _shape_text(data.shape)))
    labels = images.entries("label")
    if labels is not None:
        counts = Counter(labels.tolist())
        names = images.classes or [str(label) for label in range(max(counts) + 1)]
        rows.append(("classes", _counts({names[label]: count for label, count in sorted(counts.items())})))
    return Report(_table(rows), 0, overview(images.fetch(_spread(n, 1000 if data.points else SHOWN))["image"]))


def _look_at_files(data: ImageDataModule, examples: int) -> Report:
    files = data.source.files(data.spec)["images"]
    known, problems = _inspect(files)
    rows = [("data", f"{type(data).__name__} at {data.source.root}"), ("images", _count(files, known, problems))]
    rows += _unreadable(problems)
    if known:
        rows += _contents(files, known, examples)
        rows += [("", ""), (f"as {_size(files)}", _how(files)), *_changes(files, known, examples)]
    if data.val_fraction:
        rows.append(("held out", f"{data.val_fraction:g} of the images, by seed {data.seed}"))
    readable = {name for name, _ in known}
    places = [i for i, name in enumerate(files.names) if name in readable]
    shown = [files.decode(places[i]) for i in _spread(len(places)).tolist()]
    pictures = [picture for picture in shown if isinstance(picture, Tensor)]
    return Report(_table(rows), len(problems), grid(torch.stack(pictures)) if pictures else None)


def _inspect(files: ImageFiles) -> tuple[list[Named], list[FileError]]:
    """Return facts of every file, and those that cannot be read."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        looking = threads.map(files.probe, range(len(files)))
        found = list(tqdm(looking, "reading images", len(files), leave=False, mininterval=1))
    problems = [*files.source.problems, *(facts for facts in found if isinstance(facts, FileError))]
    return [(files.names[i], facts) for i, facts in enumerate(found) if isinstance(facts, ImageInfo)], problems


def _count(files: ImageFiles, known: Sequence[Named], problems: Sequence[FileError]) -> str:
    ignored = f"; {files.source.ignored:,} other files passed over" if files.source.ignored else ""
    return f"{len(known):,} readable, {len(problems):,} not{ignored}"


def _how(files: ImageFiles) -> str:
    return f"resize={files.resize}, {'nearest' if isinstance(files, NumberFiles) else 'antialiased bicubic'}"


def _size(files: ImageFiles) -> str:
    """Describe the size of stored images: numbers have one channel, halves those of the target."""
    channels = files.channels_of[1] if isinstance(files, HalfFiles) else files.channels
    return _shape_text((1 if isinstance(files, NumberFiles) else channels, *files.size))


def _unreadable(problems: Sequence[FileError]) -> list[tuple[str, str]]:
    rows = [("  unreadable", f"{name}: {reason}") for name, reason in problems[:NAMED]]
    return rows + ([("  unreadable", f"and {len(problems) - NAMED:,} more")] if len(problems) > NAMED else [])


def _contents(files: ImageFiles, known: Sequence[Named], examples: int, labelled: bool = True) -> list[tuple[str, str]]:
    """Report sizes, modes, bits, classes (where images are ``labelled``) and duplicates."""
    rows = []
    sizes = zip(*[(facts.width, facts.height) for _, facts in known], strict=True)
    for name, sides in zip(("width", "height"), sizes, strict=True):
        rows.append((name, f"{min(sides)} / {median(sides):g} / {max(sides)} (smallest / median / largest)"))
    rows.append(("modes", _counts(Counter(facts.mode for _, facts in known))))
    rows.append(("bits", _counts(Counter(str(facts.bits) for _, facts in known))))
    rows += _range(files, known)
    if files.labels is not None and files.classes is not None:
        counts = torch.bincount(files.labels, minlength=len(files.classes)).tolist()
        rows.append(("classes", _counts(dict(zip(files.classes, counts, strict=True)))))
    elif labelled:
        folders = Counter(class_folders(files.names))
        if len(folders) > 1:
            stray = [name for name, folder in zip(files.names, class_folders(files.names), strict=True) if not folder]
            count = f"{_counts(folders)}; labels with data.num_classes={len(folders) - bool(stray)}"
            rows.append(("sub-folders", count))
            if stray:
                rows.append(
                    ("in none", f"{len(stray):,}, e.g. {', '.join(stray[:examples])}; labels need a folder each")
                )
    same = defaultdict(list)
    for name, facts in known:
        same[facts.digest].append(name)
    groups = [names for names in same.values() if len(names) > 1]
    if groups:
        surplus = sum(len(names) - 1 for names in groups)
        rows.append(("duplicates", f"{surplus:,}, e.g. " + "; ".join(" = ".join(g[:3]) for g in groups[:examples])))
    return rows


def _range(files: ImageFiles, known: Sequence[Named]) -> list[tuple[str, str]]:
    """Report the largest value of 16-bit pictures, and the option that scales by it where it leaves them dark."""
    top = max((facts.top for _, facts in known), default=0)
    if not top:
        return []
    used, read = max(8, top.bit_length()), files.decoder.bits or BITS
    told = f"up to {top:,} of {2**read - 1:,} in pictures of {BITS} bits"
    return [("values", told + (f"; data.bits={used} scales by {2**used - 1:,}" if used < read else ""))]


def _changes(files: ImageFiles, known: Sequence[Named], examples: int) -> list[tuple[str, str]]:
    """Report how many pictures are changed in which way, the strongest cases first."""
    if isinstance(files, HalfFiles):
        known = [(name, facts._replace(width=facts.width // 2)) for name, facts in known]
    channels = files.channels_of[1] if isinstance(files, HalfFiles) else files.channels
    (height, width), mode = files.size, "" if isinstance(files, NumberFiles) else MODES[channels]

    def ratio(facts: ImageInfo) -> float:
        """Return how many times larger a picture is than the images made of it."""
        ratios = (facts.height / height, facts.width / width)
        if files.resize in ("contain", "stretch"):
            return max(ratios)
        return min(*ratios, 1.0) if files.resize == "native" else min(ratios)

    def strange(facts: ImageInfo) -> float:
        """Return the share of a picture that is left out, or would be to give it the images' aspect."""
        kept = middle((facts.height, facts.width), files.size, files.resize)
        return 1 - kept[0] * kept[1] / (facts.width * facts.height)

    odd = {"cover": "cropped", "contain": "put on black", "stretch": "stretched", "native": "cropped"}[files.resize]
    grey = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
    remarks: dict[str, tuple[Callable[[ImageInfo], bool], Callable[[ImageInfo], float]]] = {
        "as they are": (lambda facts: (facts.height, facts.width) == files.size, lambda facts: 0),
        "reduced": (lambda facts: ratio(facts) > 1, lambda facts: -ratio(facts)),
        "enlarged": (lambda facts: ratio(facts) < 1, ratio),
        odd: (lambda facts: strange(facts) > 0, lambda facts: -strange(facts)),
        "grey to colour": (lambda facts: facts.mode in grey and mode in ("RGB", "RGBA"), lambda facts: 0),
        "colour to grey": (lambda facts: facts.mode not in grey and mode in ("L", "LA"), lambda facts: 0),
        files.decoder.dropping_alpha: (lambda facts: facts.transparent and "A" not in mode, lambda facts: 0),
        f"{files.decoder.bits or BITS} bits to 8": (lambda facts: facts.bits == BITS and mode != "", lambda facts: 0),
        "turned upright": (lambda facts: facts.rotated, lambda facts: 0),
    }
    rows = []
    for remark, (applies, order) in remarks.items():
        affected = sorted((one for one in known if applies(one[1])), key=lambda one: order(one[1]))
        if affected:
            named = ", ".join(f"{name} ({facts.width}x{facts.height})" for name, facts in affected[:examples])
            most = f", up to {strange(affected[0][1]):.0%} of a picture" if remark == "cropped" else ""
            rows.append((f"  {remark}", f"{len(affected):,}{most}, e.g. {named}"))
    return rows


def _shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape (C, H, W) as ``HxWxC``."""
    return "x".join(str(side) for side in (*shape[1:], shape[0]))


def _spread(n: int, shown: int = SHOWN) -> Tensor:
    """Return up to ``shown`` numbers below n, evenly spread."""
    return torch.linspace(0, n - 1, min(n, shown)).long()


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or '(none)'} {count:,}" for name, count in counts.items())


def _table(rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {printable(text)}".rstrip() for name, text in rows)
