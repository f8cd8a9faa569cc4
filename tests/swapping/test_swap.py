"""A model YAML and a rule in, the swapped YAML and its changed rows out."""

import copy
import inspect
from collections import Counter

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from ultralytics.utils import ROOT

from akyolo import registry
from akyolo.errors import RowError
from akyolo.model_yaml import model_yaml_text, row_text, scale_in
from akyolo.resources import packaged
from akyolo.swapping import SwapRule, convolutions, rewrite, swap

AKCONV5 = SwapRule("AKConv", (5,), "downsample")
PLACES = ("downsample", "bottleneck", "elan_last", "all3x3")


def elan(c, out):
    return [
        [-1, 1, "Conv", [c, 1, 1]],
        [-2, 1, "Conv", [c, 1, 1]],
        [-1, 1, "Conv", [c, 3, 1]],
        [-1, 1, "Conv", [c, 3, 1]],
        [[-1, -2, -3, -4], 1, "Concat", [1]],
        [-1, 1, "Conv", [out, 1, 1]],
    ]


def yolov7_tiny():
    pool = [-1, 1, "nn.MaxPool2d", [2, 2]]
    return {
        "nc": 80,
        "depth_multiple": 1.0,
        "activation": "nn.LeakyReLU(0.1)",
        "backbone": [
            [-1, 1, "Conv", [32, 3, 2]],
            [-1, 1, "Conv", [64, 3, 2]],
            *elan(32, 64),
            *(row for c in (64, 128, 256) for row in [pool, *elan(c, 2 * c)]),
        ],
        # an ELAN of the head is none of the backbone's; a 3x3 without a stride
        "head": [*elan(64, 64), [-1, 1, "Conv", [128, 3]], [[-1], 1, "Detect", ["nc"]]],
    }


MODELS = {
    str(path.relative_to(ROOT)): yaml.safe_load(path.read_text("utf-8")) for path in ROOT.rglob("models/*/*.yaml")
}
MODELS["yolov7-tiny"] = yolov7_tiny()
OURS = ("resnet50-dw.yaml", "mobilenetv2.yaml")
MODELS |= {name: yaml.safe_load((packaged("cfg") / name).read_text("utf-8")) for name in OURS}
YOLOV5, YOLOV8 = (MODELS[f"cfg/models/{name}.yaml"] for name in ("v5/yolov5", "v8/yolov8"))


def cfg(*rows):
    return {"nc": 3, "yaml_file": "my.yaml", "backbone": list(rows), "head": [[-1, 1, "Detect", ["nc"]]]}


MIXED = cfg([-1, 1, "Conv", [64, 3, 2]], [-1, 1, "C2f", [64]], [-1, 1, "DWBottleneck", [64]])


def swapped_row(row, rule):
    """The one changed row of a model whose row 1 is `row`."""
    _, (change,) = swap(cfg([-1, 1, "Conv", [64, 6, 2, 2]], row), rule)
    return change.after


@pytest.fixture
def registers(monkeypatch):
    """Register operators for this test alone."""
    monkeypatch.setattr(registry, "_operators", dict(registry._operators))
    return registry.register


# where


@pytest.mark.parametrize(
    ("model", "where", "numbers"),
    [
        (YOLOV5, "downsample", [1, 3, 5, 7, 18, 21]),
        (YOLOV5, "bottleneck", [2, 4, 6, 8, 13, 17, 20, 23]),
        (YOLOV5, "all3x3", [1, 2, 3, 4, 5, 6, 7, 8, 13, 17, 18, 20, 21, 23]),
        (YOLOV8, "downsample", [1, 3, 5, 7, 16, 19]),
        (YOLOV8, "all3x3", [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 18, 19, 21]),
        (YOLOV8, "19, 0,5", [0, 5, 19]),
        (MODELS["yolov7-tiny"], "elan_last", [5, 12, 19, 26]),
        (MODELS["yolov7-tiny"], "downsample", [1]),
        (MODELS["yolov7-tiny"], "all3x3", [0, 1, 4, 5, 11, 12, 18, 19, 25, 26, 31, 32, 35]),
    ],
)
def test_places(model, where, numbers):
    before = copy.deepcopy(model)
    new, changes = swap(model, SwapRule("AKConv", (5,), where))
    assert [change.number for change in changes] == numbers
    assert model == before
    old_rows, new_rows = ([*m["backbone"], *m["head"]] for m in (model, new))
    assert [(i, old, now) for i, (old, now) in enumerate(zip(old_rows, new_rows, strict=True)) if old != now] == changes
    assert {key: new[key] for key in new if key not in ("backbone", "head")} == {
        key: model[key] for key in model if key not in ("backbone", "head")
    }


