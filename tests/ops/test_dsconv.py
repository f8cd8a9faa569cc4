"""Dynamic snake convolution against its equations, and the turns that its axes take over a model."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo import YOLO
from akyolo.errors import RowError
from akyolo.ops.dsconv import DSConv, dsconv, snake_positions
from tests.helpers.contract import OperatorContract, shake


class TestContract(OperatorContract):
    operator = DSConv
    cases = [
        {"kernel_size": 1, "axis": "y"},
        {"kernel_size": 4, "stride": 3},
        {"kernel_size": 5, "axis": "y", "stride": 2},
        {"kernel_size": 9, "axis": "x", "extend_scope": 2.5},
        {"kernel_size": 3, "axis": "both", "act": False},
    ]
    in_yolov8n = {"args": (5,)}


def axes_of(model: torch.nn.Module) -> list[str]:
    return ["".join(m.snakes) for m in model.modules() if isinstance(m, DSConv)]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3, 4, 5])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_without_offsets_it_is_the_plain_convolution_of_a_line(axis, k, stride):
    op = shake(DSConv(3, 7, k, stride, axis, act=False)).double()
    torch.nn.init.zeros_(op.offset_norm.weight)
    torch.nn.init.zeros_(op.offset_norm.bias)
    op.norm = torch.nn.Identity()
    x = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    snake = op.snakes[axis]
    before, after = k // 2, k - 1 - k // 2
    weight, padding = {
        "x": (rearrange(snake.weight, "o c k 1 -> o c 1 k"), (before, after, 0, 0)),
        "y": (snake.weight, (0, 0, before, after)),
    }[axis]
    expected = F.conv2d(F.pad(x, padding, mode="replicate"), weight, snake.bias, stride)
    assert torch.allclose(op(x), expected, atol=1e-12)


def offsets(k: int, seed: int, h: int = 3, w: int = 5) -> torch.Tensor:
    return torch.randn(2, 2 * k, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tanh()


@given(
    st.integers(1, 9), st.integers(1, 3), st.sampled_from("xy"), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_each_tap_moves_by_its_own_offset_from_where_its_inner_neighbour_stands(k, stride, axis, scope, seed):
    offset = offsets(k, seed)
    positions = rearrange(snake_positions(offset, axis, stride, scope), "b n h w yx -> yx n b h w")
    across, along = positions if axis == "x" else positions.flip(0)
    rows, columns = torch.meshgrid(torch.arange(3.0) * stride, torch.arange(5.0) * stride, indexing="ij")
    of_across, of_along = (rows, columns) if axis == "x" else (columns, rows)
    own = offset.chunk(2, dim=1)["xy".index(axis)]
    centre = k // 2
    for n in range(k):
        assert torch.equal(along[n], (of_along + n - centre).expand_as(along[n]).double())
        if n == centre:
            assert torch.equal(across[n], of_across.expand_as(across[n]).double())
        else:
            step = across[n] - across[n + 1 if n < centre else n - 1]
            assert torch.allclose(step, scope * own[:, n], atol=1e-12)
            assert step.abs().max() <= scope


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("k", [4, 5])
def test_offsets_of_the_centre_and_of_the_other_axis_move_nothing(k, axis):
    offset = offsets(k, seed=7).requires_grad_()
    weight = torch.randn(2, k, 3, 5, 2, dtype=torch.float64)
    (snake_positions(offset, axis) * weight).sum().backward()
    used = {n + k * (axis == "y") for n in range(k) if n != k // 2}
    assert {n for n in range(2 * k) if offset.grad[:, n].any()} == used


def transposed(op: DSConv, axis: str, other_axis: str) -> DSConv:
    """The same with rows and columns exchanged: the offset convolution's kernel and its two halves too."""
    other = DSConv(3, 6, 4, op.stride, other_axis, op.extend_scope).double()
    state = {key.replace(f"snakes.{axis}", f"snakes.{other_axis}"): value for key, value in op.state_dict().items()}
    halves_exchanged = {key: value.roll(4, 0) for key, value in state.items() if key.startswith("offset_")}
    halves_exchanged["offset_conv.weight"] = halves_exchanged["offset_conv.weight"].mT
    other.load_state_dict(state | halves_exchanged)
    return other


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("axis", "other_axis"), ["xy", "yx"])
def test_the_axes_are_each_others_transposes(axis, other_axis, stride):
    """For even K; for odd K one group normalises the last y together with the first x."""
    op = shake(DSConv(3, 6, 4, stride, axis, 1.5)).double()
    x = torch.randn(2, 3, 9, 14, dtype=torch.float64)
    assert torch.allclose(transposed(op, axis, other_axis)(x.mT), op(x).mT, atol=1e-12)


