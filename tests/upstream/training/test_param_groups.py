"""`offset_lr` scales the steps of offset parameters, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
import yaml
from ultralytics.models import yolo
from ultralytics.utils import DEFAULT_CFG_DICT, callbacks

from akyolo import YOLO
from akyolo.errors import ConfigError
from akyolo.upstream.arguments.hyperparameters import check_hyperparameters
from akyolo.upstream.patches import defaults
from akyolo.upstream.patches.defaults import refuse_under_stock_trainer
from akyolo.upstream.training.trainer import TRAINERS, DetectionTrainer
from tests.helpers.tiny_training import PLAIN, arguments, write_images, write_model

OPTIMIZERS = ["SGD", "AdamW", "RMSprop", "MuSGD"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offset-lr")
    write_model(folder)
    write_images(folder, 12, 2)
    return folder


def trainer_of(folder: Path, trainer: type = DetectionTrainer, **changes: Any) -> Any:
    files = {"model": str(folder / "tiny.yaml"), "data": str(folder / "data.yaml")}
    return trainer(overrides=arguments(folder, **{**files, **changes}))


def ready(folder: Path, **changes: Any) -> Any:
    """Return a trainer before its first step, in float64 so that rounding hides nothing."""
    trainer = trainer_of(folder, **changes)
    trainer._setup_train()
    trainer.model.double()
    trainer.ema = None
    return trainer


def one_step(trainer: Any) -> dict[str, torch.Tensor]:
    """Return how far a step moves each parameter, with the same gradients for every trainer."""
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    random = torch.Generator().manual_seed(1)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    trainer.optimizer_step()
    return {name: parameter.detach() - before[name] for name, parameter in trainer.model.named_parameters()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_step_moves_offsets_a_tenth_as_far_and_the_rest_as_far(folder: Path, optimizer: str) -> None:
    # MuSGD decays parameters after its Muon half has moved them: the factor is exact to first order only, unless decay
    # is 0.
    chosen = {"optimizer": optimizer, "weight_decay": 0.0 if optimizer == "MuSGD" else 0.0005}
    whole = one_step(ready(folder, **chosen))
    tenth = one_step(ready(folder, **chosen, offset_lr=0.1))
    offsets = [name for name in whole if "offset_conv" in name]
    assert offsets == [f"model.{row}.offset_conv.{kind}" for row in (1, 2) for kind in ("weight", "bias")]
    for name in offsets:
        assert whole[name].abs().max() > 0
        torch.testing.assert_close(tenth[name], 0.1 * whole[name], rtol=1e-9, atol=1e-14)
    for name in whole.keys() - set(offsets):
        assert torch.equal(tenth[name], whole[name]), name


def rates_while_training(folder: Path, offset_lr: float, **changes: Any) -> list[dict[str, float]]:
    """Record the learning rate of each parameter at every step of a training."""
    trainer = trainer_of(folder, offset_lr=offset_lr, **changes)
    rates: list[dict[str, float]] = []

    def listen(trainer: Any) -> None:
        names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}

        def before_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            groups = optimizer.param_groups
            rates.append({names[id(p)]: group["lr"] for group in groups for p in group["params"]})

        trainer.optimizer.register_step_pre_hook(before_step)

    trainer.add_callback("on_train_start", listen)
    trainer.train()
    return rates


@pytest.mark.training
def test_the_factor_holds_at_every_step_of_warm_up_and_decay(folder: Path) -> None:
    schedule = {"epochs": 4, "warmup_epochs": 2, "warmup_bias_lr": 0.1, "lr0": 0.01, "lrf": 0.1, "val": False}
    whole = rates_while_training(folder, 1.0, **schedule)
    tenth = rates_while_training(folder, 0.1, **schedule)
    assert len(whole) == len(tenth) == 12
    assert whole[0]["model.1.offset_conv.bias"] == 0.1  # warm-up lets biases fall from here
    for one, other in zip(whole, tenth, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert other[name] == pytest.approx(one[name] * (0.1 if "offset_conv" in name else 1), rel=1e-12), name


def layout(optimizer: torch.optim.Optimizer) -> list[tuple[Any, ...]]:
    keys = ("param_group", "lr", "weight_decay", "momentum", "betas", "use_muon", "nesterov", "split_from")
    return [(*(group.get(key) for key in keys), len(group["params"])) for group in optimizer.param_groups]


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "auto"])
def test_new_groups_keep_every_setting_of_the_group_they_leave(folder: Path, optimizer: str) -> None:
    whole = layout(ready(folder, optimizer=optimizer).optimizer)
    tenth = layout(ready(folder, optimizer=optimizer, offset_lr=0.1).optimizer)
    kept, added = tenth[: len(whole)], tenth[len(whole) :]
    assert [group[:-1] for group in kept] == [group[:-1] for group in whole]
    assert len(added) == 2  # weights and biases
    for tag, lr, *others, split_from, size in added:
        left = whole[split_from]
        assert (tag, *others) == (left[0], *left[2:-2])
        assert lr == pytest.approx(0.1 * left[1])
        assert kept[split_from][-1] + size == left[-1]


def test_the_automatic_optimizer_of_long_trainings_is_split_too(folder: Path) -> None:
    trainer = ready(folder, offset_lr=0.1)
    optimizer = trainer.build_optimizer(trainer.model, name="auto", iterations=20_000)
    assert type(optimizer).__name__ == "MuSGD"
    assert [group["param_group"] for group in optimizer.param_groups if "split_from" in group] == ["bias", "muon"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_at_1_the_groups_are_those_of_upstream(folder: Path, optimizer: str) -> None:
    (stock,) = (upstream for upstream, ours in TRAINERS.items() if ours is DetectionTrainer)
    theirs = trainer_of(folder, stock, optimizer=optimizer)
    theirs._setup_train()
    assert layout(ready(folder, optimizer=optimizer).optimizer) == layout(theirs.optimizer)


@pytest.mark.training
def test_it_is_kept_in_files_and_resumed_with_the_same_groups(folder: Path) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    def stop(trainer: Any) -> None:
        raise Stop

    model = YOLO(str(folder / "tiny.yaml"))
    model.add_callback("on_model_save", stop)
    given = arguments(folder, data=str(folder / "data.yaml"), offset_lr=0.1, name="resumed")
    with pytest.raises(Stop):
        model.train(**given)
    weights = model.trainer.last
    saved = torch.load(weights, weights_only=False)
    assert yaml.safe_load((model.trainer.save_dir / "args.yaml").read_text())["offset_lr"] == 0.1
    assert saved["train_args"]["offset_lr"] == 0.1

    resumed = DetectionTrainer(overrides={"model": str(weights), "resume": str(weights)})
    resumed._setup_train()
    assert resumed.args.offset_lr == 0.1
    assert layout(resumed.optimizer) == layout(model.trainer.optimizer)
    before, after = model.trainer.optimizer, resumed.optimizer
    for old, new in zip(before.param_groups, after.param_groups, strict=True):
        assert old["initial_lr"] == new["initial_lr"]
        for mine, theirs in zip(old["params"], new["params"], strict=True):
            if mine in before.state:  # it has a gradient
                expected = before.state[mine]["momentum_buffer"].half().float()  # upstream stores half
                assert torch.equal(after.state[theirs]["momentum_buffer"], expected)


@pytest.mark.training
def test_a_model_without_offset_parameters_is_refused(folder: Path) -> None:
    still = folder / "still"
    still.mkdir()
    trainer = trainer_of(folder, model=write_model(still, PLAIN), offset_lr=0.1)
    with pytest.raises(ConfigError, match="no layer of this model learns offsets") as refused:
        trainer.train()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [-0.1, "fast", "0.1", None, True, float("nan"), float("inf"), [0.1]])
def test_values_that_no_training_can_use_are_refused_before_anything_is_written(folder: Path, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"offset_lr=.*must be a number of at least 0"):
        check_hyperparameters({"offset_lr": value, "lr0": "not ours"})
    with pytest.raises(ConfigError, match="offset_lr"):
        trainer_of(folder, offset_lr=value, project=str(folder / "refused"))
    with pytest.raises(ConfigError, match="offset_lr"):
        DetectionTrainer(cfg={**DEFAULT_CFG_DICT, "offset_lr": value, "project": str(folder / "refused")})
    assert not (folder / "refused").exists()


@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5])
def test_other_numbers_are_not(value: float) -> None:
    check_hyperparameters({"offset_lr": value})


def test_0_keeps_offsets_where_they_start(folder: Path) -> None:
    moved = one_step(ready(folder, offset_lr=0))
    assert all((delta == 0).all() == ("offset_conv" in name) for name, delta in moved.items())


@pytest.mark.parametrize("stock", [*TRAINERS, yolo.depth.DepthTrainer], ids=lambda stock: stock.__name__)
def test_a_stock_trainer_of_any_task_stops_in_one_line(folder: Path, stock: type) -> None:
    with pytest.raises(ConfigError, match=r"'offset_lr=0.1' has no effect.*akyolo\.YOLO") as refused:
        trainer_of(folder, stock, offset_lr=0.1)
    assert "\n" not in str(refused.value)


@pytest.mark.training
def test_plain_upstream_stops_too_and_trains_at_the_default(folder: Path) -> None:
    model = ultralytics.YOLO(str(folder / "tiny.yaml"))
    given = arguments(folder, data=str(folder / "data.yaml"), epochs=1, name="plain")
    with pytest.raises(ConfigError, match=r"akyolo\.YOLO"):
        model.train(**given, offset_lr=0.1)
    assert model.train(**given, offset_lr=1.0) is not None


def test_installing_twice_leaves_one_guard() -> None:
    defaults.install()
    assert callbacks.get_default_callbacks()["on_pretrain_routine_start"].count(refuse_under_stock_trainer) == 1
