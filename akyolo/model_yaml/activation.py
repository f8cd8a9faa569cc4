"""Check the `activation:` of a model YAML.

Upstream gives it to `eval`.
"""

import ast

from torch import nn

from akyolo.errors import RowError


def check_activation(text: object, location: str) -> None:
    """Refuse an activation that is not `nn.<Module>(literals)`.

    Args:
        text: what the YAML says, such as `nn.LeakyReLU(0.1)`, also with `torch.` before it; None for nothing.
        location: the file, for messages.

    Raises:
        RowError: any other text.

    Example:
        >>> from akyolo.model_yaml.activation import check_activation
        >>> check_activation("nn.LeakyReLU(0.1)", "my.yaml")
        >>> check_activation("print(1)", "my.yaml")
        Traceback (most recent call last):
        ...
        akyolo.errors.RowError: my.yaml: activation 'print(1)' is not allowed
          write nn.<Module>(literals), e.g. nn.LeakyReLU(0.1)
    """
    if text is None or (isinstance(text, str) and _is_plain_call(text)):
        return
    raise RowError(
        f"activation {text!r} is not allowed",
        location=location,
        remedy="write nn.<Module>(literals), e.g. nn.LeakyReLU(0.1)",
    )


def _is_plain_call(text: str) -> bool:
    """Return whether a text is `nn.<Module>(literals)`."""
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
    """Return whether an expression is a literal."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