def test_both_is_the_sum_of_two_snakes_from_one_map_of_offsets():
    op = shake(DSConv(3, 6, 5, 2, "both")).double()
    x = torch.randn(2, 3, 9, 14, dtype=torch.float64)
    alone = 0
    for axis, other_axis in ("xy", "yx"):
        one = DSConv(3, 6, 5, 2, axis).double()
        one.load_state_dict({key: value for key, value in op.state_dict().items() if f"snakes.{other_axis}" not in key})
        alone = alone + one.raw(x)
    assert torch.allclose(op.raw(x), alone, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["x", "y", "both", "alternate"]))
@settings(max_examples=25, deadline=None)
def test_parameters_of_all_axes(c1, c2, k, axis):
    snakes = 2 if axis == "both" else 1
    expected = snakes * (c1 * k + 1) * c2 + 2 * c2 + (9 * c1 + 1) * 2 * k + 2 * 2 * k
    assert sum(p.numel() for p in DSConv(c1, c2, k, axis=axis).parameters()) == expected


@pytest.mark.parametrize(("c2", "groups"), [(1, 1), (3, 1), (8, 2), (10, 2), (11, 1), (14, 2), (18, 3), (64, 16)])
def test_groups_are_of_equal_size_and_at_least_four_channels(c2, groups):
    assert DSConv(3, c2, 3).norm.num_groups == groups


def test_offsets_stay_exact_in_half_precision():
    """A sum over many taps far from the origin: pixels beyond 256 have no fractions in bfloat16."""
    op = shake(DSConv(3, 4, 9)).to(torch.bfloat16)
    offset = op.offset(torch.randn(1, 3, 4, 300, dtype=torch.bfloat16))
    assert offset.dtype == snake_positions(offset, "x").dtype == torch.float32
    for moved in (offset, offset.bfloat16()):
        assert torch.allclose(snake_positions(moved, "x").double(), snake_positions(moved.double(), "x"), atol=1e-4)


def test_a_non_finite_offset_shows_in_the_output():
    op = shake(DSConv(3, 4, 5))
    op.offset_norm.bias.data[0] = float("nan")
    assert op.raw(torch.randn(1, 3, 8, 9)).isnan().all()


def test_what_moves_taps_is_named():
    op = DSConv(3, 4, 5)
    names = {name for name, p in op.named_parameters() if any(p is moved for moved in op.offset_parameters())}
    assert names == {f"{layer}.{end}" for layer in ("offset_conv", "offset_norm") for end in ("weight", "bias")}


