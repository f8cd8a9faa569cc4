"""What every operator must hold. A test file subclasses `OperatorContract` and says which module, which arguments."""

import copy
import inspect
import io
import math
import pickle
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest
import torch
from torch import nn

from akyolo.swapping import SwapRule, swap
from akyolo.upstream.build import build_detector
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream_blocks import Conv


def shake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and BN statistic a random value, so that nothing holds by being zero or one."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)
            with torch.no_grad():
                value.copy_(noise.abs() + 0.5 if "var" in name else noise * 0.3)
    return module


def yolov8n_with(operator: str, args: tuple[Any, ...] = (), **keywords: Any) -> nn.Module:
    """YOLOv8n of two classes with the operator in the place of its six downsampling convolutions after the stem."""
    cfg, _ = swap(read_model_yaml("yolov8n.yaml"), SwapRule(operator, args, "downsample", keywords))
    torch.manual_seed(0)
    model = build_detector({**cfg, "nc": 2})
    model.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5, cls_pw=0.0, epochs=1)
    return model


def learn_by_heart(model: nn.Module, steps: int = 50) -> list[float]:
    """The loss of each step on the same 8 images, each with one bright square of either class."""
    generator = torch.Generator().manual_seed(8)
    images = torch.rand(8, 3, 64, 64, generator=generator) * 0.3
    boxes = []
    for number, image in enumerate(images):
        y, x = torch.randint(0, 36, (2,), generator=generator).tolist()
        image[:, y : y + 28, x : x + 28] = torch.tensor([1.0, number % 2, 0.0])[:, None, None]
        boxes.append([(x + 14) / 64, (y + 14) / 64, 28 / 64, 28 / 64])
    classes = (torch.arange(8) % 2).float()[:, None]
    batch = {"img": images, "cls": classes, "bboxes": torch.tensor(boxes), "batch_idx": torch.arange(8.0)}
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=2e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(batch)[0].sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def quick_for_one_case(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test slow for all cases but the first."""
    test.quick_for_one_case = True
    return test


class OperatorContract:
    """Set `operator`, `cases` (keyword arguments beyond c1, c2; `stride` divides the map) and `in_yolov8n`.

    `in_yolov8n` are the arguments, as `akyolo swap` takes them, with which it replaces what downsamples in YOLOv8n.
    """

    operator: type[nn.Module]
    cases: list[dict[str, Any]]
    in_yolov8n: dict[str, Any]

    def make(self, case: dict[str, Any], c1: int = 4, c2: int = 6) -> nn.Module:
        torch.manual_seed(0)
        return shake(self.operator(c1, c2, **case))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            one_is_quick = hasattr(metafunc.function, "quick_for_one_case")
            more = [pytest.param(case, marks=pytest.mark.slow if one_is_quick else ()) for case in self.cases[1:]]
            metafunc.parametrize("case", [self.cases[0], *more], ids=str)

    def test_shape_and_stride_law(self, case):
        stride = case.get("stride", 1)
        for h, w in ((9, 14), (16, 5), (1, 11)):
            out = self.make(case)(torch.randn(2, 4, h, w))
            assert out.shape == (2, 6, -(-h // stride), -(-w // stride))

    def test_batch_0(self, case):
        out = self.make(case).eval()(torch.zeros(0, 4, 8, 9))
        assert out.shape[:2] == (0, 6)

    @pytest.mark.parametrize("batch", [1, 2])
    def test_memory_formats_agree_in_values_and_gradients(self, case, batch):
        """Batch 1 too: BatchNorm's backward is wrong there for some layouts that look channels_last."""
        results = []
        for memory_format in (torch.contiguous_format, torch.channels_last):
            op = self.make(case).double().train()
            x = torch.randn(batch, 4, 9, 14, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            x = x.to(memory_format=memory_format).requires_grad_()
            out = op(x)
            assert out.is_contiguous(memory_format=memory_format)
            weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
            (out * weight).sum().backward()
            results.append([out, x.grad, *(p.grad for p in op.parameters())])
        for contiguous, channels_last in zip(*results, strict=True):
            assert torch.allclose(contiguous, channels_last, atol=1e-9)

    @quick_for_one_case
    def test_gradcheck(self, case):
        op = self.make(case, c1=2, c2=4).double().eval()
        x = torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        inputs = (x.requires_grad_(), *op.parameters())
        assert torch.autograd.gradcheck(lambda x, *_: op(x), inputs, atol=1e-5, rtol=1e-4)

    @quick_for_one_case
    @pytest.mark.parametrize("how", ["autocast bfloat16", "autocast float16", "half", "bfloat16"])
    def test_half_precision_on_wide_maps_errs_at_most_3x_a_plain_convolution(self, case, how):
        def error(op: nn.Module) -> float:
            x = torch.randn(1, 16, 8, 200, generator=torch.Generator().manual_seed(4))
            with torch.no_grad():
                exact = op.double()(x.double())
                op = op.float()
                if how.startswith("autocast"):
                    with torch.autocast("cpu", getattr(torch, how.split()[1])):
                        rough = op(x)
                else:
                    dtype = {"half": torch.float16}.get(how, torch.bfloat16)
                    rough = op.to(dtype)(x.to(dtype))
            return float((rough.double() - exact).norm() / exact.norm())

        ours = self.smooth(self.operator(16, 8, **case).eval())
        plain = self.smooth(Conv(16, 8, 3).eval())
        assert error(ours) <= 3 * error(plain)

    def smooth(self, op: nn.Module) -> nn.Module:
        """Realistic magnitudes for a comparison of precisions: BN as built, weights as initialised."""
        torch.manual_seed(5)
        for module in op.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        return op

    def test_pickle_deepcopy_and_state_dict_restore_it(self, case):
        op = self.make(case).eval()
        x = torch.randn(2, 4, 9, 14)
        other = shake(self.operator(4, 6, **case), seed=9).eval()
        other.load_state_dict(op.state_dict())
        for again in (pickle.loads(pickle.dumps(op)), copy.deepcopy(op), other):
            assert torch.equal(again(x), op(x))

    def test_weights_only_load_restores_the_module(self, case):
        op = self.make(case).eval()
        file = io.BytesIO()
        torch.save(op, file)
        file.seek(0)
        x = torch.randn(2, 4, 9, 14)
        import akyolo.upstream  # noqa: F401  its import allows our classes

        with torch.serialization.safe_globals(plain_layers(op)):
            assert torch.equal(torch.load(file, weights_only=True)(x), op(x))

    @quick_for_one_case
    def test_traces_and_scripts_with_another_size(self, case):
        op = self.make(case).eval()
        with torch.no_grad():
            traced = torch.jit.trace(op, torch.randn(2, 4, 9, 14))
            for x in (torch.randn(2, 4, 9, 14), torch.randn(1, 4, 12, 8)):
                assert torch.allclose(traced(x), op(x), atol=1e-4)

    @quick_for_one_case
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
    def test_onnx_runs_in_a_real_runtime_at_another_size(self, case, dtype, tmp_path):
        """As upstream exports: by tracing, opset 18, and for `half=True` with the model itself in half precision."""
        op = self.smooth(self.operator(16, 8, **case).eval()).to(dtype)
        axes = {"x": {0: "batch", 2: "height", 3: "width"}, "y": {0: "batch", 2: "height", 3: "width"}}
        x = torch.randn(1, 16, 9, 14, dtype=dtype)
        torch.onnx.export(
            op, x, tmp_path / "op.onnx", input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False,
            opset_version=18,
        )  # fmt: skip
        session = onnxruntime.InferenceSession(tmp_path / "op.onnx", providers=["CPUExecutionProvider"])
        for size in ((9, 14), (12, 8)):
            x = torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(6)).to(dtype)
            expected = op(x).detach().float()
            found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0]).float()
            tolerance = 1e-4 if dtype == torch.float32 else 2e-2
            assert found.shape == expected.shape
            assert torch.allclose(found, expected, atol=tolerance * max(1.0, float(expected.abs().max())))

    @pytest.mark.training
    def test_it_learns_8_images_by_heart_inside_yolov8n(self):
        """And every parameter of the operator takes part."""
        model = yolov8n_with(self.operator.__name__, **self.in_yolov8n)
        ours = {name: m for name, m in model.named_modules() if isinstance(m, self.operator)}
        assert len(ours) == 6
        before = copy.deepcopy(ours)
        losses = learn_by_heart(model)
        assert losses[-1] < 0.25 * losses[0], losses[:: len(losses) // 10]
        parameters = [(key, name) for name, m in ours.items() for key, _ in m.named_parameters()]
        changed = {
            key
            for key, name in parameters
            if not torch.equal(ours[name].get_parameter(key), before[name].get_parameter(key))
        }
        assert changed == {key for key, _ in parameters}

    def test_a_model_of_it_fuses_and_keeps_its_outputs(self):
        model = shake(yolov8n_with(self.operator.__name__, **self.in_yolov8n)).eval()
        body, x = model.model[:8], torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            for module in body.modules():  # magnitudes that eight layers keep
                if isinstance(module, nn.BatchNorm2d):
                    module.reset_parameters()
            expected = body(x)
            fused = copy.deepcopy(model).fuse(verbose=False).model[:8]
            assert not [name for name, module in fused.named_modules() if isinstance(module, nn.BatchNorm2d)]
            assert torch.allclose(fused(x), expected, atol=1e-4 * float(expected.abs().max()))

    @pytest.mark.parametrize(("c1", "c2"), [(3, 7), (8, 12), (6, 6)])
    def test_the_docstring_counts_the_parameters(self, c1, c2):
        """`Parameters: FORMULA: words.`, in the names of the constructor's arguments."""
        formula = re.search(r"Parameters: ([^:]+):", inspect.getdoc(self.operator))[1]
        keywords = {key: value for key, value in self.in_yolov8n.items() if key != "args"}
        bound = inspect.signature(self.operator).bind(c1, c2, *self.in_yolov8n.get("args", ()), **keywords)
        bound.apply_defaults()
        expected = eval(formula, {"gcd": math.gcd}, bound.arguments)
        assert sum(p.numel() for p in self.operator(*bound.args, **bound.kwargs).parameters()) == expected

    def test_a_non_finite_input_reaches_the_output(self, case):
        x = torch.randn(1, 4, 9, 14)
        x[0, 1, 4, 5] = float("nan")
        assert self.make(case).eval()(x).isnan().any()


def plain_layers(op: nn.Module) -> list[type]:
    """The torch and upstream classes inside `op`, which a checkpoint loader of upstream allows by itself."""
    return [*{type(m) for m in op.modules() if not type(m).__module__.startswith("akyolo")}, set, Conv]
