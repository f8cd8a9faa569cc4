"""Which training arguments apply: their order, the record, and the errors."""

from pathlib import Path

import pytest
import yaml

from akyolo import YOLO
from akyolo.datasets.shapes import store
from akyolo.errors import AkyoloError, ConfigError, RowError
from akyolo.resources import packaged
from akyolo.upstream import model as model_file
from akyolo.upstream.arguments.recipes import join_recipes, read_recipe
from tests.helpers.tiny_training import ANCHORED, PLAIN, arguments, write_images, write_model

RECIPES = sorted(path.stem for path in (packaged("cfg") / "recipes").glob("*.yaml"))
LOSS_GAINS = {"box", "obj", "cls", "dfl"}


@pytest.fixture
def given(in_tmp, monkeypatch):
    """Collect the arguments that our `train` gives to that of upstream."""
    given: dict = {}
    monkeypatch.setattr(
        model_file.UpstreamYOLO, "train", lambda self, trainer=None, **arguments: given.update(arguments)
    )
    monkeypatch.setattr("akyolo.upstream.arguments.data.store.prepare", lambda: in_tmp / "drawn" / "shapes.yaml")
    write_model(in_tmp, ANCHORED)
    (in_tmp / "mine.yaml").write_text("box: 0.5\nlr0: 0.7\n")
    return given


def test_each_layer_overrides_the_ones_before(given, caplog):
    YOLO("tiny.yaml").train()
    # The recipe of the embedded set overrides lr0 and optimizer of the model's recipe.
    assert given["recipe"] == "yolov5+shapes"
    assert (given["box"], given["obj"], given["optimizer"], given["lr0"], given["imgsz"]) == (
        0.05,
        1.0,
        "AdamW",
        0.002,
        160,
    )
    assert "akyolo: recipe yolov5+shapes" in caplog.text and "box=0.05" in caplog.text
    given.clear()
    YOLO("tiny.yaml").train(data="data.yaml")
    assert (given["recipe"], given["optimizer"], given["lr0"]) == ("yolov5", "SGD", 0.01)
    assert "imgsz" not in given and "offset_lr" not in given
    given.clear()
    YOLO("tiny.yaml").train(recipe="mine.yaml")
    # The recipe of the embedded set does not apply if the user names one.
    assert (given["recipe"], given["box"], given["lr0"], given["momentum"]) == ("yolov5+mine.yaml", 0.5, 0.7, 0.937)
    assert "imgsz" not in given
    given.clear()
    YOLO("tiny.yaml").train(recipe="mine.yaml", box=0.9)
    assert (given["box"], given["lr0"]) == (0.9, 0.7)


def test_the_values_of_a_cfg_file_are_the_users_own(given, in_tmp):
    (in_tmp / "args.yaml").write_text("data: data.yaml\nbox: 0.3\nrecipe: mine.yaml\n")
    YOLO("tiny.yaml").train(cfg="args.yaml")
    assert "box" not in given  # Upstream takes it from the file.
    assert (given["lr0"], given["recipe"]) == (0.7, "yolov5+mine.yaml")


def test_a_recorded_recipe_can_be_given_again(given):
    YOLO("tiny.yaml").train(data="data.yaml", recipe="yolov5+mine.yaml")
    assert (given["recipe"], given["lr0"]) == ("yolov5+mine.yaml", 0.7)
    assert join_recipes("a", "b+a", None) == "b+a" and join_recipes(None) is None


def test_a_further_training_on_the_embedded_set_takes_its_recipe_again(given, monkeypatch):
    model = YOLO("tiny.yaml")
    model.ckpt = {"model": None}
    model.overrides["data"] = str(store.data_yaml())
    model.train()
    assert given["recipe"] == "yolov5+shapes" and given["imgsz"] == 160


@pytest.mark.parametrize("written", ["[yolov5]", "5", "{lr0: 0.1}"])
def test_a_recipe_that_is_not_a_name_is_refused(in_tmp, written):
    with pytest.raises(RowError, match=r"tiny\.yaml: recipe: .* is not a name"):
        YOLO(write_model(in_tmp, ANCHORED.replace("recipe: yolov5", f"recipe: {written}")))


def test_a_model_without_a_recipe_is_trained_by_upstreams_defaults(given, in_tmp):
    write_model(in_tmp)
    YOLO("tiny.yaml").train(data="data.yaml")
    assert given.keys() == {"data", "project"}


