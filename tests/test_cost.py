"""The two counting conventions, against counts by hand."""

import copy

import pytest
import thop
import torch
from torch import nn

import akyolo
from akyolo import YOLO
from akyolo.cost import SAMPLING, Cost, cost, deployed_cost, paper_cost
from akyolo.layers import ColumnConv
from akyolo.ops.akconv import AKConv
from akyolo.sampling import bilinear, mix

# c2 = 16 at 24x40, 24 at 12x20 and 24 at 6x10 pixels, from an image of 48x80
MODEL = """
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, AKConv, [24, 5, 2]]
  - [-1, 1, Conv, [24, 1, 2]]
head:
  - [[2], 1, Detect, [nc]]
"""
SAMPLED = 12 * 20 * 5 * 16  # positions, taps, channels


@pytest.fixture
def model(in_tmp):
    (in_tmp / "small.yaml").write_text(MODEL)
    return YOLO("small.yaml").model


def test_the_paper_keeps_the_bn_of_our_operators_and_a_deployed_model_none(model):
    fused = copy.deepcopy(model).fuse(verbose=False)
    plain = sum(p.numel() for p in fused.parameters())
    paper, deployed = paper_cost(model, 48, 80), deployed_cost(model, 48, 80)
    assert deployed.params == plain
    # a fused convolution has a bias in the place of weight and bias of its BN
    assert paper.params == plain + 24
    bn = 2 * 2 * 2 * 12 * 20 * 24  # thop: two operations for the statistics, doubled for the affine part
    blend = 2 * 4 * SAMPLED
    layers = cost(fused, 48, 80).gflops
    assert paper.gflops == pytest.approx(layers + bn / 1e9, rel=1e-12)
    assert deployed.gflops == pytest.approx(layers + blend / 1e9, rel=1e-12)


def test_a_convolution_by_hand():
    layer = nn.Conv2d(4, 6, 3, padding=1)
    assert cost(layer, 7, 11, channels=4) == Cost(4 * 6 * 9 + 6, 2 * 7 * 11 * 6 * 4 * 9 / 1e9)


def test_the_model_is_left_as_it_was(model):
    before = copy.deepcopy(model.state_dict())
    training = {name: module.training for name, module in model.named_modules()}
    paper_cost(model, 48, 80)
    deployed_cost(model, 48, 80)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)
    assert training == {name: module.training for name, module in model.named_modules()}
    assert not model.is_fused()


def test_both_realisations_of_sampling_cost_the_same(model, monkeypatch):
    by_bags = deployed_cost(model, 48, 80)
    monkeypatch.setattr(bilinear, "_uses_grid_sample", lambda x: True)
    assert deployed_cost(model, 48, 80) == by_bags
    assert len(SAMPLING) == 2


def test_taps_without_offsets_are_sampled_too(model, in_tmp):
    (in_tmp / "still.yaml").write_text(MODEL.replace("5, 2]", "5, 2, {offset: false}]"))
    still = YOLO("still.yaml").model
    offsets = 2 * 12 * 20 * 10 * 16 * 9 / 1e9
    assert deployed_cost(still, 48, 80).gflops == pytest.approx(deployed_cost(model, 48, 80).gflops - offsets)


def test_uninitialised_memory_is_never_profiled(monkeypatch):
    operator = AKConv(3, 5, 4, 2)
    seen = []
    operator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("torch.empty"))
    cost(operator, 9, 14)
    assert torch.equal(seen[0], torch.zeros(1, 3, 9, 14))


def test_nothing_counted_is_an_error():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x + self.bias

    with pytest.raises(RuntimeError, match="no operation of Adds"):
        cost(Adds(), 8, 8)


@pytest.mark.parametrize("operator", [spec.module for spec in akyolo.operators() if spec.name != "LDConv"])
def test_ultralytics_prints_the_same_operations_of_our_layers(operator):
    """Its `model.info()` calls thop without the rules of akyolo.cost, which thop therefore knows."""
    layer, image = operator(4, 6, 3), torch.zeros(1, 4, 8, 10)
    printed, _ = thop.profile(layer, inputs=[image], verbose=False)
    assert 2 * printed / 1e9 == pytest.approx(cost(layer, 8, 10, channels=4).gflops)


def test_samples_are_counted_in_whatever_order_they_lie():
    layer = ColumnConv(3, 8, 5)
    samples = torch.ones(1, 3, 5, 7, 6)  # channels before taps: the rule of a convolution would count 5 channels
    counted, _ = thop.profile(layer, inputs=[samples, mix], verbose=False)
    assert counted == 7 * 6 * 8 * 3 * 5
