"""Data parallel training: what does not need a second process. See test_ddp.py."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lightning_gans.strategy import AlternatingDDP, rank_and_world, sum_over_processes


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 2}])
def test_processes_of_different_configurations_are_refused(other, monkeypatch):
    """As jobs of a multirun that share a launcher would be."""
    given = {}

    def gathered(digests, mine):
        given.setdefault("first", mine)
        digests[:] = [given["first"], mine]

    sent = []
    monkeypatch.setattr(dist, "all_gather_object", gathered)
    monkeypatch.setattr(dist, "broadcast", lambda tensor, source: sent.append(tensor))
    module = nn.Linear(2, 2)
    processes = SimpleNamespace(lightning_module=module, world_size=2)
    module.config = {"seed": 1}
    AlternatingDDP.configure_ddp(processes)
    assert len(sent) == 2
    module.config = other
    if other != {"seed": 1}:
        with pytest.raises(ValueError, match="different configurations; in a multirun give every job its own"):
            AlternatingDDP.configure_ddp(processes)
    else:
        AlternatingDDP.configure_ddp(processes)


def test_alone_there_is_one_process_and_nothing_to_add():
    assert rank_and_world() == (0, 1)
    values = torch.tensor([1.0, 2.0])
    assert sum_over_processes(values) is values
    assert values.tolist() == [1.0, 2.0]
