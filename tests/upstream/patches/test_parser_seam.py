"""Build our rows by upstream's own parser, for every YAML that upstream ships."""

import copy
import importlib
import inspect
from pathlib import Path

import pytest
import torch
import ultralytics
from torch import nn
from ultralytics.data.utils import check_det_dataset
from ultralytics.nn import tasks
from ultralytics.utils import YAML
from ultralytics.utils.torch_utils import strip_optimizer

import akyolo
from akyolo import registry
from akyolo.errors import ConfigError, RowError
from akyolo.heads import AnchorDetect
from akyolo.ops.akconv import AKConv
from akyolo.upstream import RELIED_ON
from akyolo.upstream.build import build_detector
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.patches import defaults, parser_seam

MODELS = Path(ultralytics.__file__).parent / "cfg" / "models"
ROOT = Path(__file__).resolve().parents[3]
OURS = ROOT / "cfg" / "yolov8n-akconv5.yaml"
TINY = """
nc: 2
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [24, 1]]
head:
  - [[2], 1, Detect, [nc]]
"""
CLASSES = {
    "detect": tasks.DetectionModel,
    "segment": tasks.SegmentationModel,
    "pose": tasks.PoseModel,
    "obb": tasks.OBBModel,
    "classify": tasks.ClassificationModel,
    "semantic": tasks.SemanticSegmentationModel,
}
YAMLS = [
    path
    for folder in ("v5", "v8", "v9", "v10", "11", "12", "26")
    for path in sorted((MODELS / folder).glob("*.yaml"))
    if not any(word in path.stem for word in ("world", "yoloe", "rtdetr", "depth"))
]
# Two detectors, a classifier and a segmenter; each of the others takes a second.
SAMPLE = {"yolov9t", "yolov10n", "yolov8-cls"}


def swapped(cfg):
    """Replace the stride-2 Conv rows by AKConv; return None if there are none."""
    cfg, changed = copy.deepcopy(cfg), 0
    for row in cfg["backbone"] + cfg["head"]:
        if row[2] == "Conv" and row[3][2:3] == [2]:
            row[2:] = ["AKConv", [row[3][0], 5, 2]]
            changed += 1
    return cfg if changed else None


def build(cfg, scale):
    task = tasks.guess_model_task(cfg)
    return CLASSES[task](cfg={**copy.deepcopy(cfg), "scale": scale}, ch=3, verbose=False)


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=() if path.stem in SAMPLE else pytest.mark.slow, id=path.stem) for path in YAMLS]
)
def test_every_upstream_yaml_builds_unchanged_and_swapped(path):
    cfg = YAML.load(path)
    for row in cfg["backbone"]:
        if row[2] == "TorchVision":
            row[3][2] = None  # no download of its weights
    for scale in [s for s in ("n", "x") if s in cfg.get("scales", {})] or [""]:
        plain = build(cfg, scale)
        assert not any(isinstance(m, AKConv) for m in plain.modules())
        ours = swapped(cfg)
        if ours is None:
            continue
        model = build(ours, scale)
        rows = [i for i, row in enumerate(ours["backbone"] + ours["head"]) if row[2] == "AKConv"]
        for i, (a, b) in enumerate(zip(plain.model, model.model, strict=True)):
            assert (a.i, a.f) == (b.i, b.f)
            if i in rows:
                assert isinstance(b, AKConv) and (b.conv.in_channels, b.conv.out_channels) == (
                    a.conv.in_channels,
                    a.conv.out_channels,
                )
                assert b.type == "akyolo.ops.akconv.AKConv" and b.np == sum(p.numel() for p in b.parameters())
            else:
                assert type(a) is type(b) and a.np == b.np
        assert torch.equal(plain.stride, model.stride) and plain.save == model.save


def test_all_six_tasks_are_among_them():
    assert {tasks.guess_model_task(YAML.load(path)) for path in YAMLS} == set(CLASSES)


def test_plain_ultralytics_understands_our_file():
    model = ultralytics.YOLO(OURS)
    assert [i for i, m in enumerate(model.model.model) if isinstance(m, AKConv)] == [1, 3, 5, 7, 16, 19]
    assert model.model.yaml["backbone"][1] == [-1, 1, "AKConv", [128, 5, 2]]  # the user's own, not the lowered one


