"""The loss of anchor-based heads (YOLOv5, YOLOv7).

YOLOv5 (release 6) and YOLOv7 have the same formula, but match predictions with targets in different ways:

    box = mean(1 - CIoU),    obj = BCE(objectness, CIoU of its match or 0),    cls = BCE(class logits, one-hot)

These terms of one level are summed over the levels, and obj has a weight for each level.

Source: CIoU is by Z. Zheng et al., arXiv 1911.08287; focal modulation is by T.-Y. Lin et al., arXiv 1708.02002.

Deviation of the released codes: if a cell has several targets, the last match decides its objectness on every device.
The released codes do so on CPUs; on GPUs their result is random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from akyolo.heads.anchors import at_least_float32, relative_boxes
from akyolo.heads.assign import Positives, grid_units, match_by_ratio, match_ota
from akyolo.upstream_blocks import bbox_iou

THREE_LEVEL_BALANCE = (4.0, 1.0, 0.4)  # weights of objectness by level: the finest feature map has the small objects
BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)
FOCAL_ALPHA = 0.25
SMALLEST_SIDE = 1e-6  # in cells; below, the gradient of the aspect ratio in the CIoU is not finite


@dataclass(frozen=True)
class LossOptions:
    """The training arguments of the loss.

    The defaults are those of YOLOv5.

    Args:
        box: gain of the box loss.
        obj: gain of the objectness loss.
        cls: gain of the class loss.
        cls_pos_weight: weight of the positive class in the class loss.
        obj_pos_weight: weight of the positive class in the objectness loss.
        anchor_t: largest ratio of sides between a target and an anchor that matches it.
        fl_gamma: exponent of the focal modulation; 0 for none.
        cls_smoothing: label smoothing of the class loss, 0 to 1.
    """

    box: float = 0.05
    obj: float = 1.0
    cls: float = 0.5
    cls_pos_weight: float = 1.0
    obj_pos_weight: float = 1.0
    anchor_t: float = 4.0
    fl_gamma: float = 0.0
    cls_smoothing: float = 0.0

    @classmethod
    def from_arguments(cls, args: Any) -> "LossOptions":
        """Read the options from training arguments.

        The namespace must have all of them.
        """
        return cls(**{field.name: float(getattr(args, field.name)) for field in fields(cls)})


def scale_gains(options: LossOptions, nc: int, levels: int, imgsz: int) -> LossOptions:
    """Return the gains for a model.

    They depend on its classes, levels and image size.

    YOLOv5's train.py does the same.

    Args:
        options: with gains for 3 levels, 80 classes and 640 pixels.
        nc: number of classes.
        levels: number of feature maps.
        imgsz: the longer side of the training images, in pixels.
    """
    level_factor = 3 / levels
    return replace(
        options,
        box=options.box * level_factor,
        obj=options.obj * (imgsz / 640) ** 2 * level_factor,
        cls=options.cls * nc / 80 * level_factor,
    )


def anchor_loss(
    raw: Sequence[Tensor],
    targets: Tensor,
    positives: Sequence[Positives],
    anchors_grid: Tensor,
    options: LossOptions,
) -> Tensor:
    """Return the three losses of a batch.

    They are at least float32, also under autocast.

    Args:
        raw: per level (B, A, ny, nx, 5 + nc) logits: x, y, w, h, objectness, classes.
        targets: (T, 6): image, class, centre x, centre y, w, h, the last four normalised to [0, 1].
        positives: the matches of each level. The last of several in one cell decides its objectness.
        anchors_grid: (L, A, 2), (w, h) in cells.
        options: gains, weights, smoothing and focal modulation.

    Returns:
        (3,): box, obj, cls, multiplied by their gains, as means over the batch.
    """
    balance = THREE_LEVEL_BALANCE if len(raw) == len(THREE_LEVEL_BALANCE) else BALANCE
    levels = [
        _level_loss(maps, targets, matched, anchors, options)
        for maps, matched, anchors in zip(raw, positives, anchors_grid, strict=True)
    ]
    box, obj, cls = zip(*levels, strict=True)
    # Neither release has more than five levels; further ones get the weight of the fifth.
    weighted = [term * balance[min(level, len(balance) - 1)] for level, term in enumerate(obj)]
    return torch.stack((sum(box) * options.box, sum(weighted) * options.obj, sum(cls) * options.cls))


def _level_loss(
    raw: Tensor, targets: Tensor, positives: Positives, anchors: Tensor, options: LossOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three losses of one level.

    They are box, objectness and class, without gains.
    """
    objectness = at_least_float32(raw[..., 4])
    expected = torch.zeros_like(objectness)
    box = cls = objectness.new_zeros(())
    if len(positives):
        logits = at_least_float32(raw[positives.cells])
        iou = _ciou(logits, positives, anchors, target_boxes(targets, positives, raw.shape[2:4]))
        box = (1 - iou).mean()
        expected = _objectness_target(iou.detach().clamp(min=0), positives, objectness)
        if logits.shape[1] > 6:  # with a single class there is no class loss
            cls = _class_loss(logits[:, 5:], targets[positives.target, 1].long(), options)
    return box, _binary_loss(objectness, expected, options.obj_pos_weight, options.fl_gamma), cls


