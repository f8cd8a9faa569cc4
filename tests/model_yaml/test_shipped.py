"""The model YAMLs in cfg/ that have an operator are what `swap` makes of their base."""

import pytest
import yaml
from ultralytics.utils import ROOT

from akyolo.resources import packaged
from akyolo.swapping import SwapRule, swap

LOCAL_DK = SwapRule("DeformKernel", (), "depthwise", {"scope": 4})
SHIPPED = {
    "mobilenetv2-dk.yaml": ("mobilenetv2.yaml", [LOCAL_DK]),
    "resnet50-dw-condconv.yaml": (
        "resnet50-dw.yaml",
        [SwapRule("CondConv", (), where, {"experts": 2}) for where in ("depthwise", "pointwise")],
    ),
    "resnet50-dw-dk.yaml": ("resnet50-dw.yaml", [LOCAL_DK]),
    "yolo26n-sem-icnn.yaml": (
        ROOT / "cfg" / "models" / "26" / "yolo26-sem.yaml",
        [SwapRule("IrregularConv", (3,), "downsample")],
    ),
    "yolov5n-akconv5.yaml": ("yolov5n.yaml", [SwapRule("AKConv", (5,), "downsample")]),
    "yolov5s-akconv6.yaml": ("yolov5n.yaml", [SwapRule("AKConv", (6,), "downsample")]),
    "yolov7-tiny-akconv5.yaml": ("yolov7-tiny.yaml", [SwapRule("AKConv", (5,), "elan_last")]),
    "yolov8n-akconv5.yaml": (
        ROOT / "cfg" / "models" / "v8" / "yolov8.yaml",
        [SwapRule("AKConv", (5,), "downsample")],
    ),
}
BASES = {"mobilenetv2.yaml", "resnet50.yaml", "resnet50-dw.yaml", "yolov5n.yaml", "yolov7-tiny.yaml"}


def read(name):
    return yaml.safe_load((packaged("cfg") / name).read_text(encoding="utf-8"))


def test_none_is_forgotten():
    assert {path.name for path in packaged("cfg").glob("*.yaml")} == SHIPPED.keys() | BASES


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_what_swap_makes_of_its_base(name):
    base, rules = SHIPPED[name]
    made = read(base)
    for rule in rules:
        made, _ = swap(made, rule)
    shipped = read(name)
    assert str(shipped["backbone"] + shipped["head"]) == str(made["backbone"] + made["head"])
    assert shipped == made
