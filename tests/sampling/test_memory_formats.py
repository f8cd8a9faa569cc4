"""Values and gradients change their memory format together, in one place."""

import ast
from collections import Counter
from pathlib import Path

import pytest
import torch

import akyolo
from akyolo import AKConv, DeformConv, DeformKernel, DSConv
from akyolo.sampling import keeps_memory_format, memory_formats

FORMATS = (torch.contiguous_format, torch.channels_last)
PACKAGE = Path(akyolo.__file__).parent
CONVERTERS = {"_convert", "_memory_format", "contiguous"}


@pytest.mark.parametrize("start", FORMATS)
@pytest.mark.parametrize("inside", [None, *FORMATS])
def test_there_and_back(start, inside):
    formats = []

    @keeps_memory_format(inside)
    def double(x):
        formats.append(memory_formats._memory_format(x))
        y = 2 * x
        y.register_hook(lambda grad: formats.append(memory_formats._memory_format(grad)))
        return y

    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=start).requires_grad_()
    y = double(x)
    assert torch.equal(2 * x, y) and memory_formats._memory_format(y) == start
    (grad,) = torch.autograd.grad(y, x, torch.randn(2, 3, 4, 5).contiguous(memory_format=start))
    assert memory_formats._memory_format(grad) == start
    assert formats == [inside or start] * 2


@pytest.mark.parametrize("start", FORMATS)
def test_the_layer_before_the_operator_gets_its_gradient_in_the_format_of_its_output(start):
    formats = []
    x = torch.randn(2, 3, 8, 9).contiguous(memory_format=start).requires_grad_()
    before = x * 2
    before.register_hook(lambda grad: formats.append(memory_formats._memory_format(grad)))
    AKConv(3, 4, 5, 2)(before).sum().backward()
    assert formats == [start]


@pytest.mark.parametrize("operator", [AKConv, DeformConv, DeformKernel, DSConv])
@pytest.mark.parametrize(("start", "conversions"), [(torch.contiguous_format, 2), (torch.channels_last, 0)])
def test_an_operator_that_samples_converts_its_input_and_its_output_once(operator, start, conversions, monkeypatch):
    copies = []
    copy = memory_formats._copy
    monkeypatch.setattr(memory_formats, "_copy", lambda x, to: copies.append(x.shape) or copy(x, to))
    x = torch.randn(2, 4, 8, 9).contiguous(memory_format=start)
    operator(4, 8, 3, 2)(x)
    assert copies == [(2, 4, 8, 9), (2, 8, 4, 5)][:conversions]


def test_only_one_file_converts_feature_maps():
    calls = Counter(
        path.relative_to(PACKAGE).as_posix()
        for folder in ("sampling", "layers", "ops")
        for path in (PACKAGE / folder).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        if any(keyword.arg == "memory_format" for keyword in node.keywords)
        or getattr(node.func, "id", "") in CONVERTERS
    )
    assert set(calls) == {"sampling/memory_formats.py"}