@pytest.mark.parametrize(
    "rows",
    [
        [[-1, 1, "Conv", [8, 3, 1]], [-2, 1, "Conv", [8, 3, 1]], [[-1, -2, -3, -4], 1, "Concat", [1]]],
        [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [8, 3, 1]], [[-1, -2, -3, -4], 1, "Concat", [1]]],
        [[-1, 1, "C3", [8]], [-1, 1, "Conv", [8, 3, 1]], [[-1, -2, -3, -4], 1, "Concat", [1]]],
        [[-1, 1, "Conv", [8, 3, 1]], [-1, 1, "Conv", [8, 3, 1]], [[-1, -2, -3], 1, "Concat", [1]]],
        [[-1, 1, "Conv", [8, 3, 1]], [-1, 1, "Conv", [8, 3, 1]], [[-1, -2, -3, -4], 1, "Sum", [1]]],
        [[-1, 1, "Conv", [8, 3, 1]], [-1, 1, "Conv", [8, 3, 1]]],  # the head's row follows, no row of the backbone
    ],
)
def test_rows_that_are_not_an_elan(rows):
    model = cfg(*([-1, 1, "nn.Identity", []] for _ in range(4)), *rows)
    model["head"] = [[[-1, -2, -3, -4], 1, "Concat", [1]]]
    with pytest.raises(RowError, match=r"^my.yaml: elan_last looks for the second of two .*, and there is none$"):
        swap(model, SwapRule("AKConv", (5,), "elan_last"))


# the new row


@pytest.mark.parametrize(
    ("row", "args", "keywords", "after"),
    [
        ([-1, 1, "Conv", [128, 3, 2]], (5,), {}, [-1, 1, "AKConv", [128, 5, 2]]),
        ([-1, 1, "Conv", [128, 3]], (5,), {}, [-1, 1, "AKConv", [128, 5]]),
        ([0, 9, "Conv", ["nc", 3, 1]], (5,), {"shape": "d"}, [0, 9, "AKConv", ["nc", 5, 1, {"shape": "d"}]]),
        ([-1, 1, "Conv", [128, 3, 2]], (), {"num_param": 5}, [-1, 1, "AKConv", [128, {"num_param": 5, "stride": 2}]]),
        ([-1, 1, "AKConv", [128, 3, 2, {"shape": "d"}]], (7,), {}, [-1, 1, "AKConv", [128, 7, 2]]),
        ([-1, 1, "LDConv", [128, {"num_param": 3, "stride": 2}]], (7,), {}, [-1, 1, "AKConv", [128, 7, 2]]),
        ([-1, 1, "LDConv", [128, 3]], (7,), {}, [-1, 1, "AKConv", [128, 7]]),
        ([-1, 3, "C2f", [128, True]], (5,), {}, [-1, 3, "C2f(AKConv)", [128, True, {"num_param": 5}]]),
        (
            [-1, 2, "C3k2", [128, False, 0.25]],
            (5,),
            {"shape": "d"},
            [-1, 2, "C3k2(AKConv)", [128, False, 0.25, {"num_param": 5, "shape": "d"}]],
        ),
        ([-1, 3, "C3(LDConv)", [128, {"num_param": 3}]], (5,), {}, [-1, 3, "C3(AKConv)", [128, {"num_param": 5}]]),
    ],
)
def test_the_new_row(row, args, keywords, after):
    assert swapped_row(row, SwapRule("AKConv", args, "1", keywords)) == after