def test_rows_of_our_file_equal_the_swap_of_yolov8():
    ours, theirs = YAML.load(OURS), swapped(YAML.load(MODELS / "v8" / "yolov8.yaml"))
    theirs["backbone"][0] = [-1, 1, "Conv", [64, 3, 2]]  # the stem stays
    assert {k: ours[k] for k in ("nc", "scales", "backbone", "head")} == {
        k: theirs[k] for k in ("nc", "scales", "backbone", "head")
    }


@pytest.mark.parametrize("scale", ["n", *(pytest.param(scale, marks=pytest.mark.slow) for scale in "slmx")])
def test_every_scale_of_our_file(scale, in_tmp):
    model = akyolo.YOLO(f"yolov8{scale}-akconv5.yaml")
    _, width, _ = YAML.load(OURS)["scales"][scale]
    assert model.model.model[1].conv.out_channels == 128 * width


def test_the_yaml_activation_reaches_our_modules():
    cfg = {**YAML.load(OURS), "activation": "nn.LeakyReLU(0.2)", "scale": "n"}
    model = tasks.DetectionModel(cfg, verbose=False)
    assert all(isinstance(m.act, nn.LeakyReLU) for m in model.modules() if isinstance(m, AKConv))
    assert isinstance(akyolo.YOLO(OURS).model.model[1].act, nn.SiLU)


def test_normalisation_is_initialised_as_upstreams():
    model = akyolo.YOLO(OURS).model
    assert {(m.eps, m.momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {(1e-3, 0.03)}


def test_the_layer_table_shows_our_classes(caplog):
    akyolo.YOLO(OURS, verbose=True)
    lines = [record.getMessage() for record in caplog.records]
    (row,) = [line for line in lines if line.strip().startswith("16 ")]
    assert row.split() == ["16", "-1", "1", "26378", "akyolo.ops.akconv.AKConv", "[64,", "64,", "5,", "2]"]
    assert sum("AKConv" in line for line in lines) == 6


def test_repeats_build_a_sequence_or_are_refused():
    cfg = {**YAML.load(OURS), "scale": "l"}
    cfg["backbone"][2] = [-1, 3, "AKConv", [128, 3]]
    assert len(tasks.DetectionModel(copy.deepcopy(cfg), verbose=False).model[2]) == 3
    cfg["backbone"][2] = [-1, 3, "AKConv", [256, 3]]
    with pytest.raises(RowError, match=r"row 2: 3 repeats of AKConv .* here 128 and 256"):
        tasks.DetectionModel(cfg, verbose=False)


def test_what_the_operator_refuses_names_file_and_row(in_tmp):
    text = OURS.read_text().replace("[128, 5, 2]", "[128, 4, 2, {shape: a}]")
    Path("yolov8n-mine.yaml").write_text(text)
    with pytest.raises(RowError, match=r"yolov8n-mine.yaml, row 1: shape has 5 points, but num_param=4"):
        akyolo.YOLO("yolov8n-mine.yaml")


def test_broken_yaml_names_the_line(in_tmp):
    Path("broken.yaml").write_text("nc: 3\nbackbone: [\n  - x\n")
    with pytest.raises(RowError, match=r"broken.yaml, line \d: not valid YAML"):
        read_model_yaml("broken.yaml")
    Path("tagged.yaml").write_text("nc: 3\nx: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(RowError, match=r"tagged.yaml, line 2"):
        read_model_yaml("tagged.yaml")


def test_an_unknown_scale_or_file_is_refused(in_tmp):
    Path("yolov8n-mine.yaml").write_text(OURS.read_text().replace("  x: [1.00, 1.25, 512]\n", ""))
    with pytest.raises(RowError, match="no scale 'x'"):
        read_model_yaml("yolov8x-mine.yaml")
    with pytest.raises(RowError, match=r"did you mean 'yolov8n-akconv5.yaml'"):
        read_model_yaml("yolov8n-akconv.yaml")


def test_a_folder_name_that_looks_like_a_scale_is_left_alone(in_tmp):
    Path("exp1models").mkdir()
    Path("exp1models/net.yaml").write_text(OURS.read_text())
    assert read_model_yaml("exp1models/net.yaml")["yaml_file"] == "exp1models/net.yaml"


def test_installing_twice_changes_nothing():
    before = tasks.parse_model
    parser_seam.install()
    defaults.install()
    assert tasks.parse_model is before


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in RELIED_ON.items() for name in names], ids=str
)
def test_upstream_still_has_what_we_rely_on(module, name):
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)


