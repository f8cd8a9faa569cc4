"""A training argument is read and checked once, and its source is kept."""

import builtins
import io
import sys
import traceback
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.utils import DEFAULT_CFG_DICT

from akyolo import YOLO, cli
from akyolo.errors import ConfigError
from akyolo.resources import packaged
from akyolo.upstream import model as model_file
from akyolo.upstream.arguments import hyperparameters
from akyolo.upstream.arguments.resolve import TrainingArguments
from akyolo.upstream.training import trainer as trainer_file
from akyolo.upstream.training.trainer import DetectionTrainer
from akyolo.upstream.training.tuning import ANCHOR_SPACE
from tests.helpers.tiny_training import ANCHORED, write_images, write_model

MODEL_RECIPE = packaged("cfg") / "recipes" / "yolov5.yaml"
PACKAGES = tuple(str(Path(sys.modules[name].__file__).parent) for name in ("akyolo", "ultralytics.engine"))


class Started(BaseException):
    """Raised where a training would start; its argument is the trainer."""


def package_that_opens() -> str:
    """Return which package reads a file: akyolo, or upstream's engine."""
    files = (frame.filename for frame in reversed(traceback.extract_stack()))
    return next((Path(package).name for file in files for package in PACKAGES if file.startswith(package)), "")


@pytest.fixture
def counts(in_tmp, monkeypatch):
    """Count the files that akyolo opens and its checks, before a training starts."""
    write_model(in_tmp, ANCHORED)
    write_images(in_tmp, 2, 2)
    (in_tmp / "mine.yaml").write_text("box: 0.5\nlr0: 0.07\nmomentum: 0.9\n")
    (in_tmp / "args.yaml").write_text("momentum: 0.8\nepochs: 3\ncls: 0.3\n")
    opened, checked = Counter(), []
    real_open, real_check = io.open, hyperparameters.check_hyperparameters

    def count_open(file, *args, **options):
        if package_that_opens() == "akyolo":
            opened[Path(file).name if isinstance(file, str | Path) else ""] += 1
        return real_open(file, *args, **options)

    def count_check(arguments):
        checked.append(dict(arguments))
        real_check(arguments)

    def start(trainer):
        raise Started(trainer)

    monkeypatch.setattr(io, "open", count_open)
    monkeypatch.setattr(builtins, "open", count_open)
    for module in list(sys.modules.values()):
        if module and vars(module).get("check_hyperparameters") is real_check:
            monkeypatch.setattr(module, "check_hyperparameters", count_check)
    monkeypatch.setattr(BaseTrainer, "train", start)
    return SimpleNamespace(opened=opened, checked=checked)


def train_by_command():
    cli.main(["train", "tiny.yaml", "data=data.yaml", "cfg=args.yaml", "recipe=mine.yaml", "device=cpu", "cls=0.4"])


def train_in_python():
    YOLO("tiny.yaml").train(data="data.yaml", cfg="args.yaml", recipe="mine.yaml", device="cpu", cls=0.4)


@pytest.mark.parametrize("train", [train_by_command, train_in_python])
def test_files_are_opened_and_values_checked_once(counts, train):
    with pytest.raises(Started) as started:
        train()
    names = ("args.yaml", "mine.yaml", MODEL_RECIPE.name)
    assert {name: counts.opened[name] for name in names} == dict.fromkeys(names, 1)
    # One check of the words with the cfg= file, and one of each recipe, whose errors name its file.
    assert Counter(frozenset(values) & {"lr0", "cls", "obj"} for values in counts.checked) == {
        frozenset({"cls"}): 1,
        frozenset({"lr0"}): 1,
        frozenset({"lr0", "cls", "obj"}): 1,
    }
    args = started.value.args[0].args
    assert (args.box, args.lr0, args.momentum, args.epochs, args.cls) == (0.5, 0.07, 0.8, 3, 0.4)
    assert (args.cfg, args.recipe) == ("args.yaml", "yolov5+mine.yaml")


