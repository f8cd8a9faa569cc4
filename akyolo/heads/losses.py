"""The loss of anchor-based heads: YOLOv5's (release 6) and YOLOv7's, one formula with different matches.

    box = mean(1 - CIoU),    obj = BCE(objectness, CIoU of its match or 0),    cls = BCE(class logits, one-hot)

per level and summed over the levels, the objectness weighed by level. CIoU: Z. Zheng et al., arXiv 1911.08287; focal
modulation: T.-Y. Lin et al., arXiv 1708.02002.

Deviation of the released codes: of several targets in one cell the last match decides the objectness on every device,
as theirs does on CPUs; on GPUs theirs is left to chance.
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

THREE_LEVEL_BALANCE = (4.0, 1.0, 0.4)  # weight of a level's objectness: the fine maps have the small objects
BALANCE = (4.0, 1.0, 0.25, 0.06, 0.02)
FOCAL_ALPHA = 0.25
SMALLEST_SIDE = 1e-6  # cells: below, the aspect ratio in the CIoU has no slope that can be computed


@dataclass(frozen=True)
class LossOptions:
    """The training arguments of the loss, by their names; the defaults are YOLOv5's.

    Args:
        box: gain of the box loss.
        obj: gain of the objectness loss.
        cls: gain of the class loss.
        cls_pos_weight: weight of the positive class in the class loss.
        obj_pos_weight: weight of the positive class in the objectness loss.
        anchor_t: largest side ratio between a target and an anchor that matches it.
        fl_gamma: exponent of the focal modulation, 0 for none.
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
    def of(cls, args: Any) -> "LossOptions":
        """Those of a namespace of training arguments; it has to have all of them."""
        return cls(**{field.name: float(getattr(args, field.name)) for field in fields(cls)})


def scaled_gains(options: LossOptions, nc: int, levels: int, imgsz: int) -> LossOptions:
    """Gains given for 3 levels, 80 classes and 640 pixels, as they are for this model (YOLOv5's train.py).

    Args:
        options: with the gains that the user gave.
        nc: number of classes.
        levels: number of feature maps.
        imgsz: the longer side of the training images, in pixels.
    """
    share = 3 / levels
    return replace(
        options,
        box=options.box * share,
        obj=options.obj * (imgsz / 640) ** 2 * share,
        cls=options.cls * nc / 80 * share,
    )


def anchor_loss(
    raw: Sequence[Tensor],
    targets: Tensor,
    positives: Sequence[Positives],
    anchors_grid: Tensor,
    options: LossOptions,
) -> Tensor:
    """Box, objectness and class loss of a batch, in at least float32 even under autocast.

    Args:
        raw: per level (B, A, ny, nx, 5 + nc) logits: x, y, w, h, objectness, classes.
        targets: (T, 6): image, class, centre x, centre y, w, h, the last four as shares of the image.
        positives: the matches of each level; of several in one cell the last decides the objectness.
        anchors_grid: (L, A, 2), (w, h) in cells.
        options: gains, weights, smoothing and focal modulation.

    Returns:
        (3,): box, obj, cls, with their gains, means over the batch.
    """
    balance = THREE_LEVEL_BALANCE if len(raw) == len(THREE_LEVEL_BALANCE) else BALANCE
    levels = [
        _level_loss(maps, targets, matched, anchors, options)
        for maps, matched, anchors in zip(raw, positives, anchors_grid, strict=True)
    ]
    box, obj, cls = zip(*levels, strict=True)
    # levels beyond the fifth, which neither release has, weigh what the fifth does
    weighed = [term * balance[min(level, len(balance) - 1)] for level, term in enumerate(obj)]
    return torch.stack((sum(box) * options.box, sum(weighed) * options.obj, sum(cls) * options.cls))


