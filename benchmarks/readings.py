"""Score the four readings of one checkpoint: ``python benchmarks/readings.py CHECKPOINT [--n 2000]``.

The averaged generator or the newest one, each by batch norm's running statistics or by those of each batch. Prints the
Frechet distance of each in the features that the training's scores have.
"""

from __future__ import annotations

import argparse

from torch import nn

from lightning_gans.checkpoints import files, load
from lightning_gans.evaluation.evaluator import Evaluator
from lightning_gans.models.ema import evaluating
from lightning_gans.networks.layers import BATCH_NORMS


class BatchStatistics(nn.Module):
    """Run a generator in evaluation mode, but batch norm by the statistics of its batch.

    Args:
        network: The generator, whose running statistics stay as they are.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        for layer in network.modules():
            if isinstance(layer, BATCH_NORMS):
                layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None

    def forward(self, *inputs: object) -> object:
        """Map the generator's inputs to its images."""
        with evaluating(self.network) as network:
            return network(*inputs)


def main() -> None:
    """Print a line a reading, and by how much the largest exceeds the smallest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--batch_size", type=int, default=100)
    given = parser.parse_args()
    content = files.read(files.find(given.checkpoint))
    data, make = load.real_data(content), None
    found = {}
    for averaged in (True, False):
        for per_batch in (False, True):
            module = load.rebuild(content)
            module.prepare_sampling()
            if not averaged:
                module.generator_ema = None
            elif module.generator_ema is None:
                raise SystemExit("the checkpoint has no averaged generator")
            if per_batch:
                name = "generator_ema" if averaged else "generator"
                sampler = BatchStatistics(getattr(module, name))
                sampler.latent_dim = module.latent_dim
                setattr(module, name, sampler)
            make = make or load.extractor_of(content, data)
            score = Evaluator(make(), n=given.n, metrics=["frechet"], batch_size=given.batch_size, cache=None)
            module._stats_step = module.iteration  # nothing is measured again
            scores = score(module, data)["scores"]
            value = next(value for key, value in scores.items() if key.startswith("fd") or key == "fid")
            found[averaged, per_batch] = value
            which = "averaged" if averaged else "newest"
            print(f"{which} generator, {'batch' if per_batch else 'running'} statistics: {value:.3f}", flush=True)
    print(f"largest / smallest: {max(found.values()) / min(found.values()):.3f}")


if __name__ == "__main__":
    main()
