"""The convolutions that a swap may replace.

Three kinds of rows hold such convolutions. Each is a class: `read` takes from a row what a swap keeps of it, and
`write` returns the row with another operator.

    ConvRow       [-1, 1, Conv, [128, 3, 2]] <-> [-1, 1, AKConv, [128, 5, 2]]
    CspBlock      [-1, 3, C2f, [128, True]] <-> [-1, 3, C2f(AKConv), [128, True, {num_param: 5}]]
    BlockKeyword  [-1, 1, DWBottleneck, [512]] <-> [-1, 1, DWBottleneck, [512, {depthwise: {CondConv: {experts: 4}}}]]
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from akyolo.blocks.slots import KERNEL_SIZES, PLAIN
from akyolo.checks import COUNTING, WHOLE, check_number
from akyolo.errors import RowError
from akyolo.model_yaml.syntax import BLOCKS, ROW, bind, block_and_operator, split_mapping, split_row
from akyolo.registry import OperatorSpec, is_registered, operator
from akyolo.swapping.rule import DENSE, BoundRule, without_kernel_size


@dataclass(frozen=True)
class Row:
    """A row of a model YAML, taken apart.

    Args:
        source: the row or rows that it takes its input from.
        repeats: how often its module is repeated.
        module: what it says, such as `Conv` or `C2f(AKConv)`.
        args: the arguments of the module.
        block: `C2f` of `C2f(AKConv)`, else None.
        inner: `AKConv` of `C2f(AKConv)`, else the module.
        spec: `inner`, if akyolo has it.
        location: file and row, for messages.
    """

    source: Any
    repeats: Any
    module: str
    args: list[Any]
    block: str | None
    inner: str
    spec: OperatorSpec | None
    location: str

    def replace(self, module: str, *args: Any) -> list[Any]:
        """Return this row with another module."""
        return copy.deepcopy([self.source, self.repeats, module, [*args]])


def read_row(row: Any, location: str) -> Row:
    """Take a row apart.

    Raises:
        RowError: it is not a row.
    """
    source, repeats, module, args = split_row(row, location)
    if not isinstance(module, str):
        raise RowError(f"{row!r} is not a row", location=location, remedy=ROW)
    block, inner = block_and_operator(module)
    spec = operator(inner) if is_registered(inner) else None
    return Row(source, repeats, module, args, block, inner, spec, location)


@dataclass(frozen=True)
class ConvRow:
    """A row with a `Conv` or an operator.

    It is a 3x3, or a 1x1 of stride 1.

    Args:
        channels: the output channels as the row says them.
        stride: None where the row does not say it.
        role: `dense` for a 3x3, `pointwise` for a 1x1.
    """

    channels: Any
    stride: int | None
    role: str

    @classmethod
    def read(cls, row: Row, pointwise: bool) -> "ConvRow | None":
        """Return the convolution of a row, or None.

        It is a 1x1 if `pointwise`, else a 3x3.

        Raises:
            RowError: arguments that the operator in the row does not have.
        """
        role = "pointwise" if pointwise else DENSE
        if row.module == PLAIN:
            stride = row.args[2] if len(row.args) == 3 else None
            return cls(row.args[0], stride, role) if _is_plain(row.args, 1 if pointwise else 3) else None
        if row.block or row.spec is None or row.spec.stands_in != PLAIN:
            return None
        bound = bind(row.spec, row.args, row.location)
        stride = bound.arguments.get("stride")
        bound.apply_defaults()
        if stride is None and bound.arguments.get("stride", 1) != 1:
            stride = bound.arguments["stride"]  # a Conv with no stride in its row would have another one
        if stride is not None:
            check_number(f"stride={stride!r}", stride, COUNTING, location=row.location)
        is_pointwise = bound.arguments.get("kernel_size") == 1 and stride in (None, 1)
        return cls(bound.arguments["c2"], stride, role) if is_pointwise == pointwise else None

    def write(self, row: Row, rule: BoundRule) -> list[Any]:
        """Return the row with the rule's operator.

        Raises:
            RowError: an operator that cannot have the stride of the row, or that could not be swapped back.
        """
        if rule.spec is None:
            stride = [] if self.stride is None else [self.stride]
            return row.replace(PLAIN, self.channels, KERNEL_SIZES.get(self.role, 3), *stride)
        arguments = rule.arguments[self.role]
        if self.role == DENSE and arguments.by_name.get("kernel_size") == 1 and self.stride in (None, 1):
            raise RowError(
                f"{rule.op} of kernel_size=1 would be pointwise: it could not be swapped back to a 3x3",
                location=row.location,
            )
        by_place, by_keyword = _write_stride(self.stride, rule, len(arguments.positional), row.location)
        mapping = {**arguments.keywords, **by_keyword}
        return row.replace(rule.op, self.channels, *arguments.positional, *by_place, *([mapping] if mapping else []))


@dataclass(frozen=True)
class CspBlock:
    """A row with a CSP block of upstream.

    It is plain or has an operator inside. A swap replaces the second convolution of each bottleneck.

    Args:
        name: the name of the block, such as `C2f`.
        args: the arguments of the block, without the mapping of an operator.
    """

    name: str
    args: list[Any]
    role: str = DENSE

    @classmethod
    def read(cls, row: Row, pointwise: bool) -> "CspBlock | None":
        """Return the block of a row, or None.

        With `pointwise` there is none.
        """
        if pointwise:
            return None
        if row.block:
            return cls(row.block, split_mapping(row.args)[0]) if row.spec else None
        return cls(row.module, row.args) if row.module in BLOCKS and row.spec is None else None

    def write(self, row: Row, rule: BoundRule) -> list[Any]:
        """Return the row with the rule's operator."""
        if rule.spec is None:
            return row.replace(self.name, *self.args)
        by_name = rule.arguments[self.role].by_name
        return row.replace(f"{self.name}({rule.op})", *self.args, *([dict(by_name)] if by_name else []))


