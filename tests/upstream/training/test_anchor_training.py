"""An anchor head in every mode of Ultralytics: train, val, resume, tune, export, predict."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import ultralytics
import yaml
from ultralytics.utils.torch_utils import unwrap_model

from akyolo import YOLO
from akyolo.errors import CheckpointError, ConfigError, RowError, TrainingError
from akyolo.heads import AnchorDetect, IDetect
from akyolo.upstream import model as model_file
from akyolo.upstream.training import autoanchor
from akyolo.upstream.training.trainer import DetectionTrainer
from akyolo.upstream.training.tuning import ANCHOR_SPACE
from tests.helpers.tiny_training import ANCHORED, arguments, write_images, write_model

HEADS = {"AnchorDetect": AnchorDetect, "IDetect": IDetect}
LOSSES = ["box_loss", "obj_loss", "cls_loss"]


@pytest.fixture(scope="module", params=HEADS)
def trained(request, tmp_path_factory):
    """Train two epochs with each head."""
    folder = tmp_path_factory.mktemp(request.param)
    write_model(folder, ANCHORED.replace("AnchorDetect", request.param))
    data = write_images(folder, 8, 4)
    model = YOLO(str(folder / "tiny.yaml"))
    model.train(data=data, **arguments(folder, name="first", save_period=1, lr0=0.02))
    return folder, HEADS[request.param], model


def results(save_dir: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((save_dir / "results.csv").read_text().splitlines()))


@pytest.mark.training
def test_losses_appear_by_name_and_fall(trained):
    _, head, model = trained
    rows = results(Path(model.trainer.save_dir))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for part in ("train", "val"):
        assert all(float(row[f"{part}/{name}"]) >= 0 for row in rows for name in LOSSES)
    assert sum(float(rows[1][f"train/{name}"]) for name in LOSSES) < sum(
        float(rows[0][f"train/{name}"]) for name in LOSSES
    )
    assert type(YOLO(model.trainer.best).model.model[-1]) is head
    assert all(name in model.trainer.progress_string() for name in LOSSES)


@pytest.mark.training
def test_resume_continues_at_the_next_epoch(trained, monkeypatch):
    _, _, model = trained
    unfinished = Path(model.trainer.save_dir) / "weights" / "epoch0.pt"
    again = YOLO(unfinished)
    again.train(resume=True)
    assert again.trainer.start_epoch == 1 and again.trainer.args.recipe == "yolov5"
    assert [row["epoch"] for row in results(Path(again.trainer.save_dir))][-1] == "2"


@pytest.mark.training
def test_boxes_of_the_onnx_file_are_those_of_the_checkpoint(trained, tmp_path):
    folder, _, model = trained
    path = tmp_path / "model.pt"
    confident = YOLO(model.trainer.best)
    head = confident.model.model[-1]
    for conv in head.convs:
        conv.bias.data.view(head.na, head.no)[:, 4:] += 6  # two epochs find nothing yet
    confident.save(path)
    file = YOLO(path).export(format="onnx", imgsz=64, dynamic=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for shape in [(1, 3, 64, 64), (2, 3, 96, 160)]:
        x = np.random.default_rng(0).random(shape, dtype=np.float32)
        (theirs,) = session.run(None, {session.get_inputs()[0].name: x})
        with torch.no_grad():
            ours = YOLO(path).model.float().eval()(torch.from_numpy(x))[0].numpy()
        assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1e-3 * np.abs(ours).max()
    image = str(next((folder / "data" / "images" / "val").iterdir()))
    boxes = [YOLO(weights).predict(image, imgsz=64)[0].boxes.data for weights in (path, file)]
    assert len(boxes[0]) > 1 and boxes[0].shape == boxes[1].shape
    apart = torch.cdist(boxes[0].double(), boxes[1].double())  # equal scores may come in another order
    assert apart.min(0).values.max() < 0.02 > apart.min(1).values.max()


@pytest.mark.training
def test_plain_ultralytics_trains_it_and_logs_the_recipe(in_tmp, caplog):
    model = ultralytics.YOLO(write_model(in_tmp, ANCHORED))
    model.train(data=write_images(in_tmp, 4, 2), **arguments(in_tmp, epochs=1, obj=0.5))
    assert set(LOSSES) <= {key.removeprefix("train/") for key in results(Path(model.trainer.save_dir))[0]}
    assert model.trainer.model.criterion.args.obj == 0.5
    assert "not the model's recipe yolov5" in caplog.text and "box=7.5" in caplog.text


@pytest.mark.training
def test_the_validator_of_an_epoch_matches_by_ratio_and_training_by_ota(trained, monkeypatch):
    folder, head, _ = trained
    called = []
    from akyolo.heads import losses

    matched = losses.match_ota
    monkeypatch.setattr(losses, "match_ota", lambda *a: called.append(torch.is_grad_enabled()) or matched(*a))
    model = YOLO(str(folder / "tiny.yaml"))
    model.train(data=str(folder / "data.yaml"), **arguments(folder, name="matched", epochs=1))
    assert called == ([True, True] if head is IDetect else [])


@pytest.mark.training
@pytest.mark.parametrize("head", HEADS)
def test_two_processes_on_cpu(head, tmp_path):
    """Under torchrun both ranks have the same result, and the table has the losses of rank 0."""
    write_model(tmp_path, ANCHORED.replace("AnchorDetect", head))
    data = write_images(tmp_path, 8, 4)
    given = [f"{key}={value}" for key, value in arguments(tmp_path, data=data, epochs=1).items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "akyolo.cli"]
    done = subprocess.run(
        [*command, "train", str(tmp_path / "tiny.yaml"), *given],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (table,) = tmp_path.glob("runs/**/results.csv")
    assert set(LOSSES) <= {key.removeprefix("val/") for key in next(csv.DictReader(table.read_text().splitlines()))}


@pytest.mark.training
def test_tune_trains_in_this_process_within_the_range_of_the_gains(in_tmp):
    data = write_images(in_tmp, 4, 2)
    YOLO(write_model(in_tmp, ANCHORED)).tune(data=data, iterations=2, **arguments(in_tmp, epochs=1))
    (file,) = in_tmp.rglob("best_hyperparameters.yaml")
    best = yaml.safe_load(file.read_text())
    assert best.keys() == ANCHOR_SPACE.keys()
    assert all(low <= best[key] <= high for key, (low, high) in ANCHOR_SPACE.items())
    rows = [json.loads(line) for line in file.with_name("tune_results.ndjson").read_text().splitlines()]
    assert len(rows) == 2 and all(metrics for row in rows for metrics in row["datasets"].values())


def test_a_search_without_a_finished_training_is_an_error(in_tmp, monkeypatch):
    def fail(self):
        raise ValueError("broken")

    monkeypatch.setattr(DetectionTrainer, "train", fail)
    data = write_images(in_tmp, 4, 2)
    with pytest.raises(TrainingError, match="no training of this search finished"):
        YOLO(write_model(in_tmp, ANCHORED)).tune(data=data, iterations=1, **arguments(in_tmp, epochs=1))


@pytest.mark.parametrize(
    ("given", "left"), [({"use_ray": True}, None), ({"space": {"lr0": (0.1, 0.2)}}, {"lr0": (0.1, 0.2)})]
)
def test_ray_and_a_space_of_the_user_are_kept(in_tmp, monkeypatch, given, left):
    passed: dict[str, Any] = {}
    monkeypatch.setattr(ultralytics.YOLO, "tune", lambda self, **given: passed.update(given))
    monkeypatch.setattr(model_file, "check_packages", lambda purpose: None)
    YOLO(write_model(in_tmp, ANCHORED)).tune(data="data.yaml", **given)
    assert passed.get("space") == left and passed["recipe"] == "yolov5"


def test_images_of_many_shapes_with_rect(in_tmp, caplog):
    trainer = trainer_of(in_tmp, images=12, rect=True)
    assert "shape" not in trainer.train_loader.dataset.labels[0]
    assert "match 100.0% of 12 boxes" in caplog.text


@pytest.mark.training
def test_anchors_come_with_weights_only_where_the_yaml_is_the_same(in_tmp, caplog):
    far = ANCHORED.replace("[14, 14, 28, 28]", "[200, 200, 300, 150]")
    model = YOLO(write_model(in_tmp, far))
    data = write_images(in_tmp, 12, 2)
    model.train(data=data, **arguments(in_tmp, epochs=1))  # these anchors are replaced by fitted ones
    last, fitted = str(model.trainer.last), model.trainer.model.model[-1].anchors_px
    assert torch.equal(YOLO(str(in_tmp / "tiny.yaml")).load(last).model.model[-1].anchors_px, fitted)
    (in_tmp / "other.yaml").write_text(ANCHORED.replace("[14, 14, 28, 28]", "[20, 20, 30, 30]"))
    other = YOLO(str(in_tmp / "other.yaml"))
    other.train(data=data, **arguments(in_tmp, epochs=1, pretrained=last, name="other"))
    assert other.trainer.model.model[-1].anchors_px.flatten().tolist() == [20, 20, 30, 30]
    assert YOLO(str(in_tmp / "other.yaml")).load(last).model.model[-1].anchors_px.flatten().tolist() == [20, 20, 30, 30]


@pytest.mark.training
def test_several_data_sets_one_after_the_other(in_tmp):
    (in_tmp / "a").mkdir()
    (in_tmp / "b").mkdir()
    sets = [write_images(in_tmp / name, 4, 2) for name in ("a", "b")]
    metrics = YOLO(write_model(in_tmp, ANCHORED)).train(data=sets, **arguments(in_tmp, epochs=1))
    assert len(metrics) == 2 and all(metrics.values())


@pytest.mark.parametrize("key", ["cls_pw", "dfl", "distill_model"])
def test_what_the_loss_of_an_anchor_head_does_not_read_is_refused(in_tmp, key):
    value = {"cls_pw": 0.5, "dfl": 2.0, "distill_model": "yolo26n.pt"}[key]
    with pytest.raises(ConfigError, match=f"'{key}={value}' has no effect: AnchorDetect has anchors"):
        YOLO(write_model(in_tmp, ANCHORED)).train(data="data.yaml", **{key: value})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov5n-akconv5.yaml", "yolov7-tiny-akconv5.yaml"])
def test_a_shipped_model_in_onnxruntime(name, in_tmp):
    model = YOLO(name)
    file = model.export(format="onnx", imgsz=64)
    x = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        ours = model.model.float().eval()(torch.from_numpy(x))[0].numpy()
    assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(ours).max()


def trainer_of(folder: Path, text: str = ANCHORED, images: int = 8, **changes: Any) -> Any:
    files = {"model": write_model(folder, text), "data": write_images(folder, images, 2)}
    trainer = DetectionTrainer(overrides=arguments(folder, **{**files, **changes}))
    trainer._setup_train()
    return trainer


def test_implicit_parameters_are_learned_without_decay(in_tmp):
    trainer = trainer_of(in_tmp, ANCHORED.replace("AnchorDetect", "IDetect"), offset_lr=0.5)
    implicit = {id(parameter) for parameter in unwrap_model(trainer.model).model[-1].undecayed_parameters()}
    groups = trainer.optimizer.param_groups
    held = [(group["weight_decay"], group["lr"]) for group in groups for p in group["params"] if id(p) in implicit]
    assert len(implicit) == 2 and held == [(0.0, groups[0]["lr"])] * 2
    everything = [id(p) for group in groups for p in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(trainer.model.parameters()))


@pytest.mark.parametrize(
    ("epochs", "floor", "expected"), [(1.0, 0, 10), (1.0, 100, 100), (20.0, 100, 200), (0, 100, 0)]
)
def test_the_minimum_of_the_warm_up(in_tmp, epochs, floor, expected):
    trainer = trainer_of(in_tmp, epochs=100, warmup_epochs=epochs, warmup_min_iterations=floor)
    assert trainer._get_warmup_iterations(10) == expected


def test_a_warm_up_as_long_as_the_training_is_named(in_tmp, caplog):
    trainer = trainer_of(in_tmp, epochs=4, warmup_epochs=1, warmup_min_iterations=40)
    assert trainer._get_warmup_iterations(10) == 40
    assert "this training has only 40: it ends within the warm-up" in caplog.text
    caplog.clear()
    assert trainer._get_warmup_iterations(11) == 40 and not caplog.text


def test_anchors_that_match_too_few_boxes_are_replaced_and_logged(in_tmp, caplog):
    """The boxes are 28 x 28 pixels."""
    far = ANCHORED.replace("[14, 14, 28, 28]", "[200, 200, 300, 150]")
    trainer = trainer_of(in_tmp, far, images=12)
    head = unwrap_model(trainer.model).model[-1]
    assert torch.allclose(head.anchors_px, torch.full((1, 2, 2), 28.0), atol=1)
    assert torch.equal(trainer.ema.ema.model[-1].anchors_px, head.anchors_px)
    assert "match 0.0% of 12 boxes" in caplog.text and "now 100.0% with fitted anchors" in caplog.text
    assert trainer.model.yaml["anchors"] == [[200, 200, 300, 150]]


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        (ANCHORED, {}, "match 100.0% of 12 boxes"),
        (ANCHORED.replace("[14, 14, 28, 28]", "[200, 200, 300, 150]"), {"autoanchor": False}, None),
    ],
    ids=["good", "switched off"],
)
def test_anchors_that_match_stay_and_so_do_all_without_autoanchor(in_tmp, caplog, text, changes, said):
    trainer = trainer_of(in_tmp, text, images=12, **changes)
    anchors = unwrap_model(trainer.model).model[-1].anchors_px.flatten().tolist()
    assert anchors == [float(side) for side in yaml.safe_load(text)["anchors"][0]]
    assert said in caplog.text if said else "the anchors match" not in caplog.text


def test_anchors_that_cannot_be_improved_stay(caplog):
    head = AnchorDetect([8], 3, [[10, 10, 20, 20]])
    autoanchor.fit(head, np.array([[300.0, 2.0]]), 4.0)  # one box, two anchors
    assert head.anchors_px.flatten().tolist() == [10, 10, 20, 20]
    assert "they stay as they are" in caplog.text


def test_box_sizes_are_those_of_the_scaled_image():
    labels = [
        {"shape": (200, 100), "bboxes": np.array([[0.5, 0.5, 0.5, 0.25]])},
        {"shape": (64, 64), "bboxes": np.zeros((0, 4))},
    ]
    assert autoanchor.box_sizes(labels, 100).tolist() == [[25.0, 25.0]]


@pytest.mark.training
def test_fitted_anchors_travel_with_the_checkpoint(in_tmp):
    far = ANCHORED.replace("[14, 14, 28, 28]", "[200, 200, 300, 150]")
    model = YOLO(write_model(in_tmp, far))
    model.train(data=write_images(in_tmp, 12, 2), **arguments(in_tmp, epochs=1))
    fitted = model.trainer.model.model[-1].anchors_px
    assert torch.equal(YOLO(model.trainer.last).model.model[-1].anchors_px, fitted)


@pytest.mark.training
def test_what_an_anchor_head_cannot_do_is_refused(trained, in_tmp):
    folder, head, model = trained
    best = YOLO(model.trainer.best)
    with pytest.raises(ConfigError, match=f"'augment=True' is not available for {head.__name__}"):
        best.val(data=str(folder / "data.yaml"), augment=True)
    other = in_tmp / "other.yaml"
    other.write_text(yaml.safe_dump({**yaml.safe_load((folder / "data.yaml").read_text()), "names": ["a", "b", "c"]}))
    with pytest.raises(CheckpointError, match=r"made for 2 classes, but .*other\.yaml has 3"):
        best.val(data=str(other))
    assert not (in_tmp / "runs").exists()
    best.val(data=str(other), single_cls=True, imgsz=64, plots=False, workers=0)  # there, classes do not count


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[14, 14, 28, 28]", "[14, 14, 28]", "a height is missing"),
        ("  - [14, 14, 28, 28]", "  - [14, 14]\n  - [28, 28]", "anchors for 2 levels, but the head gets 1"),
        ("[14, 14, 28, 28]", "[14, -14]", "which is not a positive, finite number"),
        ("anchors:\n", "ankers:\n", "there is no 'anchors:' at the top"),
        ("[[2], 1, AnchorDetect", "[2, 1, AnchorDetect", "AnchorDetect is a head: it must be the last row"),
        ("[nc, anchors]", "[nc]", "missing a required argument: 'anchors'"),
        ("nc: 2", "nc: two", "nc: 'two' at the top of the file must be"),
        ("1, AnchorDetect", "2, AnchorDetect", "AnchorDetect is a head: it must be the last row, with 1 repeat"),
        ("AnchorDetect", "AnchorDetec", "did you mean 'AnchorDetect'"),
    ],
)
def test_wrong_anchor_rows_are_refused_by_file_and_row(in_tmp, old, new, message):
    assert old in ANCHORED
    with pytest.raises(RowError) as refused:
        YOLO(write_model(in_tmp, ANCHORED.replace(old, new)))
    assert message in str(refused.value) and "tiny.yaml, row 3" in str(refused.value)
