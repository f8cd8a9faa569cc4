"""The `activation:` of a model YAML, which upstream would hand to `eval`."""

import ast

from torch import nn

from akyolo.errors import RowError


def check_activation(text: object, location: str) -> None:
    """Allow `[torch.]nn.<Module>(literal arguments)`, such as `nn.LeakyReLU(0.1)`, and nothing else.

    Raises:
        RowError: anything else.
    """
    if text is None or (isinstance(text, str) and _is_plain_call(text)):
        return
    raise RowError(
        f"activation {text!r} is not allowed",
        location=location,
        remedy="write nn.<Module>(literals), e.g. nn.LeakyReLU(0.1)",
    )


def _is_plain_call(text: str) -> bool:
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return False
    module = getattr(nn, call.func.attr, None)
    return (
        ast.unparse(call.func.value) in ("nn", "torch.nn")
        and isinstance(module, type)
        and issubclass(module, nn.Module)
        and all(_is_literal(value) for value in [*call.args, *(keyword.value for keyword in call.keywords)])
    )


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