@pytest.mark.parametrize(
    ("row", "after"),
    [
        ([-1, 1, "AKConv", [128, 5, 2, {"shape": "d"}]], [-1, 1, "Conv", [128, 3, 2]]),
        ([-1, 1, "AKConv", [128, 5, {"stride": 2}]], [-1, 1, "Conv", [128, 3, 2]]),
        ([-1, 1, "AKConv", [128, 5]], [-1, 1, "Conv", [128, 3]]),
        ([-1, 3, "C3(AKConv)", [128, False, {"num_param": 5}]], [-1, 3, "C3", [128, False]]),
        ([-1, 3, "C3(AKConv)", [128]], [-1, 3, "C3", [128]]),
    ],
)
def test_the_row_back(row, after):
    assert swapped_row(row, SwapRule("Conv", (3,), "1")) == after


DK, CONDCONV = {"DeformKernel": {"scope": 5}}, {"CondConv": {"experts": 4}}


@pytest.mark.parametrize(
    ("row", "rule", "args"),
    [
        (["DWBottleneck", [64]], ("DeformKernel", (), "depthwise"), [64, {"depthwise": "DeformKernel"}]),
        (["DWBottleneck", [64, 2]], ("DeformKernel", (), "1", {"scope": 5}), [64, 2, {"depthwise": DK}]),
        (["DWBottleneck", [64]], ("DeformKernel", (3,), "depthwise", {"scope": 5}), [64, {"depthwise": DK}]),
        (
            ["InvertedResidual", [64, {"expansion": 1}]],
            ("DeformKernel", (), "depthwise", {"kernel_size": 3, "scope": 5}),
            [64, {"expansion": 1, "depthwise": DK}],
        ),
        (
            ["InvertedResidual", [64, {"depthwise": DK, "expansion": 1}]],
            ("CondConv", (), "depthwise", {"experts": 4}),
            [64, {"depthwise": CONDCONV, "expansion": 1}],
        ),
        (
            ["InvertedResidual", [64, {"depthwise": DK}]],
            ("CondConv", (1,), "pointwise", {"experts": 4}),
            [64, {"depthwise": DK, "pointwise": CONDCONV}],
        ),
        (["Conv", [64, 1]], ("CondConv", (), "pointwise", {"experts": 4}), [64, 1, {"experts": 4}]),
        (["Conv", [64, 1, 1]], ("CondConv", (1,), "pointwise"), [64, 1, 1]),
        (["Conv", [64, 1]], ("CondConv", (), "pointwise", {"kernel_size": 1}), [64, {"kernel_size": 1}]),
        (["Conv", [64, 1]], ("GlobalDeformKernel", (), "pointwise", {"scope": 2}), [64, 1, {"scope": 2, "groups": 1}]),
        (["Conv", [64, 1]], ("GlobalDeformKernel", (), "pointwise", {"groups": 2}), [64, 1, {"groups": 2}]),
        (["Conv", [64, 3, 2]], ("DeformConv", (3,), "1", {"groups": 32}), [64, 3, 2, {"groups": 32}]),
    ],
)
def test_a_keyword_of_a_block_or_a_1x1(row, rule, args):
    """The place sets the kernel size; a rule may repeat it."""
    changed = swapped_row([-1, 1, *row], SwapRule(*rule))
    assert changed == [-1, 1, rule[0] if row[0] == "Conv" else row[0], args]


@pytest.mark.parametrize(
    ("row", "where", "after"),
    [
        (["DWBottleneck", [64, 2, {"depthwise": DK}]], "1", ["DWBottleneck", [64, 2]]),
        (
            ["DWBottleneck", [64, {"depthwise": DK, "pointwise": DK}]],
            "depthwise",
            ["DWBottleneck", [64, {"pointwise": DK}]],
        ),
        (
            ["DWBottleneck", [64, {"depthwise": DK, "pointwise": DK}]],
            "pointwise",
            ["DWBottleneck", [64, {"depthwise": DK}]],
        ),
        (["CondConv", [64, 1, {"experts": 4}]], "pointwise", ["Conv", [64, 1]]),
        (["CondConv", [64, {"kernel_size": 1, "stride": 1}]], "pointwise", ["Conv", [64, 1, 1]]),
        (["CondConv", [64, 3, 2]], "1", ["Conv", [64, 3, 2]]),
    ],
)
def test_a_keyword_or_a_1x1_back(row, where, after):
    size = 1 if where == "pointwise" else 3
    for args in [(size,), *([()] if row[0] != "CondConv" or size == 1 else [])]:
        assert swapped_row([-1, 1, *row], SwapRule("Conv", args, where)) == [-1, 1, *after]


