"""What the benchmarks run: variants that compute the same, training steps, fused inference."""

import pytest
import torch

from akyolo.bench import run
from akyolo.bench.layer_variants import check_equal, layer_variants

SETTINGS = run.BenchSettings(1, 64, 1, torch.device("cpu"), torch.float32)


def test_threads_are_as_before_afterwards():
    before = torch.get_num_threads()
    with run.use_threads(before + 1):
        assert SETTINGS.describe()["threads"] == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with run.use_threads(None):
        assert SETTINGS.describe()["threads"] == before


@pytest.mark.parametrize(
    ("op", "broken"),
    [
        ("AKConv", "four-gather"),
        ("AKConv", "deform_conv2d"),
        ("AKConv", "ours channels_last"),
        ("DeformConv", "deform_conv2d"),
        ("ModulatedDeformConv", "deform_conv2d channels_last"),
        ("ModulatedDeformConv", "ours channels_last"),
    ],
)
def test_methods_that_disagree_are_not_timed(op, broken):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 16, 12)
    modules = layer_variants(op, 4, 8, x)
    assert modules["ours"].offset_conv(x).std() > 1
    check_equal(modules, x)
    modules[broken].conv.weight.data[0, 0, 0] += 1e-6
    with pytest.raises(RuntimeError, match=f"{broken} and ours differ"):
        check_equal(modules, x)


def test_a_training_step_trains_with_spread_offsets_and_leaves_no_gradients():
    network = run.detection_network("cfg/yolov8n-akconv5.yaml")
    images = torch.rand(1, 3, 64, 64)
    step = run.training_variant(network, images, torch.float32).step
    spreads, reached = [], set()
    operator = network.model[1]
    operator.offset_conv.register_forward_hook(lambda _, inputs, output: spreads.append(output.std().item()))
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient, name=name: reached.add(name))
    step()
    assert spreads == pytest.approx([2.0], rel=0.05)
    assert "model.1.offset_conv.weight" in reached and "model.0.conv.weight" in reached
    assert all(parameter.grad is None for parameter in network.parameters())


def test_inference_is_fused():
    network = run.detection_network("cfg/yolov8n-akconv5.yaml")
    run.inference_variant(network, torch.rand(1, 3, 64, 64), torch.float32)
    assert network.is_fused() and not network.training
