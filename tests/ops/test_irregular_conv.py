"""IrregularConv against its equations."""

import copy
import pickle
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from akyolo.cost import cost
from akyolo.errors import RowError
from akyolo.ops import irregular_conv as irregular
from akyolo.ops.irregular_conv import IrregularConv, clamped_step, dense_kernel, irregular_conv
from akyolo.sampling import regular_grid, sample
from akyolo.upstream.training.param_groups import call_after_steps
from tests.helpers.contract import OperatorContract, shake


class TestContract(OperatorContract):
    operator = IrregularConv
    cases = [
        {"kernel_size": 3},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 2, "stride": 3, "act": False},
        {"kernel_size": 3, "shared": True, "epsilon": 0.25},
        {"kernel_size": 5, "stride": 2, "shared": True},
    ]
    in_yolov8n = {"args": (3,)}


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_sampling(x, positions, weight, stride):
    """Eq. 3 as it is written: every channel of every image looked at in its own places."""
    b, c, height, width = x.shape
    i, j = (torch.arange(0, length, stride, dtype=x.dtype) for length in (height, width))
    centres = torch.stack(torch.meshgrid(i, j, indexing="ij"), dim=-1)
    places = rearrange(positions.expand(c, -1, 2), "c n yx -> c n 1 1 yx") + centres
    each = rearrange(x, "b c h w -> (b c) 1 h w")
    seen = sample(each, rearrange(places.expand(b, *places.shape), "b c n h w yx -> (b c) n h w yx"))
    taps = rearrange(seen, "(b c) 1 n h w -> b c n h w", b=b)
    return torch.einsum("bcnhw,ocn->bohw", taps, weight.flatten(2))


@given(st.booleans(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99), st.sampled_from([0, 0.5, 3, 9]))
@settings(max_examples=25, deadline=None)
def test_the_dense_kernel_sees_what_the_sampler_sees(shared, k, stride, seed, spread):
    """In values and gradients, beyond the border and on the integers too."""
    leaves = {
        "x": random(2, 3, 7, 10, seed=seed),
        "positions": random(1 if shared else 3, k * k, 2, seed=seed + 1) * spread,
        "weight": random(4, 3, k, k, seed=seed + 2),
    }
    leaves["positions"][0, 0] = leaves["positions"][0, 0].round()
    assert_agree(leaves, stride)


def assert_agree(leaves, stride):
    results = []
    for realise in (irregular_conv, by_sampling):
        inputs = {name: value.clone().requires_grad_() for name, value in leaves.items()}
        out = realise(**inputs, stride=stride)
        (out * random(*out.shape, seed=7)).sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in inputs.values())])
    for dense, sampled in zip(*results, strict=True):
        torch.testing.assert_close(dense, sampled, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("stride", [1, 3])
def test_taps_far_apart_are_sampled(shared, stride, monkeypatch):
    """Their dense kernel would be larger than the map."""
    monkeypatch.setattr(irregular, "dense_kernel", None)
    positions = random(1 if shared else 3, 9, 2, seed=1)
    positions[0, 0], positions[0, 8] = torch.tensor([-20.3, -19.6]), torch.tensor([25.1, 17.2])
    leaves = {"x": random(2, 3, 40, 35), "positions": positions, "weight": random(4, 3, 3, 3, seed=2)}
    assert_agree(leaves, stride)
    bias = random(4, seed=3)
    without, found = (irregular_conv(**leaves, bias=b, stride=stride) for b in (None, bias))
    torch.testing.assert_close(found, without + bias[:, None, None])


def test_closer_to_an_integer_than_float32_can_tell_the_slope_is_still_that_to_the_right():
    grid = torch.tensor(regular_grid(3), dtype=torch.float64)
    assert_agree({"x": random(2, 3, 7, 10), "positions": grid[None] - 1e-10, "weight": random(4, 3, 3, 3, seed=1)}, 1)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_on_the_regular_grid_it_is_the_plain_convolution(k, stride):
    x, weight, bias = random(2, 3, 11, 14), random(4, 3, k, k, seed=1), random(4, seed=2)
    before, after = (k - 1) // 2, k // 2
    expected = F.conv2d(F.pad(x, (before, after, before, after)), weight, bias, stride)
    grid = torch.tensor(regular_grid(k), dtype=torch.float64)
    for positions in (grid, grid[None], grid.repeat(3, 1, 1)):
        torch.testing.assert_close(irregular_conv(x, positions, weight, bias, stride), expected)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1)])
