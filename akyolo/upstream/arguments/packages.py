"""Optional packages: looked for before upstream would install them by itself."""

from importlib.util import find_spec

from torch import nn

from akyolo.errors import ConfigError
from akyolo.registry import operators

# what an export format or a mode imports: module names
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
    """Look for what an export format, or tracking, needs.

    Raises:
        ConfigError: something is missing; the message holds the command that installs it.
    """
    missing = [name for name in NEEDED.get(purpose, ()) if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{purpose} needs the package {', '.join(missing)}, not installed here",
            remedy=f"pip install '{EXTRAS.get(purpose, missing[0])}'",
        )


def check_opset(model: nn.Module, target: str, opset: int | None) -> None:
    """Our operators are exported from the opset on that has GridSample, which most of them need.

    Raises:
        ConfigError: an older one, for a model with an operator of ours.
    """
    ours = tuple(spec.module for spec in operators())
    found = next((type(m).__name__ for m in model.modules() if isinstance(m, ours)), None)
    if found and target in WITH_OPSET and opset is not None and opset < LOWEST_OPSET:
        raise ConfigError(f"opset={opset} is too old for {found}", remedy=f"use opset={LOWEST_OPSET} or newer")