@pytest.mark.parametrize(
    ("model", "where", "numbers"),
    [
        ("resnet50-dw.yaml", "depthwise", [2, 3, 4, 5, 6, 7, 8, 9]),
        ("resnet50-dw.yaml", "pointwise", [2, 3, 4, 5, 6, 7, 8, 9]),
        ("mobilenetv2.yaml", "depthwise", list(range(1, 13))),
        ("mobilenetv2.yaml", "pointwise", list(range(1, 14))),
        ("mobilenetv2.yaml", "5, 4", [4, 5]),
        ("yolov7-tiny", "pointwise", [2, 3, 7, 9, 10, 14, 16, 17, 21, 23, 24, 28, 29, 30, 34]),
    ],
)
def test_depthwise_and_pointwise_places(model, where, numbers):
    _, changes = swap(MODELS[model], SwapRule("CondConv", (), where))
    assert [change.number for change in changes] == numbers


@pytest.mark.parametrize(
    ("where", "numbers"),
    [("all3x3", [0, 1, 2]), ("bottleneck", [1, 2]), ("depthwise", [3]), ("pointwise", [3, 4, 5, 7])],
)
def test_each_kind_of_convolution_has_its_own_place(where, numbers):
    rows = [
        ["Conv", [64, 3]],
        ["C2f", [64]],
        ["C2f(DeformConv)", [64, {"kernel_size": 3}]],
        ["DWBottleneck", [64]],
        ["Conv", [64, 1]],
        ["Conv", [64, 1, 1]],
        ["Conv", [64, 1, 2]],
        ["DeformConv", [64, 1]],
    ]
    size = 1 if where == "pointwise" else 3
    _, changes = swap(cfg(*([-1, 1, *row] for row in rows)), SwapRule("CondConv", (size,), where))
    assert [change.number for change in changes] == numbers


def test_a_1x1_of_an_operator_is_not_a_3x3():
    model = cfg([-1, 1, "Conv", [64, 3]], [-1, 1, "CondConv", [64, 1]], [-1, 1, "CondConv", [64, 1, 2]])
    _, changes = swap(model, SwapRule("Conv", (3,), "all3x3"))
    assert [change.number for change in changes] == [2]


def test_the_result_shares_nothing_with_base_or_rule():
    points = [[0, 0], [1, 1]]
    base = cfg([-1, 1, "Conv", [64, 3]], [-1, 3, "C3", [64]], [-1, 1, "Conv", [64, 3]])
    new, changes = swap(base, SwapRule("AKConv", (2,), "0,1,2", {"shape": points}))
    points.append([2, 2])
    changes[1].after[3].clear()
    base["backbone"][1][3].append(7)
    assert new["backbone"] == [
        [-1, 1, "AKConv", [64, 2, {"shape": [[0, 0], [1, 1]]}]],
        [-1, 3, "C3(AKConv)", [64, {"num_param": 2, "shape": [[0, 0], [1, 1]]}]],
        [-1, 1, "AKConv", [64, 2, {"shape": [[0, 0], [1, 1]]}]],
    ]


def test_rows_that_a_yaml_anchor_shares_change_one_by_one():
    base = yaml.safe_load("backbone: [&down [-1, 1, Conv, [64, 3, 2]], *down, *down]\nhead: [*down]")
    new, changes = swap(base, SwapRule("AKConv", (5,), "1,3"))
    assert [row[2] for row in [*new["backbone"], *new["head"]]] == ["Conv", "AKConv", "Conv", "AKConv"]
    assert [change.number for change in changes] == [1, 3]


# operators of other signatures


class Late(nn.Module):
    def __init__(self, c1, c2, k, mode="x", stride=1, *, act=True):
        super().__init__()


class ByName(nn.Module):
    def __init__(self, c1, c2, k=3, *, stride):
        super().__init__()


class Halving(nn.Module):
    def __init__(self, c1, c2, stride=2):
        super().__init__()


