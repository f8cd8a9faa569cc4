"""IrregularConv in trainings: learning rate and decay of positions, and eq. 7."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
from ultralytics.models import yolo
from ultralytics.utils.torch_utils import unwrap_model

from akyolo.ops.irregular_conv import IrregularConv
from akyolo.upstream.training.trainer import DetectionTrainer
from tests.helpers.tiny_training import MODEL, arguments, write_images, write_model

IRREGULAR = MODEL.replace("AKConv, [16, 5, 2]", "IrregularConv, [16, 3, 2]").replace(
    "AKConv, [32, 3, 2]", "IrregularConv, [32, 3, 2, {shared: true}]"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("irregular")
    write_model(folder, IRREGULAR)
    write_images(folder, 12, 2)
    return folder


def ready(folder: Path, trainer: type, **changes: Any) -> Any:
    """Return a trainer before its first step."""
    files = {"model": str(folder / "tiny.yaml"), "data": str(folder / "data.yaml")}
    ready = trainer(overrides=arguments(folder, **{**files, **changes}))
    ready._setup_train()
    return ready


def groups_of_positions(trainer: Any) -> list[dict[str, Any]]:
    """Return the parameter group of the positions of each IrregularConv."""
    model = unwrap_model(trainer.model)
    positions = [module.positions for module in model.modules() if isinstance(module, IrregularConv)]
    assert [p.shape[0] for p in positions] == [16, 1]
    held = [[g for g in trainer.optimizer.param_groups if any(p is one for one in g["params"])] for p in positions]
    assert [len(groups) for groups in held] == [1, 1]
    return [groups[0] for groups in held]


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "MuSGD"])
@pytest.mark.parametrize("offset_lr", [1, 50])
def test_positions_have_their_learning_rate_and_neither_decay_nor_muon(folder, optimizer, offset_lr):
    trainer = ready(folder, DetectionTrainer, optimizer=optimizer, offset_lr=offset_lr, lr0=0.01)
    for group in groups_of_positions(trainer):
        assert group["weight_decay"] == 0
        assert not group.get("use_muon", False)
        assert group["lr"] == pytest.approx(offset_lr * 0.01)
    everything = [id(p) for group in trainer.optimizer.param_groups for p in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(trainer.model.parameters()))


def test_the_automatic_optimizer_of_long_trainings_treats_them_alike(folder):
    trainer = ready(folder, DetectionTrainer, offset_lr=50)
    trainer.optimizer = trainer.build_optimizer(trainer.model, name="auto", iterations=20_000)
    assert type(trainer.optimizer).__name__ == "MuSGD"
    for group in groups_of_positions(trainer):
        assert (group["weight_decay"], group["use_muon"], group["lr"]) == (0, False, pytest.approx(0.5))


def test_muon_leaves_them_alone_under_the_stock_trainer_too(folder):
    for group in groups_of_positions(ready(folder, yolo.detect.DetectionTrainer, optimizer="MuSGD", lr0=0.01)):
        assert not group.get("use_muon", False)
        assert group["lr"] == pytest.approx(0.01)


def much_steeper(trainer: Any) -> None:
    for module in trainer.model.modules():
        if isinstance(module, IrregularConv):
            module.positions.register_hook(lambda grad: grad.sign() * 500)


def test_eq_7_holds_after_each_step_under_our_trainer(folder):
    """The averaged copy, which is validated and saved, then has valid positions too."""
    trainer = ready(folder, DetectionTrainer, lr0=0.01, warmup_epochs=0, offset_lr=50_000)
    trainer.scaler.scale(trainer.model(trainer.preprocess_batch(next(iter(trainer.train_loader))))[0].sum()).backward()
    trainer.optimizer_step()
    layers = [module for module in trainer.model.modules() if isinstance(module, IrregularConv)]
    for layer in layers:
        moved = (layer.positions - layer.last_positions).abs()
        assert 0.5 < moved.max() <= 1.2


@pytest.mark.training
@pytest.mark.parametrize("nbs", [4, 12])
def test_eq_7_holds_under_the_stock_trainer(folder, nbs, monkeypatch):
    """The learning rate is huge; with nbs=12 gradients accumulate over three passes."""
    used: dict[int, list[torch.Tensor]] = {}
    clamp = IrregularConv.after_step

    def recorded(op: IrregularConv) -> None:
        clamp(op)
        used.setdefault(id(op), []).append(op.positions.detach().clone())

    monkeypatch.setattr(IrregularConv, "after_step", recorded)
    model = ultralytics.YOLO(str(folder / "tiny.yaml"))

    model.add_callback("on_train_start", much_steeper)
    name = f"eq-7-{nbs}"
    model.train(**arguments(folder, data=str(folder / "data.yaml"), epochs=3, nbs=nbs, name=name, lr0=0.01))
    assert len(used) == 2  # validation and averaged copies never clamp
    for steps in used.values():
        assert len(steps) == 9
        changed = 0
        for last, new in pairwise(steps):
            assert (new >= last.floor() - 0.1 - 1e-5).all() and (new <= last.ceil() + 0.1 + 1e-5).all()
            changed += not torch.equal(last, new)
        assert changed == (8 if nbs == 4 else 2)
