"""YAML in, lowered YAML and plan out."""

import copy

import pytest

from akyolo.errors import RowError
from akyolo.model_yaml import grammar, lower
from akyolo.registry import operator

KNOWN = ["Conv", "C2f", "Detect"]


def cfg(*rows, **more):
    return {"nc": 3, "yaml_file": "my.yaml", "backbone": list(rows), "head": [[-1, 1, "Detect", ["nc"]]], **more}


def test_without_a_row_of_ours_the_same_mapping_comes_back():
    plain = cfg([-1, 1, "Conv", [64, 3, 2]], [-1, 1, "nn.Upsample", [None, 2, "nearest"]])
    lowered, plan = lower(plain, KNOWN)
    assert lowered is plain and plan.rows == ()


def test_our_row_becomes_a_conv_of_the_same_channels_stride_and_repeats():
    ours = cfg([-1, 1, "Conv", [64, 3, 2]], [0, 2, "AKConv", [128, 5, 2, {"shape": "d"}]])
    before = copy.deepcopy(ours)
    lowered, plan = lower(ours, KNOWN)
    assert ours == before
    assert lowered["backbone"][1] == [0, 2, "Conv", [128, 1, 2]]
    (row,) = plan.rows
    assert (row.index, row.operator) == (1, "AKConv")
    assert (row.args, dict(row.keywords)) == ((5, 2, "d"), {})  # a keyword takes its place in the signature
    assert row.location == "my.yaml, row 1"


def test_a_block_becomes_a_bottleneck_and_a_head_a_classify():
    own = {"depthwise": {"AKConv": {"shape": "None", "num_param": 3}}}
    ours = cfg([-1, 1, "Conv", [64, 3, 2]], [-1, 2, "DWBottleneck", [128, 2, own]])
    ours["head"] = [[-1, 1, "Classifier", ["nc"]]]
    lowered, plan = lower(ours, KNOWN)
    assert lowered["backbone"][1] == [-1, 2, "Bottleneck", [128]]
    assert lowered["head"] == [[-1, 1, "Classify", ["nc"]]]
    block, head = plan.rows
    assert block.args == (2,)
    assert dict(block.keywords) == {
        "depthwise": {"AKConv": {"shape": None, "num_param": 3}}
    }  # None as upstream writes it
    assert (head.operator, head.args, dict(head.keywords)) == ("Classifier", (), {})


def test_rows_of_the_head_count_on():
    ours = cfg([-1, 1, "Conv", [64, 3, 2]])
    ours["head"].insert(0, [-1, 1, "LDConv", ["nc", 3]])
    _, plan = lower(ours, KNOWN)
    assert plan.rows[0].location == "my.yaml, row 1" and plan.rows[0].operator == "LDConv"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([-1, 1, "AKConv", [128]], "missing a required argument: 'num_param'"),
        ([-1, 1, "AKConv", [128, 5, 2, None, True, "zeros", True, 9]], "too many positional"),
        ([-1, 1, "AKConv", [128, 5, 0]], "stride=0"),
        ([-1, 1, "AKConv", [128, 5, -2]], "stride=-2"),
        ([-1, 1, "AKConv", [128, 5, "2.0"]], "stride=2.0"),
        ([-1, 1, "AKConv", [0, 5]], "output channels 0"),
        ([-1, 1, "AKConv", ["many", 5]], "output channels 'many'"),
        ([-1, 1, "AKConv", [128, 5, {"shap": "d"}]], "did you mean 'shape'"),
        ([-1, 1, "AKConv", [128, 5, {"c1": 3}]], "no argument 'c1'"),
        ([-1, 1, "AkConv", [128, 5]], "unknown module 'AkConv'\n  did you mean 'AKConv'"),
        ([-1, 1, "Convv", [128, 5]], "did you mean 'Conv'"),
        ([-1, 0, "Conv", [128, 5]], "repeats=0"),
        ([-1, 1.5, "Conv", [128, 5]], "repeats=1.5"),
        (["up", 1, "Conv", [128, 5]], "from='up'"),
        ([-1, 1, 7, [128]], "module 7"),
        ([-1, 1, "Conv"], "is not a row"),
        ("Conv", "is not a row"),
        ([-1, 1, "Conv", 64], "is not a row"),
    ],
)
def test_a_wrong_row_names_file_row_and_remedy(row, message):
    with pytest.raises(RowError) as caught:
        lower(cfg([-1, 1, "Conv", [64, 3, 2]], row), KNOWN)
    assert str(caught.value).startswith("my.yaml, row 1: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", [{"backbone": None}, {"head": []}, {"head": 3}])
def test_a_yaml_without_rows_is_refused(missing):
    with pytest.raises(RowError, match=r"my.yaml: no list of rows under"):
        lower(cfg([-1, 1, "Conv", [64, 3, 2]], **missing), KNOWN)


@pytest.mark.parametrize(
    "text", ["nn.SiLU()", "torch.nn.LeakyReLU(0.1)", "nn.LeakyReLU(negative_slope=0.1, inplace=True)", "nn.ReLU6()"]
)
def test_plain_activations_are_allowed(text):
    lower(cfg([-1, 1, "Conv", [64, 3, 2]], activation=text), KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "nn.SiLU",
        "nn.Sequential(nn.SiLU())",
        "nn.LeakyReLU(__import__('os').getpid())",
        "nn.SiLU().__class__()",
        "nn.init.zeros_()",
        "nn.Parameter(1)",
        "torch.nn.functional.silu()",
        "os.nn.SiLU()",
        "nn.SiLU(); import os",
        "(lambda: 0)()",
        "nn.LeakyReLU(*[0.1])",
        "nn.LeakyReLU(**{'inplace': exit()})",
        "nn.\x00SiLU()",
        5,
        ["nn.SiLU()"],
    ],
)
def test_activations_that_would_run_code_are_refused(text):
    with pytest.raises(RowError, match=r"my.yaml, activation: activation .* is not allowed"):
        lower(cfg([-1, 1, "Conv", [64, 3, 2]], activation=text), KNOWN)


def test_grammar_shows_places_and_defaults():
    assert grammar(operator("AKConv")) == (
        "[c2, num_param, stride=1, {shape: null, offset: true, padding_mode: zeros, act: true}]"
    )
