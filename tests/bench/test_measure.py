"""The method of measuring, on steps whose cost is known."""

import pytest
import torch
from torch import nn

from akyolo.bench import measure as latency
from akyolo.bench.measure import Variant, interleave, kept_bytes, measure, median_and_iqr, peak_bytes, summarise
from akyolo.ops.akconv import AKConv
from akyolo.upstream_blocks import Conv

CPU = torch.device("cpu")


class FakeClock:
    """A clock that only its own actions move; it logs their names."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def taking(self, name, seconds):
        def act():
            self.log.append(name)
            self.now += seconds

        return act


def test_each_round_runs_every_variant_once_and_starts_one_further():
    clock = FakeClock()
    steps = {name: clock.taking(name, 1.0) for name in "abc"}
    interleave(steps, rounds=3, synchronise=lambda: None, warm_up=1, clock=clock)
    assert "".join(clock.log) == "abc" + "bca" + "cab" + "abc"


def test_warm_up_is_not_counted():
    clock = FakeClock()
    duration = iter([100.0, 50.0, 1.0, 2.0, 3.0])

    def step():
        clock.now += next(duration)

    assert interleave({"a": step}, 3, lambda: None, warm_up=2, clock=clock) == {"a": [1.0, 2.0, 3.0]}


def test_the_clock_waits_for_the_device_after_a_step_but_not_for_what_came_before():
    clock = FakeClock()
    pending = [7.0]  # earlier work that still runs on the device

    def synchronise():
        clock.now += sum(pending)
        pending.clear()

    steps = {"slow": lambda: pending.append(3.0), "fast": lambda: pending.append(0.5)}
    seconds = interleave(steps, rounds=2, synchronise=synchronise, warm_up=0, clock=clock)
    assert seconds == {"slow": [3.0, 3.0], "fast": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("values", "median", "iqr"),
    [([5, 1, 4, 2, 3], 3, 2), ([4, 1, 3, 2], 2.5, 1.5), ([1, 1, 1, 100], 1, 24.75), ([2.5], 2.5, 0)],
)
def test_median_and_interquartile_range_by_hand(values, median, iqr):
    assert median_and_iqr(values) == pytest.approx((median, iqr))


def test_rows_are_milliseconds_and_ratios_to_the_faster_reference(monkeypatch):
    seconds = {"mine": [0.004, 0.006, 0.008], "slow plain": [0.009] * 3, "fast plain": [0.002] * 3}
    monkeypatch.setattr(latency, "interleave", lambda *_: seconds)
    variants = {name: Variant(lambda: torch.empty(250)) for name in seconds}
    rows = measure("a layer", "forward", variants, ["slow plain", "fast plain"], rounds=3, device=CPU)
    assert rows[0] == {
        "layer": "a layer",
        "variant": "mine",
        "pass": "forward",
        "median_ms": pytest.approx(6),
        "iqr_ms": pytest.approx(2),
        "ratio": pytest.approx(3),
        "peak_bytes": 1000,
        "kept_bytes": 0,
    }
    assert [row["ratio"] for row in rows[1:]] == pytest.approx([4.5, 1])


def test_peak_is_the_most_held_at_once():
    def step():
        first = torch.empty(1000)
        second = torch.empty(500)
        del first
        return second, torch.empty(200)

    assert peak_bytes(step, CPU) == 4 * (1000 + 500)


def test_peak_sees_what_an_operator_allocates_inside():
    x = torch.randn(1000)
    outputs = 4 * 1000 + 8 * 1000  # sorted values and their places
    assert peak_bytes(lambda: torch.median(x), CPU) > 4 * 1000  # of which only one value comes out
    assert peak_bytes(lambda: torch.sort(x), CPU) >= outputs


def test_kept_counts_a_storage_once_and_no_parameters():
    x = torch.randn(3, 5, requires_grad=True)
    scale = nn.Parameter(torch.randn(5))

    def step():
        y = x * scale  # keeps x and scale
        return y * y, y.view(15).exp()  # keeps y, twice; and the result of exp

    assert kept_bytes(step, [scale]) == 4 * (15 + 15 + 15)
    assert kept_bytes(step) == 4 * (15 + 15 + 15 + 5)


B, C1, C2, N, H, W = 2, 4, 8, 5, 12, 16
OUTPUTS = B * (H // 2) * (W // 2)
NORMALISED = 2 * OUTPUTS * C2 + 2 * C2  # inputs of BN and of SiLU; mean and deviation per channel
PLAIN = B * C1 * H * W + NORMALISED


def kept_of(module):
    variant = latency.forward_backward(module, torch.randn(B, C1, H, W))
    return kept_bytes(variant.step, variant.state) / 4


def test_kept_by_a_plain_layer_by_hand():
    assert kept_of(Conv(C1, C2, 3, 2)) == PLAIN


def test_akconv_keeps_what_the_plain_layer_keeps_and_positions_and_samples():
    positions, samples = OUTPUTS * N * 2, OUTPUTS * N * C1
    reordered_weight = C2 * C1 * N
    assert kept_of(AKConv(C1, C2, N, 2)) == PLAIN + positions + samples + reordered_weight


def test_inference_keeps_nothing_and_does_not_train():
    module = Conv(C1, C2, 3, 2)
    before = module.bn.running_mean.clone()
    variant = latency.forward(module, torch.randn(B, C1, H, W))
    assert kept_bytes(variant.step, variant.state) == 0
    assert torch.equal(module.bn.running_mean, before)


class Watched(nn.Module):
    """Log the strides of the output and of its gradient."""

    def __init__(self):
        super().__init__()
        self.scale, self.logged = nn.Parameter(torch.ones(1)), []

    def forward(self, x):
        y = x * self.scale
        y.register_hook(lambda gradient: self.logged.append((gradient.stride(), y.stride(), gradient.dtype)))
        return y


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_has_the_memory_format_of_the_output(memory_format):
    module = Watched()
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=memory_format)
    latency.forward_backward(module, x).step()
    assert module.logged == [(x.stride(), x.stride(), torch.float32)]


def test_16_bits_run_under_autocast_with_float32_weights():
    conv = nn.Conv2d(3, 4, 1)
    dtypes = []
    conv.register_forward_hook(lambda _, inputs, output: dtypes.append(output.dtype))
    latency.forward_backward(conv, torch.randn(1, 3, 2, 2), torch.bfloat16).step()
    assert set(dtypes) == {torch.bfloat16}
    assert conv.weight.dtype == torch.float32


def test_offsets_are_spread_in_every_operator_of_a_network():
    torch.manual_seed(0)
    network = nn.Sequential(AKConv(3, 8, 5, 2), AKConv(8, 4, 3)).eval()
    x = torch.randn(2, 3, 32, 24)
    latency.spread_offsets(network, x, std=2.0)
    spreads = []
    for operator in network:
        operator.offset_conv.register_forward_hook(lambda _, inputs, output: spreads.append(output))
    network(x)
    assert [offset.std().item() for offset in spreads] == pytest.approx([2.0, 2.0], rel=1e-3)
    assert all(offset.std(dim=(2, 3)).min() > 0.2 for offset in spreads)  # from place to place, not by the bias alone


def row(layer, variant, median, kept, of="forward"):
    return {"layer": layer, "variant": variant, "pass": of, "median_ms": median, "kept_bytes": kept}


def test_summary_by_hand():
    rows = [
        *(row("1", "mine", 8, 30), row("1", "nchw", 2, 10), row("1", "nhwc", 4, 12), row("1", "old", 16, 90)),
        *(row("2", "mine", 9, 30), row("2", "nchw", 3, 10), row("2", "nhwc", 1, 12), row("2", "old", 9, 30)),
        *(row("1", "nchw", 5, 0, "other"), row("1", "nhwc", 5, 0, "other"), row("1", "old", 10, 0, "other")),
    ]
    summary = summarise(rows, {"plain": ["nchw", "nhwc"], "old": ["old"]})
    assert summary["forward"]["mine"] == pytest.approx(
        {
            "sum_ms": 17,
            "kept_bytes": 60,
            "geomean_ratio_to_plain": 6,  # sqrt(8/2 * 9/1)
            "geomean_ratio_to_old": 0.5**0.5,
            "kept_ratio_to_plain": 3,
            "kept_ratio_to_old": 0.5,
        }
    )
    assert summary["other"]["old"] == pytest.approx(
        {"sum_ms": 10, "kept_bytes": 0, "geomean_ratio_to_plain": 2, "geomean_ratio_to_old": 1}
    )