def test_the_trainer_knows_the_source_of_each_argument(counts):
    with pytest.raises(Started) as started:
        train_in_python()
    arguments = started.value.args[0].arguments
    sources = {key: arguments.source_of(key).value for key in ("box", "obj", "momentum", "cls", "imgsz", "data")}
    assert sources == {
        "box": "recipe",
        "obj": "model recipe",
        "momentum": "cfg file",
        "cls": "user",
        "imgsz": "default",
        "data": "user",
    }
    args = vars(started.value.args[0].args)
    assert {key: arguments[key] for key in (*sources, "recipe", "project")} == {
        key: args[key] for key in (*sources, "recipe", "project")
    }
    with pytest.raises(KeyError):
        arguments.source_of("epoch")


def test_each_training_on_a_list_of_data_sets_takes_the_same_arguments(counts, monkeypatch):
    trainers = []

    def keep(trainer):
        trainers.append(trainer)

    monkeypatch.setattr(BaseTrainer, "train", keep)
    YOLO("tiny.yaml").train(data=["data.yaml", "data.yaml"], cfg="args.yaml", recipe="mine.yaml", device="cpu")
    assert [trainer.args.data for trainer in trainers] == ["data.yaml"] * 2
    assert trainers[0].arguments is trainers[1].arguments and trainers[0].arguments["lr0"] == 0.07
    assert counts.opened["mine.yaml"] == 1 and len(counts.checked) == 3


def test_a_bare_trainer_checks_its_arguments(counts, monkeypatch):
    overrides = {"model": "tiny.yaml", "data": "data.yaml", "device": "cpu"}
    with pytest.raises(ConfigError, match="'obj=-1'"):
        DetectionTrainer(overrides={**overrides, "obj": -1})
    assert DetectionTrainer(overrides=overrides).arguments.source_of("data").value == "user"


def test_a_process_that_upstream_launches_does_not_resolve_again(counts, monkeypatch):
    with pytest.raises(Started) as started:
        train_in_python()
    counts.checked.clear()
    counts.opened.clear()
    monkeypatch.setattr(trainer_file, "LOCAL_RANK", 0)
    launched = DetectionTrainer(cfg={**DEFAULT_CFG_DICT, "save_dir": ""}, overrides=vars(started.value.args[0].args))
    assert vars(launched.args)["lr0"] == 0.07
    assert not counts.checked and not counts.opened["mine.yaml"] and not counts.opened["args.yaml"]


def test_tune_takes_the_values_of_a_cfg_file(counts, monkeypatch):
    given = {}
    monkeypatch.setattr(model_file.UpstreamYOLO, "tune", lambda self, **arguments: given.update(arguments))
    YOLO("tiny.yaml").tune(data="data.yaml", cfg="args.yaml", recipe="mine.yaml", iterations=1, cls=0.4)
    assert (given["box"], given["momentum"], given["epochs"], given["cls"], given["iterations"]) == (
        0.5,
        0.8,
        3,
        0.4,
        1,
    )
    assert given["space"] == ANCHOR_SPACE and given["recipe"] == "yolov5+mine.yaml"


def test_a_cfg_file_without_a_mapping_is_refused(counts, in_tmp):
    for text in ("- 1\n", "epochs: [\n", "epochs 3\n"):
        (in_tmp / "args.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"args\.yaml: not a mapping of training arguments"):
            YOLO("tiny.yaml").train(data="data.yaml", cfg="args.yaml")
    with pytest.raises(ConfigError, match=r"there is no file 'nothing\.yaml' for cfg="):
        YOLO("tiny.yaml").train(data="data.yaml", cfg="nothing.yaml")


@pytest.mark.parametrize("mode", ["tune", "val"])
def test_other_modes_read_the_files_once_too(counts, monkeypatch, mode):
    monkeypatch.setattr(model_file.UpstreamYOLO, mode, lambda self, **arguments: None)
    cli.main([mode, "tiny.yaml", "data=data.yaml", "cfg=args.yaml", "recipe=mine.yaml", "device=cpu"])
    assert (counts.opened["args.yaml"], counts.opened["mine.yaml"]) == (1, 1)


def test_a_resumed_training_has_the_arguments_of_its_checkpoint():
    written = TrainingArguments.read({"resume": True, "epochs": 9, "batch": 2})
    resumed = written.resumed({"resume": "last.pt", "epochs": 3, "batch": 2, "lr0": 0.5})
    assert {key: (resumed[key], resumed.source_of(key).value) for key in ("epochs", "batch", "lr0")} == {
        "epochs": (3, "checkpoint"),
        "batch": (2, "user"),
        "lr0": (0.5, "checkpoint"),
    }
