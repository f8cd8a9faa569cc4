"""Group parameters by learning rate and weight decay.

The parameter groups of Ultralytics stay in place and keep their tags. Ours follow in a fixed order, so that the state
of a resumed optimizer finds the same layout. This relies on upstream: `build_optimizer` returns a fresh optimizer,
schedule and warm-up write only `lr` and `momentum` of groups, and `optimizer_step` comes after both.
"""

from typing import Any

from torch import nn
from torch.optim import Optimizer

from akyolo.errors import ConfigError
from akyolo.upstream.arguments.used_by import modules_with, offset_parameters


def split_offset_groups(optimizer: Optimizer, model: nn.Module, multiplier: float) -> None:
    """Give offset parameters their own learning rate.

    A new group copies every setting of the group that its parameters leave, and stores the number of that group.

    Args:
        optimizer: of the model; changed in place.
        model: its modules yield offset parameters by `offset_parameters()`.
        multiplier: the learning rate of offset parameters, as a multiple of that of the group they leave.

    Raises:
        ConfigError: the model has no offset parameters.
    """
    if multiplier == 1:
        return
    offsets = {id(parameter) for parameter in offset_parameters(model)}
    if not offsets:
        raise ConfigError(f"'offset_lr={multiplier}' has no effect: no layer of this model learns offsets")
    for number, group in enumerate(list(optimizer.param_groups)):
        moved = [parameter for parameter in group["params"] if id(parameter) in offsets]
        if moved:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in offsets]
            optimizer.add_param_group({**group, "params": moved, "lr": multiplier * group["lr"], "split_from": number})


def follow_upstream_rates(groups: list[dict[str, Any]], multiplier: float) -> None:
    """Follow the learning rates of upstream's groups.

    During warm-up Ultralytics lowers the learning rate of every group tagged `bias` from `warmup_bias_lr`, whatever the
    group began with. So the rate is computed from the original group, not scaled in place.

    Args:
        groups: of the optimizer; ours get `multiplier` times the learning rate of the group they were split from.
        multiplier: the value of `offset_lr`.
    """
    for group in groups:
        if "split_from" in group:
            group["lr"] = multiplier * groups[group["split_from"]]["lr"]


def call_after_steps(optimizer: Optimizer, model: nn.Module) -> None:
    """Call `after_step()` of modules after each step.

    They correct their parameters there, before these are averaged or saved.
    """
    modules = modules_with(model, "after_step")

    def correct(*_: Any) -> None:
        for module in modules:
            module.after_step()

    optimizer.register_step_post_hook(correct)


def exempt_from_decay(optimizer: Optimizer, model: nn.Module) -> None:
    """Exempt `undecayed_parameters()` of modules from weight decay.

    They move to the group without weight decay.

    That is the group of BatchNorm weights. MuSGD has two of them, the first with three times the learning rate: each
    parameter keeps its learning rate.
    """
    modules = modules_with(model, "undecayed_parameters")
    exempt = {id(parameter) for module in modules for parameter in module.undecayed_parameters()}
    without_decay = [group for group in optimizer.param_groups if group.get("param_group") == "bn"]
    for group in optimizer.param_groups:
        moved = [parameter for parameter in group["params"] if id(parameter) in exempt]
        if moved:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in exempt]
            next(other for other in without_decay if other["lr"] == group["lr"])["params"] += moved