def test_whole_pixels_look_at_the_shifted_channel(stride, padding):
    x, weight = random(2, 3, 12, 9), random(4, 3, 3, 3, seed=1)
    grid = torch.tensor(regular_grid(3), dtype=torch.float64)
    shifts = torch.tensor([[1, 2], [-3, 0], [0, -2]], dtype=torch.float64)
    shifted = torch.zeros_like(x)
    shifted[:, 0, :-1, :-2] = x[:, 0, 1:, 2:]
    shifted[:, 1, 3:] = x[:, 1, :-3]
    shifted[:, 2, :, 2:] = x[:, 2, :, :-2]
    inside = (..., slice(4, -4) if stride == 1 else slice(2, -2), slice(3, -3) if stride == 1 else slice(2, -2))
    found = irregular_conv(x, grid + shifts[:, None], weight, stride=stride)
    expected = F.conv2d(shifted, weight, stride=stride, padding=padding)
    torch.testing.assert_close(found[inside], expected[inside])


def test_positions_start_beside_the_integers():
    """Eq. 5."""
    for shared, channels in ((False, 3), (True, 1)):
        positions = IrregularConv(3, 7, 2, shared=shared, epsilon=0.2).positions
        expected = torch.tensor([[0.2, 0.2], [0.2, 1.2], [1.2, 0.2], [1.2, 1.2]]).expand(channels, 4, 2)
        torch.testing.assert_close(positions.detach(), expected)


def test_a_reset_brings_the_start_back():
    op = shake(IrregularConv(3, 7, 3)).train()
    op(torch.randn(2, 3, 8, 9))
    op.reset_parameters()
    assert torch.equal(op.positions, IrregularConv(3, 7, 3).positions)
    op(torch.randn(2, 3, 8, 9))  # and is no step
    assert torch.equal(op.positions, IrregularConv(3, 7, 3).positions)


@pytest.mark.parametrize("far", [1e9, -1e30, 7.0, -10.0])
def test_a_tap_that_sees_no_map_adds_nothing_to_kernel_or_output(far, monkeypatch):
    x, weight = random(1, 2, 7, 10), random(4, 2, 3, 3, seed=1)
    positions = torch.tensor(regular_grid(3), dtype=torch.float64) + 0.3
    positions[4] = torch.tensor([5.3, far * 2])  # off the map on one axis is enough
    positions[0, 0] = far
    kept = weight.clone()
    kept[:, :, 1, 1] = kept[:, :, 0, 0] = 0
    sizes = []
    plain = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda x, kernel, *rest: sizes.append(kernel.shape[2:]) or plain(x, kernel, *rest))
    out = irregular_conv(x, positions, weight)
    assert sizes == [(4, 4)]
    grid = torch.tensor(regular_grid(3), dtype=torch.float64) + 0.3
    torch.testing.assert_close(out, irregular_conv(x, grid, kept))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_position_shows_in_the_output(value):
    op = shake(IrregularConv(3, 4, 3))
    op.positions.data[1, 5, 0] = value
    assert op.eval()(torch.randn(1, 3, 8, 9)).isnan().all()
    op.train()
    op.last_positions = IrregularConv(3, 4, 3).positions.detach().clone()
    assert op(torch.randn(1, 3, 8, 9)).isnan().all()  # the clamp does not hide it


