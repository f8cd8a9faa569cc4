"""The families of anchor-based heads and their losses: YOLOv5 (release 6) and YOLOv7."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from akyolo.heads import AnchorDetect, IDetect
from akyolo.heads.assign import Positives, match_by_ratio, match_ota
from akyolo.heads.losses import LossOptions, anchor_loss, scale_gains, target_boxes
from tests.helpers.golden.families import FLOAT64_TOLERANCE, Arrays, close, family, tensor

OURS = {"cls_pw": "cls_pos_weight", "obj_pw": "obj_pos_weight", "label_smoothing": "cls_smoothing"}
PARTS = ("lbox", "lobj", "lcls")


class Case:
    """One golden loss in one dtype."""

    def __init__(self, arrays: Arrays, entry: dict[str, Any], dtype: torch.dtype) -> None:
        self.arrays, self.entry, self.dtype = arrays, entry, dtype
        levels = len(arrays["stride"])
        self.raw = [tensor(arrays[f"pred{i}"], dtype).requires_grad_() for i in range(levels)]
        self.targets, self.strides = tensor(arrays["targets"], dtype), tensor(arrays["stride"], dtype)
        self.anchors_grid = tensor(arrays["anchors_px"], dtype) / self.strides[:, None, None]
        self.options = LossOptions(**{OURS.get(name, name): value for name, value in entry["hyp"].items()})
        sizes = [maps.shape[2:4] for maps in self.raw]
        self.positives = match_by_ratio(self.targets, self.anchors_grid, sizes, self.options.anchor_t)

    def check_loss(self, positives: list[Positives], prefix: str, eps: float = 0.0) -> None:
        """Items, total and gradients; `eps`: what the CIoU's epsilons make of values and gradients in float64."""
        arrays, errors = self.arrays, self.entry["f32_max_abs_err_of_official"]
        of_total, of_grad = (errors.get(f"{prefix}{name}", errors.get(name)) for name in ("total", "grad"))
        scaled = scale_gains(self.options, self.entry["nc"], len(self.raw), max(self.entry["imgsz_hw"]))
        scaled_items = anchor_loss(self.raw, self.targets, positives, self.anchors_grid, scaled)
        self.close(scaled_items, arrays[f"{prefix}scaled_items"], f"{prefix}scaled_items", of_total, eps)
        total = scaled_items.sum() * len(self.raw[0])
        self.close(total, arrays[f"{prefix}scaled_total"], f"{prefix}scaled_total", of_total, eps)
        if "scaled_gains" in arrays:
            gains = torch.tensor([scaled.box, scaled.obj, scaled.cls], dtype=self.dtype)
            self.close(gains, arrays["scaled_gains"], "scaled_gains", of_total)

        items = anchor_loss(self.raw, self.targets, positives, self.anchors_grid, self.options)
        for item, name in zip(items, PARTS, strict=True):
            of_item = 0.0 if name == "lcls" else eps  # classes know nothing of IoUs
            self.close(item, arrays[prefix + name], prefix + name, of_total, of_item)
        total = items.sum() * len(self.raw[0])
        self.close(total, arrays[f"{prefix}total"], f"{prefix}total", of_total, eps)
        for level, grad in enumerate(torch.autograd.grad(total, self.raw)):
            self.close(grad, arrays[f"{prefix}grad_pred{level}"], f"{prefix}grad_pred{level}", of_grad, eps)

    def close(self, ours: Tensor, golden: np.ndarray, what: str, float32_error: float, eps: float = 0.0) -> None:
        if self.dtype == torch.float64 and eps > FLOAT64_TOLERANCE:
            error = float((ours - tensor(golden, self.dtype)).abs().max())
            assert error <= eps, f"{what}: off by {error:.3g}, allowed {eps:.3g}"
        else:
            close(ours, golden, what, float32_error)

    def check_matches(self, positives: list[Positives], prefix: str, in_order: bool = True) -> None:
        """The lists of matches; the plain ones end in the class, those of OTA in the row of the target."""
        for level, matched in enumerate(positives):
            last = self.targets[matched.target, 1].long() if in_order else matched.target
            ours = torch.stack((*matched.cells, last), 1).numpy()
            golden = self.arrays[f"{prefix}{level}"]
            if not in_order:
                ours, golden = (rows[np.lexsort(rows.T)] for rows in (ours, golden))
            assert np.array_equal(ours, golden), f"{prefix}{level}"