@dataclass(frozen=True)
class BlockKeyword:
    """A row with a block of akyolo.

    Its keyword `depthwise` or `pointwise` names the operator of its convolutions.

    Args:
        args: the arguments of the block by place.
        keywords: those by name.
        role: the keyword that a swap writes.
    """

    args: list[Any]
    keywords: Mapping[str, Any]
    role: str

    @classmethod
    def read(cls, row: Row, pointwise: bool) -> "BlockKeyword | None":
        """Return the convolutions of a row, or None.

        They are pointwise if `pointwise`, else depthwise.

        Raises:
            RowError: arguments that the block does not have.
        """
        role = "pointwise" if pointwise else "depthwise"
        if row.block or row.spec is None or role not in row.spec.signature.parameters:
            return None
        bind(row.spec, row.args, row.location)
        return cls(*split_mapping(row.args), role)

    def write(self, row: Row, rule: BoundRule) -> list[Any]:
        """Return the row with the rule's operator.

        For a plain convolution, the keyword is left out.
        """
        keywords = {key: value for key, value in self.keywords.items() if key != self.role}
        if rule.spec:
            arguments = without_kernel_size(rule.arguments[self.role].by_name)
            # an operator that the keyword named before keeps its place in the mapping
            keywords = {**self.keywords, self.role: {rule.spec.name: arguments} if arguments else rule.spec.name}
        return row.replace(row.module, *self.args, *([keywords] if keywords else []))


Convolution = ConvRow | CspBlock | BlockKeyword


def read_convolution(row: Row, pointwise: bool) -> Convolution | None:
    """Return a row's replaceable convolutions, or None.

    Args:
        row: a row of a model YAML.
        pointwise: true for 1x1 convolutions; else 3x3 convolutions are read, depthwise or over all channels.

    Raises:
        RowError: a row that cannot be read.
    """
    classes: tuple[type[Convolution], ...] = (ConvRow, CspBlock, BlockKeyword)
    return next((place for cls in classes if (place := cls.read(row, pointwise))), None)


def _is_plain(args: list[Any], kernel_size: int) -> bool:
    """Return whether a `Conv` is plain.

    A plain 3x3 has [c2, 3] or [c2, 3, stride], a plain 1x1 has [c2, 1] or [c2, 1, 1].
    """
    if len(args) not in (2, 3) or args[1] not in WHOLE or args[1] != kernel_size:
        return False
    return all(stride in COUNTING and (stride == 1 or kernel_size != 1) for stride in args[2:])


def _write_stride(
    stride: int | None, rule: BoundRule, positional: int, location: str
) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return how the new row writes its stride.

    Returns:
        The next argument by place, and the arguments by name: the stride is one of them, or left out.
    """
    parameter = rule.parameters.get("stride")
    if parameter is None:
        if stride not in (None, 1):
            raise RowError(f"{rule.op} has no stride and cannot take a row of stride {stride}", location=location)
        return (), {}
    if stride is None:
        if parameter.default == 1:
            return (), {}
        stride = 1  # that of the row now; by default the operator would have another one
    following = list(rule.parameters)[positional:]
    is_next = following[:1] == ["stride"] and parameter.kind is not parameter.KEYWORD_ONLY
    return ((stride,), {}) if is_next else ((), {"stride": stride})
