"""Check optional packages before Ultralytics would install them."""

from importlib.util import find_spec

from torch import nn

from akyolo.errors import ConfigError
from akyolo.registry import operators

# The modules that an export format or a mode imports.
NEEDED = {
    "onnx": ("onnx", "onnxslim", "onnxruntime"),
    "openvino": ("openvino",),
    "engine": ("tensorrt", "onnx"),
    "coreml": ("coremltools",),
    "saved_model": ("tensorflow",),
    "pb": ("tensorflow",),
    "tfjs": ("tensorflow",),
    "edgetpu": ("tensorflow",),
    "litert": ("litert_torch",),
    "paddle": ("paddle", "x2paddle"),
    "mnn": ("MNN",),
    "ncnn": ("ncnn", "pnnx"),
    "imx": ("model_compression_toolkit",),
    "rknn": ("rknn",),
    "executorch": ("executorch",),
    "track": ("lap",),
    "ray": ("ray",),
}
EXTRAS = {"onnx": "akyolo[export]", "openvino": "akyolo[openvino]", "track": "akyolo[track]", "ray": "akyolo[ray]"}
LOWEST_OPSET = 16  # the first with GridSample
WITH_OPSET = ("onnx", "openvino", "engine")


def check_packages(purpose: str) -> None:
    """Refuse a purpose whose packages are not installed.

    Args:
        purpose: an export format, `track` or `ray`.

    Raises:
        ConfigError: a package is missing; the message holds the command that installs it.
    """
    missing = [name for name in NEEDED.get(purpose, ()) if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{purpose} needs the package {', '.join(missing)}, not installed here",
            remedy=f"pip install '{EXTRAS.get(purpose, missing[0])}'",
        )


def check_opset(model: nn.Module, target: str, opset: int | None) -> None:
    """Refuse an ONNX opset without GridSample.

    Most of our operators need it.

    Raises:
        ConfigError: an older opset, for a model with an operator of akyolo.
    """
    ours = tuple(spec.module for spec in operators())
    operator = next((type(module).__name__ for module in model.modules() if isinstance(module, ours)), None)
    if operator and target in WITH_OPSET and opset is not None and opset < LOWEST_OPSET:
        raise ConfigError(f"opset={opset} is too old for {operator}", remedy=f"use opset={LOWEST_OPSET} or newer")
