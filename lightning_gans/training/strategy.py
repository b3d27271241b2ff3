"""Data parallel training of two players."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins import LayerSync
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.optim import Optimizer

from lightning_gans.networks.sync_batch_norm import desynchronise, synchronise
from lightning_gans.runtime.distributed import average_gradients, broadcast_tensors, gather_objects
from lightning_gans.runtime.seeding import derive_seed


class SyncBatchNormPlugin(LayerSync):
    """Let the trained networks have batch norm's statistics from all processes while they train.

    Not the averaged generator, whose statistics are measured, on the same samples by every process.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Synchronise the networks of a module; they stay the same objects."""
        synchronise(_trained(model))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo ``apply``."""
        desynchronise(_trained(model))
        return model


def _trained(model: nn.Module) -> list[nn.Module]:
    average = getattr(model, "generator_ema", None)
    return [network for network in model.children() if network is not average]


class AlternatingDDP(DDPStrategy):
    """Average one player's gradients over the processes just before that player steps.

    The module is not wrapped: Lightning's wrapper watches the parameters of both players at every backward, which
    needs ``find_unused_parameters``, sends twice the bytes and breaks on growing networks. Modules weight their losses,
    means over local batches, by how many images each process has.
    """

    def setup(self, trainer: Trainer) -> None:
        """Set up as Lightning does, with our batch norm for ``sync_batchnorm``: torch's refuses CPU tensors."""
        if self._layer_sync is not None:
            self._layer_sync = SyncBatchNormPlugin()
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Give every process the weights of process 0, and make sure that all train the same configuration."""
        module: Any = self.lightning_module
        digests = gather_objects(derive_seed(repr(module.config)), self.world_size)
        if len(set(digests)) > 1:
            raise ValueError(
                "the processes were started with different configurations; in a multirun give every job its own "
                "processes (torchrun, SLURM) or train on one device"
            )
        broadcast_tensors(tensor.data for tensor in [*module.parameters(), *module.buffers()])

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        """Average the gradients, then unscale, clip and step as in one process."""
        result = closure()
        average_gradients([p for group in optimizer.param_groups for p in group["params"]])
        return super().optimizer_step(optimizer, lambda: result, model, **kwargs)
