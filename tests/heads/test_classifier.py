"""The head of ResNet and MobileNet-V2, under upstream's classification model."""

import copy

import pytest
import torch
from ultralytics.nn.tasks import ClassificationModel, guess_model_task

from akyolo.errors import RowError
from akyolo.heads import Classifier
from akyolo.upstream_blocks import Classify


def model_of(head, nc=5, source=-1, repeats=1):
    cfg = {
        "nc": nc,
        "yaml_file": "my.yaml",
        "backbone": [[-1, 1, "Conv", [24, 3, 2]]],
        "head": [[source, repeats, "Classifier", head]],
    }
    return ClassificationModel(copy.deepcopy(cfg), verbose=False)


def test_its_outputs_are_those_of_upstreams_head():
    head, x = Classifier(7, 3), torch.randn(2, 7, 4, 5)
    logits = x.mean((2, 3)) @ head.linear.weight.T + head.linear.bias
    assert torch.allclose(head.train()(x), logits, atol=1e-6)
    probabilities, raw = head.eval()(x)
    assert torch.allclose(raw, logits, atol=1e-6) and torch.allclose(probabilities, logits.softmax(1))
    head.export = True
    assert torch.allclose(head(x), probabilities)
    assert [type(y) for y in (Classify(7, 3).eval()(x), (probabilities, raw))] == [tuple, tuple]
    assert sum(p.numel() for p in head.parameters()) == (7 + 1) * 3


def test_a_row_of_it_is_a_classification_model():
    model = model_of(["nc"])
    assert type(model.model[-1]) is Classifier and guess_model_task(model) == "classify"
    assert model.model[-1].linear.weight.shape == (5, 24) and model.model[-1].i == 1
    assert model.train()(torch.randn(2, 3, 32, 64)).shape == (2, 5)


def test_another_number_of_classes_keeps_the_rest():
    model, other = model_of(["nc"]), model_of(["nc"], nc=9)
    ClassificationModel.reshape_outputs(model, 8)
    assert model.model[-1].linear.out_features == 8
    other.load(model, verbose=False)
    assert torch.equal(other.model[0].conv.weight, model.model[0].conv.weight)
    assert other.model[-1].linear.out_features == 9


def test_dropout_acts_in_training_alone():
    """Upstream's trainer sets it in every Dropout module."""
    model, x = model_of(["nc"]), torch.randn(1, 3, 32, 32)
    (drop,) = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    drop.p = 1.0
    assert torch.equal(model.train()(x)[0], model.model[-1].linear.bias)
    assert not torch.equal(model.eval()(x)[1][0], model.model[-1].linear.bias)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"head": ["nc"], "source": [-1]},
            "row 1: Classifier is a head: it must be the last row, with 1 repeat and one input row",
        ),
        ({"head": ["nc"], "repeats": 2}, "row 1: Classifier is a head"),
        ({"head": []}, "row 1: Classifier []: missing a required argument: 'nc'"),
        ({"head": ["nc", 3]}, "row 1: Classifier ['nc', 3]: too many"),
        pytest.param(
            {"head": [0]},
            "row 1: nc=0 must be",
            # upstream's stand-in is built before our head sees the number
            marks=pytest.mark.filterwarnings("ignore:Initializing zero-element tensors is a no-op"),
        ),
    ],
)
def test_a_wrong_row_is_refused(row, message):
    with pytest.raises(RowError) as refused:
        model_of(**row)
    assert str(refused.value).startswith("my.yaml, ") and message in str(refused.value)


def test_it_ends_the_model():
    cfg = {"nc": 3, "yaml_file": "my.yaml", "backbone": [[-1, 1, "Classifier", ["nc"]]]}
    cfg["head"] = [[-1, 1, "Conv", [8]]]
    with pytest.raises(RowError, match="row 0: Classifier is a head: it must be the last row"):
        ClassificationModel(cfg, verbose=False)