class Strideless(nn.Module):
    def __init__(self, c1, c2):
        super().__init__()


@pytest.mark.parametrize(
    ("module", "args", "conv", "after"),
    [
        (Late, (7,), [64, 3, 2], [64, 7, {"stride": 2}]),
        (Late, (7, "y"), [64, 3, 2], [64, 7, "y", 2]),
        (ByName, (7,), [64, 3, 2], [64, 7, {"stride": 2}]),
        (ByName, (), [64, 3], [64, {"stride": 1}]),  # it has no default, so that the row must say what it did
        (Halving, (), [64, 3, 1], [64, 1]),
        (Halving, (), [64, 3], [64, 1]),
        (Strideless, (), [64, 3], [64]),
        (Strideless, (), [64, 3, 1], [64]),
    ],
)
def test_stride_comes_where_the_signature_has_it(registers, module, args, conv, after):
    registers()(module)
    ours = swapped_row([-1, 1, "Conv", conv], SwapRule(module.__name__, args, "1"))
    assert ours == [-1, 1, module.__name__, after]
    back = swapped_row(ours, SwapRule("Conv", (3,), "1"))[3]
    assert back[:2] == [64, 3] and (back[2:] or [1]) == (conv[2:] or [1])


def test_a_stride_that_only_the_operator_knew_is_written(registers):
    registers()(Halving)
    assert swapped_row([-1, 1, "Halving", [64]], AKCONV5)[3] == [64, 5, 2]


def test_an_operator_without_stride_takes_blocks_but_no_row_of_stride_two(registers):
    registers()(Strideless)
    assert swapped_row([-1, 3, "C2f", [64]], SwapRule("Strideless", (), "1")) == [-1, 3, "C2f(Strideless)", [64]]
    with pytest.raises(RowError, match=r"^my.yaml, row 1: Strideless has no stride and cannot take a row of stride 2$"):
        swapped_row([-1, 1, "Conv", [64, 3, 2]], SwapRule("Strideless", (), "downsample"))


def test_an_operator_that_stands_in_for_something_else_is_refused_and_left_alone(registers):
    registers("Other", stands_in="Detect")(Strideless)
    with pytest.raises(RowError, match=r"^unknown operator .Other."):
        swap(YOLOV8, SwapRule("Other", (), "downsample"))
    with pytest.raises(RowError, match=r"row 1: Other .* cannot be swapped"):
        swapped_row([-1, 1, "Other", [64]], SwapRule("AKConv", (5,), "1"))


class Grouped(nn.Module):
    def __init__(self, c1, c2, k):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, groups=32)


def test_an_operator_may_need_more_channels_than_its_values_are_tried_with(registers):
    registers()(Grouped)
    assert swapped_row([-1, 1, "Conv", [256, 3]], SwapRule("Grouped", (3,), "1")) == [-1, 1, "Grouped", [256, 3]]


def test_trying_the_values_draws_no_random_numbers():
    state = torch.get_rng_state()
    swap(YOLOV8, AKCONV5)
    assert torch.equal(torch.get_rng_state(), state)


# there and back


@st.composite
def swaps(draw):
    """A model and a place in it that the rule changes."""
    name = draw(st.sampled_from(sorted(MODELS)))
    try:
        numbers = [change.number for change in swap(MODELS[name], SwapRule("AKConv", (5,), "all3x3"))[1]]
    except RowError:  # a model without any
        return name, None
    some = st.lists(st.sampled_from(numbers), min_size=1, unique=True).map(lambda rows: ",".join(map(str, rows)))
    return name, draw(st.sampled_from(PLACES) | some)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(swaps(), st.sampled_from([((5,), {}), ((5,), {"shape": "d"}), ((), {"num_param": 3})]))
