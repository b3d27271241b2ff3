"""Time to score images, ours against torch-fidelity, on the same machine, images and extractor.

    python benchmarks/scoring.py [--n 10000] [--inception 1000] [--rounds 2] [--prdc no|yes|both]

Two sets of n images are compared from nothing (no cache on either side), in turn; the better of the rounds counts.
The small extractor is the ``digits`` network, registered with torch-fidelity; Inception has seeded random weights,
which take the same time as any others. ``again`` scores a second set against the same real images, as a training does:
ours has read them already. Ratios are of the clock and, since that suffers from whatever else runs, of processor time
(without meaning on a GPU). On a GPU, if there is one, Inception is timed there too.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from pathlib import Path

import torch
import torch_fidelity
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from lightning_gans.data.base import ImageDataModule
from lightning_gans.data.datasets import InMemoryImages
from lightning_gans.data.image_source import ImageSource
from lightning_gans.data.spec import ImageSpec
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.extractors.base import Extractor
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.extractors.inception import Inception

BATCH = 64


class Images(Dataset):
    """As torch-fidelity takes them: (C, H, W) uint8, one by one."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.images[i]


class Held(ImageSource):
    """Give images that are in memory."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def load(self, spec: ImageSpec) -> InMemoryImages:
        return InMemoryImages(self.images)


def held(images: Tensor) -> ImageDataModule:
    """Return images in memory as a set."""
    return ImageDataModule(Held(images), image_size=images.shape[-1], channels=images.shape[1])


class Registered(FeatureExtractorBase):
    """Our small extractor under torch-fidelity's interface."""

    def __init__(self, name: str, features_list: list[str], **_: object) -> None:
        super().__init__(name, features_list)
        self.ours = DigitsExtractor()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.ours(images)
        return tuple({"64": found.features, "logits": found.logits}[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list():
        return "64", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "64"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> None:
        return None


def pictures(n: int, seed: int) -> Tensor:
    """Smooth random images (n, 3, 32, 32)."""
    noise = torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=32, mode="bicubic").mul(50).add(128).clamp(0, 255).byte()


def theirs(fake: Tensor, real: Tensor, device: str, prc: bool, **extractor: str) -> dict[str, float]:
    """torch-fidelity's scores."""
    subset = min(1000, len(fake))
    options = {"fid": True, "isc": True, "kid": True, "kid_subsets": 50, "kid_subset_size": subset, "batch_size": BATCH}
    return torch_fidelity.calculate_metrics(
        input1=Images(fake),
        input2=Images(real),
        prc=prc,
        cuda=device == "cuda",
        cache=False,
        verbose=False,
        save_cpu_ram=True,
        **options,
        **extractor,
    )


def timed(work) -> tuple[tuple[float, float], dict]:
    """Seconds by the clock and of processor time, and what came out."""
    started = time.perf_counter(), time.process_time()
    found = work()
    return (time.perf_counter() - started[0], time.process_time() - started[1]), found


def compare(title: str, n: int, device: str, given: argparse.Namespace, make: Extractor, **names: str) -> None:
    """A row of the table, or one without and one with PRDC."""
    real, fake, other = pictures(n, 1), pictures(n, 2) // 2, pictures(n, 3) // 2
    for prc in {"no": [False], "yes": [True], "both": [False, True]}[given.prdc]:
        metrics = ["frechet", "inception_score", "kernel", *(["prdc"] if prc else [])]
        seconds: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": [], "again": []}
        for _ in range(given.rounds):
            evaluator = Evaluator(make, n=None, metrics=metrics, batch_size=BATCH, cache=None)
            reference = held(real)
            took, card = timed(lambda: evaluator(held(fake), reference, device=device))  # noqa: B023
            seconds["ours"].append(took)
            seconds["again"].append(timed(lambda: evaluator(held(other), reference, device=device))[0])  # noqa: B023
            took, scores = timed(lambda: theirs(fake, real, device, prc, **names))  # noqa: B023
            seconds["theirs"].append(took)
        clock, processor = ({name: min(t[i] for t in times) for name, times in seconds.items()} for i in (0, 1))
        distance = card["scores"][make.key("fd")]
        off = abs(distance - scores["frechet_inception_distance"]) / abs(distance)
        ratios = [some[name] / some["theirs"] for some in (clock, processor) for name in ("ours", "again")]
        row = [title, f"{n:,}", device, "FID, IS, KID" + ", PRDC" * prc, f"{clock['ours']:.1f} s"]
        print(f"| {' | '.join([*row, *(f'{ratio:.2f}' for ratio in ratios), f'{off:.0e}'])} |", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10000, help="images of a side for the small extractor")
    parser.add_argument("--inception", type=int, default=1000, help="images of a side for Inception on the CPU")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--prdc", choices=["no", "yes", "both"], default="both", help="FID, IS and KID alone, or PRDC too"
    )
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch_fidelity.register_feature_extractor("small", Registered)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, batch {BATCH}\n")
    columns = ["extractor", "n", "device", "scores", "ours", "ours / theirs", "again / theirs"]
    columns += ["ours / theirs, processor", "again / theirs, processor", "FID differs by"]
    print(f"| {' | '.join(columns)} |\n|" + "---|" * len(columns))
    if given.n:
        compare("small", given.n, "cpu", given, DigitsExtractor(), feature_extractor="small")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "seeded.pth"))
        load, FeatureExtractorInceptionV3.load_state_dict = FeatureExtractorInceptionV3.load_state_dict, lambda *_: None
        torch.save({}, path)
        torch.manual_seed(0)
        seeded = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=path)
        FeatureExtractorInceptionV3.load_state_dict = load
        torch.save(seeded.state_dict(), path)
        sizes = itertools.chain([("cpu", given.inception)], [("cuda", 10000)] if torch.cuda.is_available() else [])
        for device, n in sizes:
            if n:
                names = {"feature_extractor": "inception-v3-compat", "feature_extractor_weights_path": path}
                compare("Inception", n, device, given, Inception(weights=path), **names)


if __name__ == "__main__":
    main()
