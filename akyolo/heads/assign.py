"""Match predictions of anchor-based heads with targets.

`match_by_ratio` is the rule of YOLOv5. `match_ota` is SimOTA, by which YOLOv7 selects among those matches.

Source: Z. Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430, section 2.1; C.-Y. Wang et al.,
"YOLOv7", arXiv 2207.02696.

Deviation of the released YOLOv7: it scales the targets to pixels by the height of the image alone. Here x and w are
scaled by the width, so that images which are not square are matched in their own proportions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from akyolo.heads.anchors import at_least_float32, relative_boxes
from akyolo.upstream_blocks import bbox_iou

NEIGHBOURS = (
    (0.0, 0.0),
    (0.5, 0.0),
    (0.0, 0.5),
    (-0.5, 0.0),
    (0.0, -0.5),
)  # of the own cell, left, upper, right, lower
MAX_MATCHES = 10  # of one target in SimOTA, which sums so many IoUs to get the number of its matches
IOU_COST = 3.0


@dataclass(frozen=True)
class Positives:
    """The matched predictions of one level.

    All fields are int64 tensors (n,).

    Args:
        image: index in the batch.
        anchor: index of the anchor.
        row: row of the cell.
        column: column of the cell.
        target: row in the targets.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor

    def __len__(self) -> int:
        """Return the number of predictions."""
        return len(self.target)

    @property
    def cells(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return indices into a (B, A, ny, nx, ...) tensor."""
        return self.image, self.anchor, self.row, self.column

    @property
    def corners(self) -> Tensor:
        """Return the corners (n, 2) of the cells.

        They are x and y, in cells.
        """
        return torch.stack((self.column, self.row), -1)

    def assign(self, targets: Tensor) -> "Positives":
        """Return the predictions with new targets.

        Args:
            targets: (n,), rows in the targets; a prediction with -1 is left out.
        """
        kept = targets >= 0
        return Positives(self.image[kept], self.anchor[kept], self.row[kept], self.column[kept], targets[kept])


def match_by_ratio(
    targets: Tensor, anchors_grid: Tensor, sizes: Sequence[Sequence[int]], anchor_t: float
) -> list[Positives]:
    """Match targets with anchors of similar size.

    This is the rule of YOLOv5.

    A target is matched in up to three cells: its own and the neighbours across the two nearer edges, if they lie in the
    feature map.

    Args:
        targets: (T, 6): image, class, centre x, centre y, w, h, the last four normalised to [0, 1].
        anchors_grid: (L, A, 2), (w, h) in cells.
        sizes: (ny, nx) of each level.
        anchor_t: an anchor matches if neither side is `anchor_t` times longer or shorter than that of the target.

    Returns:
        One `Positives` per level, ordered by neighbour (own, left, upper, right, lower), then anchor, then target. This
        is the order of the released code. It decides which target a cell with several targets has.
    """
    return [_match_level(targets, anchors, size, anchor_t) for anchors, size in zip(anchors_grid, sizes, strict=True)]


def _match_level(targets: Tensor, anchors: Tensor, size: Sequence[int], anchor_t: float) -> Positives:
    """Return the matches of one level."""
    ny, nx = size
    boxes = grid_units(targets, size)
    ratio = boxes[:, 2:] / anchors.to(boxes)[:, None]
    anchor, target = (torch.maximum(ratio, 1 / ratio).amax(-1) < anchor_t).nonzero(as_tuple=True)
    centre = boxes[target, :2]
    opposite = boxes.new_tensor((nx, ny)) - centre
    near = ((edge % 1 < 0.5) & (edge > 1) for edge in (centre, opposite))
    left, upper, right, lower = (axis for edges in near for axis in edges.unbind(-1))
    own = torch.ones_like(left)
    neighbour, match = torch.stack((own, left, upper, right, lower)).nonzero(as_tuple=True)
    cell = (centre[match] - boxes.new_tensor(NEIGHBOURS)[neighbour]).long()
    column, row = cell[:, 0].clamp(0, nx - 1), cell[:, 1].clamp(0, ny - 1)
    return Positives(targets[target[match], 0].long(), anchor[match], row, column, target[match])


def grid_units(targets: Tensor, size: Sequence[int]) -> Tensor:
    """Return the boxes of targets in cells.

    Args:
        targets: (T, 6) as in `match_by_ratio`.
        size: (ny, nx) of the feature map.

    Returns:
        (T, 4): centre x, y, w, h.
    """
    ny, nx = size
    return targets[:, 2:6] * targets.new_tensor((nx, ny, nx, ny))


@torch.no_grad()
def match_ota(
    candidates: Sequence[Positives],
    raw: Sequence[Tensor],
    targets: Tensor,
    anchors_grid: Tensor,
    strides: Tensor,
) -> list[Positives]:
    """Select the cheapest candidates for each target (SimOTA).

    In each image, a target is matched with its k cheapest candidates. k is the sum of its ten best IoUs, rounded down,
    and at least 1. A candidate with several targets gets the one for which it is cheapest. The cost is
    -3 log(IoU) + the binary cross-entropy of sqrt(class probability * objectness). A cell that is a candidate twice
    counts twice, as in the released code.

    Args:
        candidates: the matches of `match_by_ratio`, per level; their `target` is not used.
        raw: per level (B, A, ny, nx, 5 + nc) logits: x, y, w, h, objectness, classes. They are read as float32 or
            longer.
        targets: (T, 6) as in `match_by_ratio`.
        anchors_grid: (L, A, 2), (w, h) in cells.
        strides: (L,), pixels between neighbouring cells of each level.

    Returns:
        One `Positives` per level, in the order of the candidates.
    """
    strides = strides.to(raw[0].device)
    image = torch.cat([level.image for level in candidates])
    with torch.autocast(raw[0].device.type, enabled=False):  # autocast refuses the cross-entropy of probabilities
        by_level = map(_predict, raw, candidates, anchors_grid, strides)
        boxes, scores = (torch.cat(part) for part in zip(*by_level, strict=True))
        target_boxes = grid_units(targets, raw[0].shape[2:4]) * strides[0]
        assigned = torch.full_like(image, -1)
        for index in range(len(raw[0])):
            of_image, rows = (image == index).nonzero()[:, 0], (targets[:, 0] == index).nonzero()[:, 0]
            if len(of_image) and len(rows):
                iou = bbox_iou(target_boxes[rows, None].to(boxes), boxes[of_image]).squeeze(-1)
                cost = _class_cost(scores[of_image], targets[rows, 1].long()) - IOU_COST * (iou + 1e-8).log()
                assigned[of_image] = _assign(cost, iou, rows)
    lengths = [len(level) for level in candidates]
    return [level.assign(rows) for level, rows in zip(candidates, assigned.split(lengths), strict=True)]


def _predict(raw: Tensor, positives: Positives, anchors: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    """Return what one level predicts at its candidates.

    Returns:
        Boxes (n, 4) in pixels; objectness and class logits (n, 1 + nc).
    """
    logits = at_least_float32(raw[positives.cells])
    boxes = relative_boxes(logits)
    sides = boxes[:, 2:] * anchors.to(boxes)[positives.anchor]
    return torch.cat((boxes[:, :2] + positives.corners, sides), -1) * stride, logits[:, 4:]


def _class_cost(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the class cost of candidates for targets.

    It is the binary cross-entropy of their scores with the one-hot class.

    Args:
        logits: (n, 1 + nc), objectness and classes of the candidates.
        classes: (T,), the class of each target.

    Returns:
        (T, n).
    """
    probability = logits.sigmoid()
    score = (probability[:, :1] * probability[:, 1:]).sqrt()
    # torch clamps the logarithm at -100, so the cost is finite where a probability is exactly 0 or 1.
    absent = F.binary_cross_entropy(score, torch.zeros_like(score), reduction="none")
    present = F.binary_cross_entropy(score, torch.ones_like(score), reduction="none")
    return absent.sum(1) + (present - absent)[:, classes].T


def _assign(cost: Tensor, iou: Tensor, targets: Tensor) -> Tensor:
    """Return the target of each candidate.

    Args:
        cost: (T, n), of each target with each candidate.
        iou: (T, n).
        targets: (T,), their rows in all targets.

    Returns:
        (n,): rows in all targets, -1 for none.
    """
    most = min(MAX_MATCHES, cost.shape[1])
    counts = iou.topk(most, 1).values.sum(1).long().clamp(min=1)
    # The sort is stable, so that equal costs give the same matches on every device.
    cheapest = cost.argsort(dim=1, stable=True)[:, :most]
    ranks = torch.arange(most, device=cost.device)
    matched = torch.zeros_like(cost, dtype=torch.bool).scatter_(1, cheapest, ranks < counts[:, None])
    has_several = matched.sum(0) > 1
    # As in the released code, this is the cheapest of all targets of the image, even of those not matched here.
    best = torch.where(has_several, cost.argmin(0), matched.int().argmax(0))
    return torch.where(matched.any(0), targets[best], -1)
