"""What configs may name is said by code, under Hydra 1.3 and 1.4."""

import hydra
import pytest

from conftest import MODELS, needs
from lightning_gans import compose
from lightning_gans.checkpoints import roles
from lightning_gans.config.validation import target_nodes
from lightning_gans.runtime.instantiation import MAIN, OURS, VERSION, instantiate

MINE = {"_target_": "collections.Counter"}


def is_listed(target, names):
    """As Hydra 1.4 has it: the name itself, or a package before ``.*``."""
    return any(target == name or (name.endswith(".*") and target.startswith(name[:-1])) for name in names)


@pytest.mark.parametrize("model", MODELS)
def test_all_that_our_configs_name_is_listed(model):
    targets = {node["_target_"] for _, node in target_nodes(compose(f"model={model}", *needs(f"model={model}")), "")}
    assert len(targets) > 5
    assert [target for target in targets if not is_listed(target, roles.whitelist())] == []


def test_a_list_has_no_more_than_ours_torchs_and_what_is_trusted():
    for target in ("os.system", "torch.load", "torch.nn.Module", "torch.hub.load", "mine.Net", "lightning_gansx.A"):
        assert not is_listed(target, roles.whitelist())
    assert is_listed("mine.Net", roles.whitelist(["mine"]))
    assert not is_listed("mines.Net", roles.whitelist(["mine"]))


def test_a_users_own_config_names_anything():
    assert instantiate(MINE) == instantiate(MINE, allowed=["collections.Counter"]) == {}
    assert instantiate(None) is None


def test_hydra_itself_refuses_what_is_not_listed_as_of_1_4():
    """And a list is not widened by what is around it; 1.3 has none, and ``roles.check`` alone refuses."""
    if not hasattr(hydra.utils, "execution_whitelist"):
        assert {"version_base": "1.3"} == MAIN == VERSION
        assert instantiate(MINE, allowed=OURS) == {}
        return
    assert VERSION == {}
    with hydra.utils.execution_whitelist("collections.*"):
        for node in (MINE, {"a": MINE}, {**MINE, "_partial_": True}):
            with pytest.raises(hydra.errors.InstantiationException, match="not in the Hydra execution whitelist"):
                instantiate(node, allowed=OURS)


@pytest.mark.parametrize("option", ["_execution_whitelist_", "_isolate_"])
def test_a_checkpoint_says_nothing_of_the_list(option):
    node = {"_target_": "torch.optim.Adam", "_partial_": True, option: ["os.*"]}
    with pytest.raises(ValueError, match=f"model.g_optimizer.{option}: the checkpoint's config is malformed"):
        roles.check(
            {"_target_": "lightning_gans.models.dcgan.DCGAN", "g_optimizer": node}, roles.ROOT["model"], "model", ()
        )