def test_a_trace_keeps_taps_that_lie_beyond_the_map_it_was_made_with():
    op = shake(IrregularConv(3, 4, 3)).eval()
    op.positions.data[1] += torch.tensor([13.0, -17.0])
    with torch.no_grad():
        traced = torch.jit.trace(op, torch.randn(1, 3, 5, 6))
        x = torch.randn(2, 3, 30, 40)
        torch.testing.assert_close(traced(x), op(x), rtol=1e-4, atol=1e-4)


def test_under_autocast_and_from_halves_the_kernel_is_made_in_float32():
    positions, weight = random(3, 9, 2).half(), random(4, 3, 3, 3, seed=1).half()
    with torch.autocast("cpu", torch.bfloat16):
        kernel = dense_kernel(positions, weight, (4, 4), (4, 4))
    assert kernel.dtype == torch.float32
    torch.testing.assert_close(kernel, dense_kernel(positions.float(), weight.float(), (4, 4), (4, 4)))


# --- eq. 7


def test_a_step_is_held_to_the_next_pixels():
    last = torch.tensor([0.1, 0.1, 0.1, -0.4, 2.0, 2.0, 2.0])
    new = torch.tensor([0.9, 5.0, -5.0, -5.0, 2.05, 1.0, 2.5])
    expected = torch.tensor([0.9, 1.1, -0.1, -1.1, 2.05, 1.9, 2.1])
    torch.testing.assert_close(clamped_step(new, last, 0.1), expected)


def test_a_step_that_is_not_finite_stays_visible():
    steps = torch.tensor([float("inf"), -float("inf"), float("nan")])
    assert clamped_step(steps, torch.zeros(3), 0.1).isnan().all()


def recorded(op):
    """The positions that each of the next forward passes uses."""
    used = []
    op.conv.register_forward_pre_hook(lambda _, inputs: used.append(inputs[1].detach().clone()))
    return used


def assert_steps_hold(used, epsilon):
    for last, new in pairwise(used):
        assert (new >= last.floor() - epsilon - 1e-5).all() and (new <= last.ceil() + epsilon + 1e-5).all()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_eq_7_holds_at_any_rate(optimizer, shared):
    op = IrregularConv(3, 4, 3, shared=shared).train()
    used, proposed = recorded(op), []
    stepper = optimizer([op.positions], lr=50)
    for step in range(20):
        stepper.zero_grad()
        (op(random(2, 3, 9, 12, seed=step).float()) * random(2, 4, 9, 12, seed=50).float()).sum().backward()
        stepper.step()
        proposed.append(op.positions.detach().clone())
    assert_steps_hold(used, 0.1)
    assert len(used) == 20 and (used[-1] - used[0]).abs().max() > 2
    assert any((far - last).abs().max() > 3 for far, last in zip(proposed, used, strict=True))  # there was a need


def test_after_a_step_what_is_averaged_holds_eq_7_already():
    op = moved(IrregularConv(3, 4, 3))
    optimizer = torch.optim.SGD([op.positions], lr=0.0)
    call_after_steps(optimizer, nn.Sequential(nn.Identity(), op))
    op.positions.grad = torch.zeros_like(op.positions)
    optimizer.step()
    assert_steps_hold([op.last_positions, op.positions.detach()], 0.1)
    assert (op.positions - op.last_positions).max() > 0.5


def test_accumulated_gradients_are_those_of_one_batch():
    """Two passes before a step: the second clamps nothing, and a write between pass and backward hurts neither."""
    op = shake(IrregularConv(3, 4, 3, act=False)).double().train()
    op.bn = nn.Identity()
    halves = random(2, 3, 9, 12).split(1)
    op(halves[0])
    op.positions.data += 5  # a step that the next pass cuts down
    (op(halves[0]).sum() + op(halves[1]).sum()).backward()  # both graphs are still alive
    found = op.positions.grad.clone()
    op.positions.grad = None
    op(torch.cat(halves)).sum().backward()
    torch.testing.assert_close(found, op.positions.grad)