def test_upstream_still_takes_the_arguments_we_give():
    for function, names in {
        tasks.torch_safe_load: {"safe_only"},
        tasks.parse_model: {"d", "ch", "verbose"},
        check_det_dataset: {"autodownload"},
        strip_optimizer: {"s", "updates"},
    }.items():
        assert names <= inspect.signature(function).parameters.keys(), function.__name__
    assert {"conv", "bn"} <= dict(akyolo.YOLO(OURS).model.model[0].named_children()).keys()


# millions, as the release notes of YOLOv5 6.0 print them
YOLOV5_SIZES = {"n": 1.9, "s": 7.2, "m": 21.2, "l": 46.5, "x": 86.7}


@pytest.mark.parametrize(
    "scale", [pytest.param(scale, marks=() if scale in "ns" else pytest.mark.slow) for scale in YOLOV5_SIZES]
)
def test_every_size_of_yolov5_from_one_yaml(scale, caplog):
    """A name that Ultralytics has too means our model in akyolo; one line says so."""
    model = build_detector(read_model_yaml(f"yolov5{scale}.yaml"))
    assert round(sum(p.numel() for p in model.fuse(verbose=False).parameters()) / 1e6, 1) == YOLOV5_SIZES[scale]
    assert type(model.model[-1]) is AnchorDetect and model.stride.tolist() == [8, 16, 32]
    (line,) = [r.getMessage() for r in caplog.records if "means" in r.getMessage()]
    assert line.endswith("not the model of that name in Ultralytics")


def test_the_name_of_the_family_means_ours_too():
    assert read_model_yaml("yolov5.yaml")["source_file"].endswith("cfg/yolov5n.yaml")
    assert not read_model_yaml("yolov8.yaml").get("source_file")  # there is no plain one of ours


def test_an_anchor_head_does_no_other_task(in_tmp):
    with pytest.raises(ConfigError, match="task=segment does not fit AnchorDetect, which detects"):
        akyolo.YOLO("yolov5n.yaml", task="segment")


def test_a_row_may_name_its_own_activation(in_tmp):
    Path("yolov8n-mine.yaml").write_text(OURS.read_text().replace("[128, 5, 2]", "[128, 5, 2, {act: false}]"))
    row = akyolo.YOLO("yolov8n-mine.yaml").model.model[1]
    assert type(row.act) is nn.Identity


def test_plain_ultralytics_keeps_its_own_yolov5():
    from ultralytics import YOLO
    from ultralytics.nn.modules import Detect

    assert type(YOLO("yolov5n.yaml").model.model[-1]) is Detect
    assert sum(p.numel() for p in akyolo.YOLO("yolov5n.yaml").model.parameters()) == 1_872_157


class Doubling(nn.Module):
    """An operator of a user, without a `conv`."""

    def __init__(self, c1, c2):
        super().__init__()
        self.mixing = nn.Conv2d(c1, c2, 1)

    def forward(self, x):
        return 2 * self.mixing(x)


def test_rows_without_fitting_weights_are_named(in_tmp, caplog, monkeypatch):
    monkeypatch.setattr(registry, "_operators", dict(registry._operators))
    registry.register()(Doubling)
    plain, ours = in_tmp / "plain.yaml", in_tmp / "ours.yaml"
    plain.write_text(TINY)
    first, _, rest = TINY.partition("Conv, [16, 3, 2]]\n")
    swapped = rest.replace("Conv, [16, 3, 2]", "AKConv, [16, 5, 2]").replace("Conv, [24, 1]", "Doubling, [24]")
    ours.write_text(f"{first}Conv, [16, 3, 2]]\n{swapped}")
    akyolo.YOLO(str(ours)).load(akyolo.YOLO(str(plain)).model)
    assert "no weights fit rows 1, 2; they start from random values" in caplog.text
    caplog.clear()
    akyolo.YOLO(str(ours)).load(akyolo.YOLO(str(ours)).model)
    assert "no weights fit" not in caplog.text