@family
def yolov5_loss(arrays: Arrays, entry: dict[str, Any]) -> None:
    for dtype in (torch.float64, torch.float32):
        case = Case(arrays, entry, dtype)
        close(case.anchors_grid, arrays["anchors_grid"], "anchors_grid")
        case.check_matches(case.positives, "assign")
        for level, (matched, maps) in enumerate(zip(case.positives, case.raw, strict=True)):
            if len(matched):
                boxes = target_boxes(case.targets, matched, maps.shape[2:4])
                close(boxes, arrays[f"tbox{level}"], f"tbox{level}", float32_error=1e-6)
        case.check_loss(case.positives, "")


@family
def yolov7_loss(arrays: Arrays, entry: dict[str, Any]) -> None:
    for dtype in (torch.float64, torch.float32):
        case = Case(arrays, entry, dtype)
        case.check_matches(case.positives, "plain_assign")
        case.check_loss(case.positives, "plain_", eps=1e-6)
        if entry["imgsz_hw"][0] != entry["imgsz_hw"][1]:
            continue  # the official matching scales both axes by the height
        matched = match_ota(case.positives, case.raw, case.targets, case.anchors_grid, case.strides)
        case.check_matches(matched, "ota_assign", in_order=False)
        case.check_loss(matched, "ota_", eps=1e-6)


def _head(kind: type[AnchorDetect], ch: list[int], arrays: Arrays, nc: int, dtype: torch.dtype) -> AnchorDetect:
    head = kind(ch, nc, arrays["anchors_px"].tolist()).to(dtype).eval()
    head.stride = tensor(arrays["stride"], dtype)
    return head


def _check_bias_init(head: AnchorDetect, golden: np.ndarray) -> None:
    before = [conv.bias.detach().clone() for conv in head.convs]
    head.bias_init()
    for level, (conv, bias) in enumerate(zip(head.convs, before, strict=True)):
        added = (conv.bias - bias).detach().view(head.na, head.no)
        assert not added[:, :4].any()
        expected = np.repeat(golden[level], [1, head.nc])[None].repeat(head.na, 0)
        close(added[:, 4:], expected, f"bias_init of level {level}", 1e-6)


@family
def yolov5_detect(arrays: Arrays, entry: dict[str, Any]) -> None:
    levels = range(len(arrays["stride"]))
    for dtype in (torch.float64, torch.float32):
        raw = [tensor(arrays[f"raw{i}"], dtype) for i in levels]
        head = _head(AnchorDetect, [maps.shape[1] for maps in raw], arrays, entry["nc"], dtype)
        for conv in head.convs:  # the golden convolution is the identity
            torch.nn.init.dirac_(conv.weight)
            torch.nn.init.zeros_(conv.bias)
        _check_decoded(head, raw, arrays["decoded"])
        _check_bias_init(head, arrays["bias_init"])


def _check_decoded(head: AnchorDetect, features: list[Tensor], golden: np.ndarray) -> None:
    """With objectness and classes apart, and as the output multiplies them."""
    y, preds = head(features)
    float32_error = 1e-6 * float(np.abs(golden).max())  # pixels
    close(head.decode_predictions(preds["raw"]), golden, "decoded", float32_error)
    output = np.concatenate((golden[..., :4], golden[..., 4:5] * golden[..., 5:]), -1).transpose(0, 2, 1)
    close(y, output, "output", float32_error)


@family
def yolov7_idetect(arrays: Arrays, entry: dict[str, Any]) -> None:
    levels = range(len(arrays["stride"]))
    for dtype in (torch.float64, torch.float32):
        features = [tensor(arrays[f"x{i}"], dtype) for i in levels]
        head = _head(IDetect, [x.shape[1] for x in features], arrays, entry["nc"], dtype)
        state = head.state_dict()
        for i in levels:
            state[f"convs.{i}.weight"] = tensor(arrays[f"conv{i}_weight"], dtype)
            state[f"convs.{i}.bias"] = tensor(arrays[f"conv{i}_bias"], dtype)
            for name in ("implicit_add", "implicit_mul"):
                state[f"{name}.{i}"] = tensor(arrays[f"{name}{i}"], dtype)
        head.load_state_dict(state)
        _check_decoded(head, features, arrays["decoded"])
        head.fuse()
        for i, conv in enumerate(head.convs):
            close(conv.weight, arrays[f"fused{i}_weight"], f"fused{i}_weight", 1e-6)
            close(conv.bias, arrays[f"fused{i}_bias"], f"fused{i}_bias", 1e-6)
        _check_decoded(head, features, arrays["decoded"])
        _check_bias_init(head, arrays["bias_init"])
