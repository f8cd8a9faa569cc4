"""Values and gradients change their memory format together."""

import pytest
import torch

from akyolo.ops.akconv import AKConv
from akyolo.sampling import converted, memory_format

FORMATS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("start", FORMATS)
@pytest.mark.parametrize("to", FORMATS)
def test_there_and_back(start, to):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=start).requires_grad_()
    y = converted(x, to)
    assert torch.equal(x, y) and memory_format(y) == to
    (grad,) = torch.autograd.grad(y, x, torch.randn(2, 3, 4, 5).contiguous(memory_format=to))
    assert memory_format(grad) == start


@pytest.mark.parametrize("start", FORMATS)
def test_what_is_before_the_operator_gets_its_gradient_in_the_format_of_its_output(start):
    seen = []
    x = torch.randn(2, 3, 8, 9).contiguous(memory_format=start).requires_grad_()
    before = x * 2
    before.register_hook(lambda grad: seen.append(memory_format(grad)))
    AKConv(3, 4, 5, 2)(before).sum().backward()
    assert seen == [start]