def test_function_and_module_are_one():
    op = shake(DSConv(3, 6, 5, 2, "y", 1.5)).double()
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    raw = dsconv(x, op.offset(x), op.snakes["y"].weight, op.snakes["y"].bias, "y", 2, 1.5)
    assert torch.allclose(op.act(op.norm(raw)), op(x), atol=1e-12)
    with pytest.raises(RowError, match="unknown axis 'both'"):
        dsconv(x, op.offset(x), op.snakes["y"].weight, None, "both", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": [3, 1]}, "kernel_size="),
        ({"kernel_size": 3, "stride": 0}, "stride=0"),
        ({"kernel_size": 3, "axis": "alternat"}, "did you mean 'alternate'"),
        ({"kernel_size": 3, "axis": 0}, "unknown axis 0"),
        ({"kernel_size": 3, "axis": ["x", "y"]}, r"unknown axis \['x', 'y'\]"),
        ({"kernel_size": 3, "axis": {"x": 1}}, "unknown axis {'x': 1}"),
        ({"kernel_size": 3, "extend_scope": 0}, "extend_scope=0 must be a number above 0"),
        ({"kernel_size": 3, "extend_scope": float("nan")}, "extend_scope=nan"),
        ({"kernel_size": 3, "extend_scope": float("inf")}, "extend_scope=inf"),
        ({"kernel_size": 3, "extend_scope": True}, "extend_scope=True"),
        ({"kernel_size": 3, "act": "SiLU"}, "act='SiLU'"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(RowError, match=message):
        DSConv(3, 4, **arguments)


# turns

MODEL = """
nc: 3
backbone:
  - [-1, 1, DSConv, [16, 3, 2]]                              # x
  - [-1, 1, DSConv, [16, 3, 1, {axis: y}]]                   # takes no turn
  - [-1, 2, DSConv, [16, 4]]                                 # y, x
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 2, C2f(DSConv), [32, True, {kernel_size: 3}]]       # y, x
  - [-1, 1, DSConv, [32, 3, 2, {axis: both}]]
head:
  - [-1, 1, DSConv, [48, 5]]                                 # y
  - [[-1], 1, Detect, [nc]]
"""
AXES = ["x", "y", "y", "x", "y", "x", "xy", "y"]


@pytest.fixture
def model(in_tmp):
    (in_tmp / "snakes.yaml").write_text(MODEL)
    return shake(YOLO("snakes.yaml").model).eval()


def test_alternate_goes_by_turns_over_the_layers_of_a_model(model):
    assert axes_of(model) == AXES
    assert axes_of(DSConv(3, 4, 3)) == ["x"]
    assert all(layer.np == sum(p.numel() for p in layer.parameters()) for layer in model.model)


def test_copies_pickles_and_fused_models_keep_the_turns(model):
    x = torch.randn(2, 3, 64, 96)
    body = model.model[:7]
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_parameters()
    expected = body(x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model).fuse(verbose=False)):
        assert axes_of(again) == AXES
        assert torch.allclose(again.model[:7](x), expected, atol=1e-4 * float(expected.abs().max()))


def test_weights_of_one_axis_do_not_fit_the_other():
    op = DSConv(3, 4, 3)
    assert op.take_turn(1) and axes_of(op) == ["y"]
    with pytest.raises(RuntimeError, match=r"snakes\.y"):
        DSConv(3, 4, 3).load_state_dict(op.state_dict())
    DSConv(3, 4, 3, axis="y").load_state_dict(op.state_dict())
    assert op.take_turn(2) and axes_of(op) == ["x"]
    fixed = DSConv(3, 4, 3, axis="y")
    assert not fixed.take_turn(0) and axes_of(fixed) == ["y"]


def test_the_activation_is_relu_alone_and_the_models_in_a_row(model):
    assert isinstance(DSConv(3, 4, 3).act, torch.nn.ReLU)
    assert {type(m.act) for m in model.modules() if isinstance(m, DSConv)} == {torch.nn.SiLU}


def test_weights_of_a_plain_convolution_in_its_place_leave_it_alone(in_tmp):
    """Upstream copies what fits by name and shape."""
    (in_tmp / "plain.yaml").write_text(MODEL.replace("[-1, 1, DSConv, [16, 3, 2]]", "[-1, 1, Conv, [16, 3, 2]]"))
    (in_tmp / "snakes.yaml").write_text(MODEL)
    plain, ours = shake(YOLO("plain.yaml").model, seed=1), shake(YOLO("snakes.yaml").model, seed=2)
    before = copy.deepcopy(ours)
    ours.load(plain)
    for key, value in ours.model[0].state_dict().items():
        assert torch.equal(value, before.model[0].state_dict()[key])


def test_reset_parameters_of_every_layer_starts_it_anew():
    """Upstream calls it for `pretrained=False`."""
    op = shake(DSConv(3, 8, 5))
    before = copy.deepcopy(op.state_dict())
    for module in op.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    assert all(not torch.equal(value, before[key]) for key, value in op.state_dict().items())
    assert op.norm.weight.eq(1).all() and op.offset_norm.bias.eq(0).all()
    assert op.offset_conv.weight.std() > 0.05  # as released, not at zero
