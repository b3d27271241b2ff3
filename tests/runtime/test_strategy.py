"""What processes do together beside training."""

import threading
from types import SimpleNamespace

import pytest
from torchvision.models import VGG19_Weights

from lightning_gans.evaluation.selection import available_metrics
from lightning_gans.extractors.digits import DigitsExtractor
from lightning_gans.losses.perceptual import Perceptual
from lightning_gans.metrics.library import as_metrics
from lightning_gans.runtime.distributed import create_on_all_ranks, dist

RANKS = [(machine, local) for machine in (0, 1) for local in (0, 1)]


class Cluster:
    """Two processes on each of two machines, as threads."""

    def __init__(self, monkeypatch):
        self.barrier, self.rank = threading.Barrier(len(RANKS)), threading.local()
        self.turns, self.told = {}, {}
        monkeypatch.setattr(dist, "all_gather_object", self.gather)

    def gather(self, found, value):
        self.told[self.rank.rank] = value
        self.barrier.wait(60)
        found[:] = [self.told[rank] for rank in RANKS]

    def run(self, work):
        """``work(trainer)`` on every process; what each returned or raised."""
        done = {}

        def process(rank):
            self.rank.rank, self.rank.passed = rank, 0
            strategy = SimpleNamespace(barrier=self.wait)
            trainer = SimpleNamespace(
                local_rank=rank[1], is_global_zero=rank == (0, 0), world_size=len(RANKS), strategy=strategy
            )
            try:
                done[rank] = work(trainer)
            except Exception as error:
                done[rank] = error

        threads = [threading.Thread(target=process, args=(rank,)) for rank in RANKS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return done

    def wait(self):
        self.barrier.wait(60)
        self.rank.passed += 1

    def download(self, *_, fails_on=None, **__):
        """Note after how many barriers this process came."""
        self.turns[self.rank.rank] = self.rank.passed
        if self.rank.rank == fails_on:
            raise OSError("no network")
        return "made"


@pytest.fixture
def cluster(monkeypatch):
    return Cluster(monkeypatch)


FIRST_OF_EACH_MACHINE = {(machine, local): local for machine, local in RANKS}


def test_the_first_process_of_each_machine_downloads_alone(cluster):
    assert set(cluster.run(lambda trainer: create_on_all_ranks(cluster.download, trainer)).values()) == {("made", "")}
    assert cluster.turns == FIRST_OF_EACH_MACHINE


def test_extractors_and_losses_are_downloaded_so(cluster, monkeypatch):
    cluster.run(
        lambda trainer: available_metrics(
            as_metrics(["frechet"]), lambda: cluster.download() and DigitsExtractor(), was_asked=False, trainer=trainer
        )
    )
    assert cluster.turns == FIRST_OF_EACH_MACHINE
    cluster.turns.clear()
    monkeypatch.setattr(VGG19_Weights, "get_state_dict", cluster.download)
    losses = {}

    def settle(trainer):
        loss = losses[cluster.rank.rank] = Perceptual("auto", ["relu1_1"], instead="")
        return loss._download(trainer)

    assert all("could not be had" in problem for problem in cluster.run(settle).values())  # "made" is no state dict
    assert cluster.turns == FIRST_OF_EACH_MACHINE
    assert not any(loss.on for loss in losses.values())


def test_what_one_process_cannot_have_none_has(cluster):
    done = cluster.run(lambda trainer: create_on_all_ranks(lambda: cluster.download(fails_on=(1, 1)), trainer))
    assert set(done.values()) == {(None, "no network")}
    assert create_on_all_ranks(lambda: cluster, None) == (cluster, "")
