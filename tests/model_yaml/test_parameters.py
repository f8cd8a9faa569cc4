"""The models of the Deformable Kernels paper have its parameters (arXiv 1910.02940, Tables 1 and 2).

Counted in millions at 1000 classes, with BN, as the paper prints them.
"""

import copy

import pytest
import torch
from ultralytics.nn import tasks

from akyolo.swapping import SwapRule, swap
from akyolo.upstream.model_yaml import read_model_yaml

DEEP = {"resnet50-dw.yaml": "4,5,6,7,8,9", "mobilenetv2.yaml": "4,5,6,7,8,9,10,11,12"}  # output stride >= 8


def local(scope=4):
    return SwapRule("DeformKernel", (), "depthwise", {"scope": scope})


GLOBAL = SwapRule("GlobalDeformKernel", (), "depthwise", {"scope": 4})
GLOBAL_1X1 = SwapRule("GlobalDeformKernel", (), "pointwise", {"scope": 2, "groups": 1})


def experts(number):
    return [SwapRule("CondConv", (), where, {"experts": number}) for where in ("depthwise", "pointwise")]


def deep(base, op):
    return SwapRule(op, (), DEEP[base])


R50, R50DW, MBV2 = "resnet50.yaml", "resnet50-dw.yaml", "mobilenetv2.yaml"
TABLES = [
    (R50, [], 25.6),
    (R50DW, [], 23.7),
    (R50DW, [local(3)], 24.9),
    (R50DW, [local(4)], 25.0),
    (R50DW, [local(5)], 25.0),
    (R50DW, [local(9)], 25.4),
    (R50DW, [GLOBAL], 23.9),
    (R50DW, [GLOBAL_1X1, GLOBAL], 80.1),
    (R50DW, [GLOBAL_1X1, local()], 81.2),
    (R50DW, experts(2), 42.5),
    (R50DW, [*experts(2), local()], 43.7),
    (R50DW, [deep(R50DW, "DeformConv")], 24.8),
    (R50DW, [local(), deep(R50DW, "DeformKernelConv")], 26.1),
    (MBV2, [], 3.5),
    (MBV2, [GLOBAL], 3.7),
    (MBV2, [GLOBAL_1X1, GLOBAL], 10.1),
    (MBV2, [local()], 4.7),
    (MBV2, [GLOBAL_1X1, local()], 11.1),
    (MBV2, experts(8), 19.0),
    (MBV2, [*experts(8), local()], 19.7),
    (MBV2, [deep(MBV2, "DeformConv")], 4.6),
    (MBV2, [local(), deep(MBV2, "DeformKernelConv")], 5.8),
]


@pytest.mark.parametrize(("base", "rules", "millions"), TABLES)
def test_the_parameters_are_those_of_the_paper(base, rules, millions):
    cfg = read_model_yaml(base)
    for rule in rules:
        cfg, _ = swap(cfg, rule)
    with torch.device("meta"):  # shapes without memory
        layers, _ = tasks.parse_model(copy.deepcopy(cfg), 3, verbose=False)
    assert f"{sum(p.numel() for p in layers.parameters()) / 1e6:.1f}" == str(millions)