def test_what_no_layer_reads_is_left_out_of_a_recipe(given, in_tmp):
    write_model(in_tmp, PLAIN)
    (in_tmp / "mine.yaml").write_text("box: 0.5\nobj: 0.7\noffset_lr: 0.1\n")
    YOLO("tiny.yaml").train(data="data.yaml", recipe="mine.yaml")
    assert given["box"] == 0.5 and not {"obj", "offset_lr"} & given.keys()


def test_resuming_applies_nothing_again(given, monkeypatch):
    monkeypatch.setattr(model_file, "check_resumable", lambda *_: None)
    YOLO("tiny.yaml").train(resume=True)
    assert given == {"resume": True}


@pytest.mark.parametrize("name", RECIPES)
def test_every_packaged_recipe_is_valid_and_the_embedded_one_names_no_gain(name):
    values = read_recipe(name)
    assert values["optimizer"] != "auto"  # which would choose another one for long trainings
    assert name != "shapes" or not LOSS_GAINS & values.keys()


@pytest.mark.parametrize("file", sorted(packaged("cfg").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_model_names_an_existing_recipe(file):
    recipe = yaml.safe_load(file.read_text()).get("recipe")
    anchored = "anchors" in file.read_text()
    assert (recipe is not None) == anchored
    assert recipe is None or read_recipe(recipe)["box"] == 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 0.1\n", "'lr' is not a training argument of a recipe"),
        ("pretrained: a.pt\n", "'pretrained' is not a training argument of a recipe"),
        ("optimizer: SGDD\n", "unknown optimizer 'SGDD'"),
        ("imgsz: -5\n", "'imgsz=-5' must be a positive whole number"),
        ("batch: 0\n", "'batch=0' must be at least 1"),
        ("obj: 1e-3\n", "write 0.001 or 1.0e-3"),
        ("model: a.pt\n", "'model' is not a training argument of a recipe"),
        ("lr0: fast\n", "'lr0=fast'"),
        ("anchor_t: 0.5\n", "'anchor_t=0.5' must be a number above 1"),
        ("- lr0\n", "a recipe is a mapping"),
        ("lr0: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_its_file(given, in_tmp, text, message):
    Path("wrong.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        YOLO("tiny.yaml").train(data="data.yaml", recipe="wrong.yaml")
    assert message in str(refused.value) and "wrong.yaml" in str(refused.value) and not given


def test_an_unknown_recipe_and_arguments_without_effect_are_refused(given, in_tmp):
    with pytest.raises(ConfigError, match="did you mean 'yolov5'"):
        YOLO("tiny.yaml").train(recipe="yolo5")
    write_model(in_tmp)
    with pytest.raises(ConfigError, match=r"'obj=2\.0' has no effect: Detect has no anchors"):
        YOLO("tiny.yaml").train(data="data.yaml", obj=2.0)


@pytest.mark.training
def test_values_reach_the_loss_the_record_and_the_checkpoint(in_tmp):
    write_model(in_tmp, ANCHORED)
    data = write_images(in_tmp, 8, 2)
    model = YOLO("tiny.yaml")
    model.train(data=data, **arguments(in_tmp, epochs=1, obj=0.7, anchor_t=3))
    recorded = yaml.safe_load((Path(model.trainer.save_dir) / "args.yaml").read_text())
    assert (recorded["recipe"], recorded["obj"], recorded["anchor_t"], recorded["box"]) == ("yolov5", 0.7, 3, 0.05)
    criterion = model.trainer.model.criterion
    assert (criterion.args.obj, criterion.args.box) == (0.7, 0.05)
    again = YOLO(model.trainer.last)
    assert again.ckpt["train_args"]["obj"] == 0.7 and again.model.yaml["recipe"] == "yolov5"


@pytest.mark.parametrize(
    ("key", "value"),
    [("recipe", 3), ("autoanchor", 1), ("warmup_min_iterations", 1.5), ("cls_smoothing", 1), ("obj", -1)],
)
def test_values_that_no_training_can_use_are_refused(given, key, value):
    with pytest.raises(AkyoloError, match=f"'{key}={value}'"):
        YOLO("tiny.yaml").train(data="data.yaml", **{key: value})
