"""The model YAMLs in cfg/ that have an operator are what `swap` makes of their base."""

import pytest
import yaml
from ultralytics.utils import ROOT

from akyolo.packaged import packaged
from akyolo.rows import SwapRule, swap

SHIPPED = {
    "yolov5n-akconv5.yaml": ("yolov5n.yaml", 5, "downsample"),
    "yolov5s-akconv6.yaml": ("yolov5n.yaml", 6, "downsample"),
    "yolov7-tiny-akconv5.yaml": ("yolov7-tiny.yaml", 5, "elan_last"),
    "yolov8n-akconv5.yaml": (ROOT / "cfg" / "models" / "v8" / "yolov8.yaml", 5, "downsample"),
}


def read(name):
    return yaml.safe_load((packaged("cfg") / name).read_text(encoding="utf-8"))


def test_none_is_forgotten():
    assert {path.name for path in packaged("cfg").glob("*-akconv*.yaml")} == SHIPPED.keys()


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_what_swap_makes_of_its_base(name):
    base, num_param, where = SHIPPED[name]
    made, _ = swap(read(base), SwapRule("AKConv", (num_param,), where))
    shipped = read(name)
    assert str(shipped["backbone"] + shipped["head"]) == str(made["backbone"] + made["head"])
    assert shipped == made