def _level_loss(
    raw: Tensor, targets: Tensor, positives: Positives, anchors: Tensor, options: LossOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Box, objectness and class loss of one level, without gains."""
    objectness = at_least_float32(raw[..., 4])
    wanted = torch.zeros_like(objectness)
    box = cls = objectness.new_zeros(())
    if len(positives):
        logits = at_least_float32(raw[positives.cells])
        iou = _ciou(logits, positives, anchors, target_boxes(targets, positives, raw.shape[2:4]))
        box = (1 - iou).mean()
        wanted = _objectness_target(iou.detach().clamp(min=0), positives, objectness)
        if logits.shape[1] > 6:  # one class alone needs no telling apart
            cls = _class_loss(logits[:, 5:], targets[positives.target, 1].long(), options)
    return box, _binary_loss(objectness, wanted, options.obj_pos_weight, options.fl_gamma), cls


def target_boxes(targets: Tensor, positives: Positives, size: Sequence[int]) -> Tensor:
    """(n, 4): the targets of a level's positives, centre from the cell's corner, w and h, all in cells."""
    boxes = grid_units(targets, size)[positives.target]
    return torch.cat((boxes[:, :2] - positives.corners, boxes[:, 2:]), -1)


def _ciou(logits: Tensor, positives: Positives, anchors: Tensor, wanted: Tensor) -> Tensor:
    """(n,): complete IoU of what the positives predict with what they are to predict, (n, 4) in cells."""
    relative = relative_boxes(logits)
    sides = (relative[:, 2:] * anchors.to(relative)[positives.anchor]).clamp(min=SMALLEST_SIDE)
    iou: Tensor = bbox_iou(torch.cat((relative[:, :2], sides), -1), wanted.to(relative), CIoU=True)
    return iou.squeeze(-1)


def _objectness_target(iou: Tensor, positives: Positives, objectness: Tensor) -> Tensor:
    """(B, A, ny, nx): the IoU of the last positive in each cell, 0 in the others."""
    _, anchors, ny, nx = objectness.shape
    cell = ((positives.image * anchors + positives.anchor) * ny + positives.row) * nx + positives.column
    order = torch.arange(len(positives), device=cell.device)
    # a maximum does not depend on the order of writing, an assignment to repeated indices does
    last = torch.full((objectness.numel(),), -1, device=cell.device).scatter_reduce(0, cell, order, "amax")
    return torch.where(last >= 0, iou[last.clamp(min=0)], 0).view_as(objectness)


def _class_loss(logits: Tensor, classes: Tensor, options: LossOptions) -> Tensor:
    """Over the positives, logits (n, nc) and classes (n,)."""
    off = options.cls_smoothing / 2
    wanted = torch.full_like(logits, off).scatter_(1, classes[:, None], 1 - off)
    return _binary_loss(logits, wanted, options.cls_pos_weight, options.fl_gamma)


def _binary_loss(logits: Tensor, wanted: Tensor, pos_weight: float, gamma: float) -> Tensor:
    """Mean binary cross-entropy, focal for gamma > 0; `wanted` may lie between 0 and 1."""
    weight = torch.full((), pos_weight, dtype=logits.dtype, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weight, reduction="none")
    if gamma > 0:
        probability = logits.sigmoid()
        missed = wanted * (1 - probability) + (1 - wanted) * probability  # 1 - p_t
        alpha = wanted * FOCAL_ALPHA + (1 - wanted) * (1 - FOCAL_ALPHA)
        # the power of an exact 0 has no finite slope for gamma < 1
        loss = loss * alpha * missed.clamp(min=torch.finfo(missed.dtype).tiny) ** gamma
    return loss.mean()


class AnchorHead(Protocol):
    """What the criterion reads of a head."""

    nc: int
    ota: bool
    stride: Tensor
    anchors_px: Tensor


class AnchorCriterion:
    """The loss as Ultralytics' trainer and validator call it.

    Args:
        head: classes, strides and anchors, and whether training matches by `match_ota`; read at each call.
        args: the training arguments: the fields of `LossOptions`, and `imgsz`; read at each call.
    """

    def __init__(self, head: AnchorHead, args: Any) -> None:
        self.head, self.args = head, args

    def __call__(self, preds: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            preds: the head's training output, a dict with the maps `raw`; or (y, that dict) from the validator, which
                is matched by ratio whatever the head.
            batch: `batch_idx` (T,), `cls` (T, 1) and `bboxes` (T, 4), centre x, y, w, h as shares of the image.

        Returns:
            (3,) box, obj, cls times the batch size, and the three by name, detached and per image.
        """
        raw = preds["raw"] if isinstance(preds, dict) else preds[1]["raw"]
        device = raw[0].device
        columns = (batch["batch_idx"].view(-1, 1), batch["cls"].view(-1, 1), batch["bboxes"].view(-1, 4))
        targets = torch.cat([at_least_float32(column.to(device)) for column in columns], 1)
        strides = self.head.stride.to(device)
        anchors_grid = at_least_float32(self.head.anchors_px.to(device)) / strides[:, None, None]
        options = scaled_gains(LossOptions.of(self.args), self.head.nc, len(raw), self.args.imgsz)
        positives = match_by_ratio(targets, anchors_grid, [maps.shape[2:4] for maps in raw], options.anchor_t)
        if self.head.ota and isinstance(preds, dict):
            positives = match_ota(positives, raw, targets, anchors_grid, strides)
        loss = anchor_loss(raw, targets, positives, anchors_grid, options)
        names = ("box_loss", "obj_loss", "cls_loss")
        return loss * raw[0].shape[0], dict(zip(names, loss.detach(), strict=True))