def test_swapping_back_restores_the_base(model_and_place, arguments):
    name, where = model_and_place
    if where is None:
        return
    base, (args, keywords) = MODELS[name], arguments
    before = copy.deepcopy(base)
    try:
        new, changes = swap(base, SwapRule("AKConv", args, where, keywords))
    except RowError as error:
        assert where in PLACES and str(error).endswith("and there is none")
        return
    back, changed_back = swap(new, SwapRule("Conv", (3,), where))
    assert back == base == before
    assert changed_back == [(number, after, old) for number, old, after in changes]
    assert yaml.safe_load(model_yaml_text(new)) == new


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("where", "op", "keywords"),
    [
        ("depthwise", "DeformKernel", {}),
        ("depthwise", "CondConv", {"experts": 2}),
        ("pointwise", "GlobalDeformKernel", {"scope": 2, "groups": 1}),
        ("pointwise", "CondConv", {"kernel_size": 1}),
    ],
)
def test_swapping_a_keyword_back_restores_the_base(name, where, op, keywords):
    base = MODELS[name]
    try:
        new, changes = swap(base, SwapRule(op, (), where, keywords))
    except RowError as error:
        assert name not in OURS and str(error).endswith("and there is none")
        return
    back, changed_back = swap(new, SwapRule("Conv", (), where))
    assert back == base
    assert changed_back == [(number, after, old) for number, old, after in changes]
    assert yaml.safe_load(model_yaml_text(new)) == new


# refusals


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (SwapRule("AkConv", (5,), "downsample"), "unknown operator 'AkConv'\n  did you mean 'AKConv'"),
        (SwapRule("C2f", (5,), "downsample"), "unknown operator 'C2f'\n  known: AKConv, "),
        (SwapRule("Conv", (5,), "downsample"), "Conv can only be written back as 3x3\n  its one argument is 3"),
        (SwapRule("Conv", (), "downsample"), "Conv can only be written back as 3x3"),
        (SwapRule("Conv", (3,), "downsample", {"g": 2}), "Conv can only be written back as 3x3"),
        (
            SwapRule("AKConv", (), "downsample"),
            "AKConv []: missing a required argument: 'num_param'\n  AKConv takes [c2",
        ),
        (SwapRule("AKConv", (5,), "downsample", {"shap": "d"}), "AKConv has no argument 'shap', did you mean 'shape'"),
        (SwapRule("AKConv", (5,), "downsample", {"stride": 2}), "stride is set by the row"),
        (SwapRule("AKConv", (5,), "downsample", {"c2": 2}), "c2 is set by the row"),
        (SwapRule("AKConv", (5,), "downsample", {"c1": 2}), "c1 is set by the row"),
        (
            SwapRule("AKConv", (5, 2), "downsample"),
            "AKConv [5, 2]: 2 would be the stride, which the row sets\n  AKConv takes [c2",
        ),
        (SwapRule("AKConv", (5,), "downsample", {"num_param": 5}), "multiple values for argument 'num_param'"),
        (SwapRule("AKConv", tuple(range(9)), "downsample"), "too many positional arguments"),
        (SwapRule("AKConv", (0,), "downsample"), "AKConv: num_param=0 must be a whole number"),
        (SwapRule("AKConv", (5,), "downsampel"), "unknown place 'downsampel'\n  did you mean 'downsample'"),
        (SwapRule("AKConv", (5,), "-1"), "unknown place '-1'"),
        (SwapRule("AKConv", (5,), ""), "unknown place ''"),
        (SwapRule("AKConv", (5,), "1,99"), "my.yaml: there is no row 99\n  its rows are 0 to 4"),
        (SwapRule("AKConv", (5,), "0"), "my.yaml, row 0: Conv [64, 6, 2, 2] cannot be swapped: only a plain 3x3"),
        (SwapRule("AKConv", (5,), "3"), "my.yaml, row 3: SPPF [128, 5] cannot be swapped: it is not Conv"),
        (SwapRule("AKConv", (5,), "2"), "my.yaml, row 2: C3(Foo) cannot be swapped: Foo is not an operator"),
        (SwapRule("AKConv", (5,), "bottleneck"), "bottleneck looks for a block C3, C2f, C3k2, and there is none"),
        (
            SwapRule("Conv", (3,), "downsample"),
            "my.yaml: downsample changes nothing: this operator is already in row 1",
        ),
    ],
)
def test_an_impossible_rule_is_refused(rule, message):
    base = cfg(
        [-1, 1, "Conv", [64, 6, 2, 2]], [-1, 1, "Conv", [64, 3, 2]], [-1, 1, "C3(Foo)", [64]], [-1, 1, "SPPF", [128, 5]]
    )
    with pytest.raises(RowError) as caught:
        swap(base, rule)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (SwapRule("DeformKernel", (5,), "depthwise"), "kernel_size=5 does not fit a depthwise convolution: it is 3"),
        (SwapRule("CondConv", (3,), "pointwise"), "kernel_size=3 does not fit a pointwise convolution: it is 1"),
        (SwapRule("Conv", (1,), "depthwise"), "Conv can only be written back as 3x3"),
        (SwapRule("Conv", (3,), "pointwise"), "Conv can only be written back as 1x1\n  its one argument is 1, the"),
        (SwapRule("Conv", (), "1,2"), "Conv can only be written back as 3x3"),
        (SwapRule("CondConv", (), "1,2"), "CondConv []: missing a required argument: 'kernel_size'"),
        (SwapRule("CondConv", (1,), "2"), "my.yaml, row 2: CondConv of kernel_size=1 would be pointwise"),
        (SwapRule("AKConv", (5,), "depthwise"), "depthwise: AKConv cannot be used here: it does not have kernel_size"),
        (SwapRule("AKConv", (5,), "pointwise"), "pointwise: AKConv cannot be used here: it does not have kernel_size"),
        (SwapRule("CondConv", (), "depthwise", {"groups": 2}), "groups of CondConv is set by the block"),
        (SwapRule("CondConv", (), "pointwise", {"act": False}), "act of CondConv is set by the block"),
        (SwapRule("CondConv", (), "depthwise", {"expert": 2}), "no argument 'expert', did you mean 'experts'"),
        (SwapRule("CondConv", (), "depthwise", {"experts": 0}), "CondConv: experts=0"),
        (SwapRule("CondConv", (1,), "3"), "row 3: Conv [64, 1] cannot be swapped: only a plain 3x3"),
        (SwapRule("CondConv", (1,), "4"), "row 4: CondConv [64, 1] cannot be swapped by number: a 1x1 is the place"),
    ],
)
def test_a_rule_that_does_not_fit_a_block_is_refused(rule, message):
    rows = [
        ["Conv", [64, 6, 2, 2]],
        ["DWBottleneck", [64]],
        ["Conv", [64, 3]],
        ["Conv", [64, 1]],
        ["CondConv", [64, 1]],
    ]
    with pytest.raises(RowError) as caught:
        swap(cfg(*([-1, 1, *row] for row in rows)), rule)
    assert message in str(caught.value)


