"""``extractor=none``: scores that compare features are left out, or refused where they were asked for."""

import pytest

from conftest import evaluation, newest, refusal, run, tiny
from lightning_gans import build, compose
from lightning_gans.checkpoints import load
from lightning_gans.config.errors import ConfigError
from lightning_gans.evaluation.selection import DEFAULT, without_features
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.extractors.none import NoExtractor, is_none
from lightning_gans.metrics.library import as_metrics

NONE = "{_target_: lightning_gans.extractors.none.NoExtractor, _partial_: true}"


def test_a_training_leaves_them_out_and_its_checkpoint_can_be_scored_later(tmp_path):
    made = run(tmp_path, "extractor=none", evaluation(extractor="${extractor}"), "trainer.max_steps=2")
    assert not (tmp_path / "scores").exists()
    content = newest(tmp_path)
    assert content["config"]["resolved"]["extractor"]["_target_"].endswith("NoExtractor")
    assert load.extractor_of(content, made.data).func is DigitsExtractor


def test_what_is_asked_for_is_refused_before_the_data_are_read(tmp_path):
    said = refusal(tmp_path, *tiny(), evaluation(metrics="[swd, frechet]", extractor=NONE))
    rule = "compares features, of which extractor=none has none; leave one of the two out"
    assert said == f"callbacks.evaluation.metrics=frechet: {rule}"
    build(compose(*tiny(), evaluation(metrics="[swd]", extractor=NONE)), tmp_path)


def test_metrics_of_pixels_stay():
    assert without_features(as_metrics(DEFAULT), was_asked=False) == []
    left = without_features(as_metrics([*DEFAULT, "swd", "ms_ssim"]), was_asked=False)
    assert [metric.name for metric in left] == ["swd", "ms_ssim"]
    with pytest.raises(ConfigError, match="metrics=frechet: compares features"):
        without_features(as_metrics(["swd", "frechet"]), was_asked=True)


def test_there_are_no_features():
    assert is_none(NoExtractor)
    assert not is_none(None)
    assert not is_none(DigitsExtractor)
    with pytest.raises(ConfigError, match="extractor=none: this needs the features of one; say extractor=NAME"):
        NoExtractor()
