"""What a stranger gets from ``python -m lightning_gans.train``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image
from sklearn.linear_model import LogisticRegression

import lightning_gans
from lightning_gans import build, compose
from lightning_gans.data.digits import Digits
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.extractors.digits import DigitsExtractor as Extractor
from lightning_gans.images.pixels import to_uint8


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_default_job_makes_digits(tmp_path):
    """Ten digits, each at least 3 % of 1,000 samples, told with confidence, near the real ones in feature space."""
    made = subprocess.run(
        [sys.executable, "-m", "lightning_gans.train"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # several threads wait for each other while other tests run
        capture_output=True,
        text=True,
        timeout=1100,
    )
    assert made.returncode == 0, made.stderr
    rows = dict(line.strip().split("  ", 1) for line in made.stdout.splitlines() if "  " in line.strip())
    paths = {name: Path(rows[name].strip()) for name in ("last.ckpt", "sample grid", "config")}
    assert all((tmp_path / path).is_file() for path in paths.values())
    for word in ("images/s", "d_loss", "g_loss", "update/s"):
        assert word in made.stderr
    assert np.asarray(Image.open(tmp_path / paths["sample grid"])).std() > 50

    real = Digits(image_size=32, channels=1)
    small = lambda images: F.avg_pool2d(images.float() / 16, 4).flatten(1).numpy()  # noqa: E731
    held = real.train_images
    classifier = LogisticRegression(max_iter=2000).fit(small(held.images), held.labels)
    module = lightning_gans.load(tmp_path / paths["last.ckpt"])
    probabilities = classifier.predict_proba(small(to_uint8(module.sample(1000, seed=1))))
    shares = np.bincount(probabilities.argmax(1), minlength=10) / 1000
    assert shares.min() >= 0.03, shares
    assert probabilities.max(1).mean() >= 0.85

    evaluator = Evaluator(Extractor(), n=1000, metrics=["frechet"])
    untrained = build(compose(), tmp_path / "untrained").model
    before = evaluator(untrained, real)["scores"]["fd_digits"]
    after = evaluator(module, real)["scores"]["fd_digits"]
    assert after <= before / 5, (before, after)
    cards = sorted((tmp_path / paths["last.ckpt"]).parent.parent.glob("scores/*.json"))
    assert json.loads(cards[-1].read_text())["n_real"] == 1797
