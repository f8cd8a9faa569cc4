"""A loss that is not finite stops the training at its step."""

import copy

import pytest
import torch

import akyolo
from akyolo.errors import TrainingError
from tests.helpers.tiny_training import arguments, write_images, write_model

pytestmark = pytest.mark.training


def poison_step(step):
    """Return a callback that makes a weight NaN before a batch, counted from 0."""
    batches = iter(range(1000))

    def callback(trainer):
        if next(batches) == step:
            trainer.model.model[1].conv.weight.data[0, 0, 0, 0] = float("nan")

    return callback


@pytest.mark.parametrize("step", [0, 1, 4])
def test_training_stops_at_that_step_and_the_dump_reproduces_it(step, tmp_path):
    model = akyolo.YOLO(write_model(tmp_path))
    steps = []
    model.add_callback("on_train_batch_start", poison_step(step))
    model.add_callback("on_train_batch_end", lambda trainer: steps.append(1))
    settings = arguments(tmp_path, data=write_images(tmp_path, 12, 4), val=False, epochs=3)
    with pytest.raises(TrainingError, match=f"not finite in epoch {step // 3 + 1}") as caught:
        model.train(**settings)
    assert len(steps) == step
    assert "images/train/" in str(caught.value)

    dump = torch.load(model.trainer.save_dir / "not_finite.pt", weights_only=False)
    assert len(dump["images"]) == 4 and dump["epoch"] == step // 3 + 1
    again = copy.deepcopy(model.trainer.model)
    again.load_state_dict(dump["model"])
    again.args = model.trainer.args
    loss, _ = again.train()(dump["batch"])
    assert not loss.sum().isfinite()
    for saved in model.trainer.wdir.glob("*.pt"):  # nothing that is not finite was saved
        state = torch.load(saved, weights_only=False)["ema"].state_dict()
        assert all(value.isfinite().all() for value in state.values())


def test_recovery_as_upstream_needs_nan_recovery(tmp_path):
    model = akyolo.YOLO(write_model(tmp_path))
    model.add_callback("on_train_batch_start", poison_step(5))
    settings = arguments(tmp_path, data=write_images(tmp_path, 12, 4), epochs=3, nan_recovery=True)
    epochs = []
    model.add_callback(
        "on_train_epoch_start", lambda trainer: epochs.append((trainer.epoch, trainer.nan_recovery_attempts))
    )
    model.train(**settings)
    assert epochs == [(0, 0), (1, 0), (1, 1), (2, 0)]  # epoch 2 again, from last.pt