def target_boxes(targets: Tensor, positives: Positives, size: Sequence[int]) -> Tensor:
    """Return the boxes that positives should predict.

    Args:
        targets: (T, 6) as in `anchor_loss`.
        positives: n matches.
        size: (ny, nx) of the level.

    Returns:
        (n, 4): centre x, y from the corner of the cell, w, h, all in cells.
    """
    boxes = grid_units(targets, size)[positives.target]
    return torch.cat((boxes[:, :2] - positives.corners, boxes[:, 2:]), -1)


def _ciou(logits: Tensor, positives: Positives, anchors: Tensor, expected: Tensor) -> Tensor:
    """Return the complete IoU of boxes, (n,).

    Args:
        logits: (n, >=4), of the positives.
        positives: n matches.
        anchors: (A, 2), (w, h) in cells.
        expected: (n, 4), in cells as `target_boxes` returns them.
    """
    relative = relative_boxes(logits)
    sides = (relative[:, 2:] * anchors.to(relative)[positives.anchor]).clamp(min=SMALLEST_SIDE)
    iou: Tensor = bbox_iou(torch.cat((relative[:, :2], sides), -1), expected.to(relative), CIoU=True)
    return iou.squeeze(-1)


def _objectness_target(iou: Tensor, positives: Positives, objectness: Tensor) -> Tensor:
    """Return the expected objectness, (B, A, ny, nx).

    It is the IoU of the last positive in a cell, and 0 in cells without positives.
    """
    _, anchors, ny, nx = objectness.shape
    cell = ((positives.image * anchors + positives.anchor) * ny + positives.row) * nx + positives.column
    order = torch.arange(len(positives), device=cell.device)
    # A maximum does not depend on the order of writing, but an assignment to repeated indices does.
    last = torch.full((objectness.numel(),), -1, device=cell.device).scatter_reduce(0, cell, order, "amax")
    return torch.where(last >= 0, iou[last.clamp(min=0)], 0).view_as(objectness)


def _class_loss(logits: Tensor, classes: Tensor, options: LossOptions) -> Tensor:
    """Return the class loss of the positives.

    Logits are (n, nc), classes are (n,).
    """
    off = options.cls_smoothing / 2
    expected = torch.full_like(logits, off).scatter_(1, classes[:, None], 1 - off)
    return _binary_loss(logits, expected, options.cls_pos_weight, options.fl_gamma)


def _binary_loss(logits: Tensor, expected: Tensor, pos_weight: float, gamma: float) -> Tensor:
    """Return the mean binary cross-entropy.

    It has focal modulation if gamma > 0.

    Args:
        logits: of any shape.
        expected: of the same shape, from 0 to 1.
        pos_weight: weight of the positive class.
        gamma: exponent of the focal modulation.
    """
    weight = torch.full((), pos_weight, dtype=logits.dtype, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, expected, pos_weight=weight, reduction="none")
    if gamma > 0:
        probability = logits.sigmoid()
        missed = expected * (1 - probability) + (1 - expected) * probability  # 1 - p_t
        alpha = expected * FOCAL_ALPHA + (1 - expected) * (1 - FOCAL_ALPHA)
        # For gamma < 1, the derivative of the power is not finite at exactly 0.
        loss = loss * alpha * missed.clamp(min=torch.finfo(missed.dtype).tiny) ** gamma
    return loss.mean()


class AnchorHead(Protocol):
    """What the criterion reads of a head."""

    nc: int
    ota: bool
    stride: Tensor
    anchors_px: Tensor


class AnchorCriterion:
    """The loss as Ultralytics calls it.

    Args:
        head: has classes, strides and anchors, and says whether training matches by `match_ota`. Read at each call.
        args: the training arguments: the fields of `LossOptions`, and `imgsz`. Read at each call.
    """

    def __init__(self, head: AnchorHead, args: Any) -> None:
        """Store the head and the training arguments."""
        self.head, self.args = head, args

    def __call__(self, preds: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch.

        Args:
            preds: the output of the head in training, a dict with the logits `raw`; or (y, that dict) from the
                validator. Outputs of the validator are matched by ratio for every head.
            batch: `batch_idx` (T,), `cls` (T, 1) and `bboxes` (T, 4), centre x, y, w, h normalised to [0, 1].

        Returns:
            (3,) box, obj, cls, times the batch size; and the three by name, detached and per image.
        """
        raw = preds["raw"] if isinstance(preds, dict) else preds[1]["raw"]
        device = raw[0].device
        columns = (batch["batch_idx"].view(-1, 1), batch["cls"].view(-1, 1), batch["bboxes"].view(-1, 4))
        targets = torch.cat([at_least_float32(column.to(device)) for column in columns], 1)
        strides = self.head.stride.to(device)
        anchors_grid = at_least_float32(self.head.anchors_px.to(device)) / strides[:, None, None]
        options = scale_gains(LossOptions.from_arguments(self.args), self.head.nc, len(raw), self.args.imgsz)
        positives = match_by_ratio(targets, anchors_grid, [maps.shape[2:4] for maps in raw], options.anchor_t)
        if self.head.ota and isinstance(preds, dict):
            positives = match_ota(positives, raw, targets, anchors_grid, strides)
        loss = anchor_loss(raw, targets, positives, anchors_grid, options)
        names = ("box_loss", "obj_loss", "cls_loss")
        return loss * raw[0].shape[0], dict(zip(names, loss.detach(), strict=True))