def test_a_clamp_before_backward_leaves_the_gradients_of_the_earlier_pass():
    op = shake(IrregularConv(3, 4, 3)).double().train()
    op.bn = nn.Identity()
    alone = copy.deepcopy(op)
    alone(random(2, 3, 9, 12)).sum().backward()
    early = op(random(2, 3, 9, 12)).sum()
    with torch.no_grad():
        op.positions += 5
    op(random(2, 3, 9, 12))
    assert (op.positions - alone.positions).abs().max() < 1.5  # it was cut down
    early.backward()
    torch.testing.assert_close(op.positions.grad, alone.positions.grad)


def moved(op):
    """Used in training once, then moved further than eq. 7 allows."""
    op.train()(torch.randn(2, 3, 8, 9))
    with torch.no_grad():
        op.positions += 7
    return op


def test_evaluation_changes_no_position():
    op = moved(IrregularConv(3, 4, 3))
    before = op.positions.detach().clone()
    op.eval()(torch.randn(2, 3, 8, 9))
    assert torch.equal(op.positions, before)
    op.train()(torch.randn(2, 3, 8, 9))
    assert not torch.equal(op.positions, before)


def loaded(op):
    op.load_state_dict({key: value.clone() for key, value in op.state_dict().items()})
    return op


@pytest.mark.parametrize("again", [copy.deepcopy, lambda op: pickle.loads(pickle.dumps(op)), loaded])
def test_a_copy_and_what_loads_weights_have_no_last_positions(again):
    op = again(moved(IrregularConv(3, 4, 3))).train()
    before = op.positions.detach().clone()
    op(torch.randn(2, 3, 8, 9))
    assert torch.equal(op.positions, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_dtype_is_no_step_and_last_positions_follow(dtype):
    op = IrregularConv(3, 4, 3).train()
    op(torch.randn(2, 3, 8, 9))
    before = op.to(dtype).positions.detach().clone()
    op(torch.randn(2, 3, 8, 9, dtype=dtype))
    assert torch.equal(op.positions, before)
    assert op.last_positions.dtype == dtype


def test_last_positions_are_no_weights():
    op = IrregularConv(3, 4, 3).train()
    keys = list(op.state_dict())
    op(torch.randn(2, 3, 8, 9))
    assert list(op.state_dict()) == keys and "positions" in keys and "last_positions" not in keys


# --- the module


def test_the_weight_of_a_plain_convolution_is_read_by_name():
    plain = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    op = IrregularConv(3, 4, 3).eval()
    op.load_state_dict({"conv.weight": plain.weight}, strict=False)
    with torch.no_grad():
        op.positions -= op.epsilon
    x = torch.randn(2, 3, 8, 9)
    torch.testing.assert_close(op.raw(x), plain(x), rtol=1e-4, atol=1e-5)


def test_profilers_count_the_k_by_k_products_of_the_layer():
    op = IrregularConv(16, 8, 3, 2)
    plain = nn.Conv2d(16, 8, 3, 2, 1, bias=False)
    op.bn, op.act = nn.Identity(), nn.Identity()
    assert cost(op, 12, 20, 16).gflops == cost(plain, 12, 20, 16).gflops


def test_what_trainers_ask():
    op = IrregularConv(3, 4, 3)
    assert list(op.offset_parameters()) == list(op.undecayed_parameters()) == [op.positions]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": 3, "stride": 1.5}, "stride=1.5"),
        ({"kernel_size": 3, "shared": 1}, "shared=1 must be true or false"),
        ({"kernel_size": 3, "act": "SiLU"}, "act='SiLU'"),
        *(
            ({"kernel_size": 3, "epsilon": epsilon}, "epsilon=.* between 0 and 0.5, neither included")
            for epsilon in (0, 0.5, -0.1, True, "0.1", None, float("nan"), [0.1])
        ),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(RowError, match=message):
        IrregularConv(3, 4, **arguments)


def test_function_and_module_are_one():
    op = shake(IrregularConv(3, 6, 3, 2)).eval()
    x = torch.randn(2, 3, 12, 10)
    raw = irregular_conv(x, op.positions, op.conv.weight, stride=2)
    assert torch.equal(op.act(op.bn(raw)), op(x))