@pytest.mark.parametrize("where", ["depthwise", "pointwise"])
def test_a_model_without_the_place_is_named(where):
    with pytest.raises(RowError, match=f"my.yaml: {where} looks for a .*, and there is none"):
        swap(cfg([-1, 1, "Conv", [64, 3]]), SwapRule("CondConv", (), where))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([-1, 1, "DWBottleneck", [64, 1, 2]], "my.yaml, row 1: DWBottleneck [64, 1, 2]: too many"),
        ([-1, 1, "Conv"], "my.yaml, row 1: [-1, 1, 'Conv'] is not a row"),
        ([-1, 1, ["Conv"], [3]], "is not a row"),
        ("Conv", "is not a row"),
        ([-1, 1, "AKConv", [64]], "my.yaml, row 1: AKConv [64]: missing a required argument: 'num_param'"),
        ([-1, 1, "AKConv", [64, 5, "two"]], "my.yaml, row 1: stride='two' must be a whole number"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row, message):
    with pytest.raises(RowError) as caught:
        swapped_row(row, AKCONV5)
    assert message in str(caught.value)


@pytest.mark.parametrize("args", [[64], [64, 5, 2], [64, 3, 2, None], [64, 3, 0], [64, True, 2], [64, "3", 2], []])
def test_only_a_plain_3x3_is_swapped(args):
    with pytest.raises(RowError, match="cannot be swapped: only a plain 3x3"):
        swapped_row([-1, 1, "Conv", args], SwapRule("AKConv", (5,), "1"))


@pytest.mark.parametrize("base", [{}, {"backbone": []}, {"backbone": 3, "head": 3}, {"backbone": [[-1, 1, "C3", [8]]]}])
def test_a_mapping_without_rows_is_refused(base):
    with pytest.raises(RowError, match=r"model yaml: no list of rows under '(backbone|head):'"):
        swap(base, AKCONV5)


