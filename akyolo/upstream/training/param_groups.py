"""What a module asks of the optimizer: a rate of its own (`offset_lr`, for what moves taps), no decay, a last word.

Upstream's groups stay where they are and keep their tags; ours come after them, in a fixed order, so that a resumed
optimizer state finds the same layout. Relies on upstream's `build_optimizer` returning a fresh optimizer, its schedule
and warm-up writing nothing but `lr` and `momentum` of groups, and `optimizer_step` coming after both.
"""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.used_by import modules_with, offset_parameters


def split_offset_groups(optimizer: Optimizer, model: nn.Module, multiplier: float) -> None:
    """Give the parameters that any module's `offset_parameters()` yields groups with `multiplier` times the rate.

    Each new group has every setting of the group that its parameters leave, and remembers its number.

    Raises:
        ConfigError: nothing in the model moves taps.
    """
    if multiplier == 1:
        return
    movers = {id(parameter) for parameter in offset_parameters(model)}
    if not movers:
        raise ConfigError(f"'offset_lr={multiplier}' has no effect: no layer of this model moves its taps")
    for number, group in enumerate(list(optimizer.param_groups)):
        moved = [parameter for parameter in group["params"] if id(parameter) in movers]
        if moved:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in movers]
            optimizer.add_param_group({**group, "params": moved, "lr": multiplier * group["lr"], "split_from": number})


def follow_upstream_rates(groups: list[dict[str, Any]], multiplier: float) -> None:
    """Set our groups to `multiplier` times the rate that the groups they were split from have right now.

    During warm-up upstream lets the rate of every group tagged `bias` fall from `warmup_bias_lr`, whatever rate the
    group was made with: what it wrote there is not scaled.
    """
    for group in groups:
        if "split_from" in group:
            group["lr"] = multiplier * groups[group["split_from"]]["lr"]


def call_after_steps(optimizer: Optimizer, model: nn.Module) -> None:
    """Let modules with `after_step()` mend their parameters after every step, before they are averaged or saved."""
    after = modules_with(model, "after_step")

    def mend(*_: Any) -> None:
        for module in after:
            module.after_step()

    optimizer.register_step_post_hook(mend)


def exempt_from_decay(optimizer: Optimizer, model: nn.Module) -> None:
    """Move what any module's `undecayed_parameters()` yields to upstream's group without decay, that of BN weights.

    With MuSGD there are two such groups, the first with three times the rate: each parameter keeps its rate.
    """
    asking = modules_with(model, "undecayed_parameters")
    exempt = {id(parameter) for module in asking for parameter in module.undecayed_parameters()}
    without_decay = [group for group in optimizer.param_groups if group.get("param_group") == "bn"]
    for group in optimizer.param_groups:
        moved = [parameter for parameter in group["params"] if id(parameter) in exempt]
        if moved:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in exempt]
            next(other for other in without_decay if other["lr"] == group["lr"])["params"] += moved