# the text


@pytest.mark.parametrize("name", MODELS)
def test_the_text_reads_back_to_the_same(name):
    text = model_yaml_text(MODELS[name])
    assert yaml.safe_load(text) == MODELS[name]
    assert len([line for line in text.splitlines() if line.startswith("  - [")]) == len(
        [*MODELS[name]["backbone"], *MODELS[name]["head"]]
    )


def test_the_text_is_laid_out_for_reading():
    shape = [[0, 0], [0.5, 1]]
    model = {
        "nc": 80,
        "kpt_shape": [17, 3],
        "text": "a: b # c",
        "names": {0: "no", 1: "None", 2: None},
        "scales": {"n": [0.33, 0.25, 1024], "s": [0.33, 0.5, 1024]},
        "empty": {},
        "backbone": [
            [-1, 1, "AKConv", [128, 5, 2]],
            [-1, 1, "AKConv", [128, 2, 1, {"shape": shape, "again": shape}]],
            [-1, 1, "nn.Upsample", [None, 2, "nearest", "None", True, "True", "1.0", "[nc]", "é" * 200 + " x" * 50]],
        ],
    }
    text = model_yaml_text(model)
    assert yaml.safe_load(text) == model
    start = """\
nc: 80
kpt_shape: [17, 3]
text: 'a: b # c'
names:
  0: 'no'
  1: None
  2: null
scales:
  n: [0.33, 0.25, 1024]
  s: [0.33, 0.5, 1024]
empty: {}
backbone:
  - [-1, 1, AKConv, [128, 5, 2]]
  - [-1, 1, AKConv, [128, 2, 1, {shape: [[0, 0], [0.5, 1]], again: [[0, 0], [0.5, 1]]}]]
  - [-1, 1, nn.Upsample, [null, 2, nearest, None, true, 'True', '1.0', '[nc]', \
"""
    assert text.startswith(start) and text.count("\n") == start.count("\n") + 1


def test_a_row_in_one_line():
    assert row_text([[-1, 6], 1, "Concat", [1]]) == "[[-1, 6], 1, Concat, [1]]"


@pytest.mark.parametrize(("name", "scale"), [("yolov8n-x.yaml", "n"), ("a/yolo11s.yaml", "s"), ("mine.yaml", "")])
def test_the_scale_in_a_name(name, scale):
    assert scale_in(name) == scale


# nothing is done twice


@pytest.mark.parametrize(
    ("model", "rule", "rows"),
    [
        (YOLOV8, SwapRule("AKConv", (5,), "all3x3"), 15),
        (MODELS["resnet50-dw.yaml"], SwapRule("CondConv", (), "pointwise", {"experts": 2}), 8),
        (MIXED, SwapRule("CondConv", (3,), "0,1,2"), 3),
    ],
    ids=["operators in rows and in blocks", "keywords", "three classes of rows"],
)
def test_a_rule_is_bound_once(model, rule, rows, monkeypatch):
    bind_partial, calls = inspect.Signature.bind_partial, []

    def count(signature, *args, **keywords):
        calls.append(args)
        return bind_partial(signature, *args, **keywords)

    monkeypatch.setattr(inspect.Signature, "bind_partial", count)
    _, changes = swap(model, rule)
    assert (len(changes), len(calls)) == (rows, 1)


def test_a_row_is_read_once(monkeypatch):
    counted = Counter()
    for module, name in ((rewrite, "read_row"), (convolutions, "split_row"), (convolutions, "bind")):
        function = getattr(module, name)

        def count(*args, name=name, function=function):
            counted[name] += 1
            return function(*args)

        monkeypatch.setattr(module, name, count)
    swapped, _ = swap(YOLOV8, SwapRule("AKConv", (5,), "all3x3"))
    number = len([*YOLOV8["backbone"], *YOLOV8["head"]])
    assert counted == {"read_row": number, "split_row": number}
    swap(swapped, SwapRule("DeformConv", (3,), "downsample"))
    assert counted == {"read_row": 2 * number, "split_row": 2 * number, "bind": 7}  # the rows that hold an operator
