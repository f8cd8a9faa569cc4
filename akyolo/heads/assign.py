"""Which predictions of an anchor-based head are to find which target.

`match_by_ratio` is YOLOv5's rule, `match_ota` the selection that YOLOv7 makes among its matches: SimOTA (Z. Ge et al.,
"YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430, section 2.1; C.-Y. Wang et al., "YOLOv7", arXiv 2207.02696).

Deviation of the released YOLOv7: it scales the targets to pixels by the image's height alone; here x and w are scaled
by the width, so that images which are not square are matched as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from akyolo.heads.anchors import at_least_float32, relative_boxes
from akyolo.upstream_blocks import bbox_iou

NEIGHBOURS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))  # own cell, left, upper, right, lower
MOST_CLAIMS = 10  # of one target: SimOTA's number of IoUs that are summed to its k
IOU_COST = 3.0


@dataclass(frozen=True)
class Positives:
    """The predictions of one level that have a target: five int64 tensors (n,).

    `target` is the row in the targets; the others say where in a (B, A, ny, nx, ...) map the prediction is.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)

    @property
    def cells(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What indexes a (B, A, ny, nx, ...) map."""
        return self.image, self.anchor, self.row, self.column

    @property
    def corners(self) -> Tensor:
        """(n, 2): x and y of the cells' corners, in cells."""
        return torch.stack((self.column, self.row), -1)

    def given_to(self, owner: Tensor) -> "Positives":
        """Those with an owner: `owner` (n,) holds rows of the targets, -1 for none."""
        kept = owner >= 0
        return Positives(self.image[kept], self.anchor[kept], self.row[kept], self.column[kept], owner[kept])


def match_by_ratio(
    targets: Tensor, anchors_grid: Tensor, sizes: Sequence[Sequence[int]], anchor_t: float
) -> list[Positives]:
    """YOLOv5's matching: every anchor whose sides are within a ratio of the target's, in up to three cells.

    The cells are the target's own and the neighbours across the two nearer edges, where the map has them.

    Args:
        targets: (T, 6): image, class, centre x, centre y, w, h, the last four as shares of the image.
        anchors_grid: (L, A, 2), (w, h) in cells.
        sizes: (ny, nx) of each level.
        anchor_t: an anchor matches where neither side is `anchor_t` times longer or shorter.

    Returns:
        One `Positives` per level, ordered by neighbour (own, left, upper, right, lower), then anchor, then target: the
        order in which the released code writes, which decides cells with several targets.
    """
    return [_match_level(targets, anchors, size, anchor_t) for anchors, size in zip(anchors_grid, sizes, strict=True)]


def _match_level(targets: Tensor, anchors: Tensor, size: Sequence[int], anchor_t: float) -> Positives:
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
    """(T, 4): centre x, y, w, h of targets (T, 6) in the cells of a map of size (ny, nx)."""
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
    """YOLOv7's matching: of the candidates, those that predict their target at the least cost (SimOTA).

    Per image, a target claims its k cheapest candidates, k the whole part of the sum of its ten best IoUs, at least 1.
    A candidate that several targets claim goes to the target for which it is cheapest. The cost is
    -3 log(IoU) + the binary cross-entropy of sqrt(class probability * objectness). A cell that is a candidate twice
    counts twice, as in the released code.

    Args:
        candidates: what `match_by_ratio` found, per level; its `target` is not used.
        raw: per level (B, A, ny, nx, 5 + nc) logits: x, y, w, h, objectness, classes; read in at least float32.
        targets: (T, 6) as in `match_by_ratio`.
        anchors_grid: (L, A, 2), (w, h) in cells.
        strides: (L,), pixels between neighbouring cells.

    Returns:
        One `Positives` per level, in the order of the candidates.
    """
    strides = strides.to(raw[0].device)
    image = torch.cat([level.image for level in candidates])
    with torch.autocast(raw[0].device.type, enabled=False):  # it refuses the cross-entropy of probabilities
        seen_by_level = map(_predicted, raw, candidates, anchors_grid, strides)
        boxes, scores = (torch.cat(part) for part in zip(*seen_by_level, strict=True))
        truth = grid_units(targets, raw[0].shape[2:4]) * strides[0]
        owner = torch.full_like(image, -1)
        for index in range(len(raw[0])):
            seen, wanted = (image == index).nonzero()[:, 0], (targets[:, 0] == index).nonzero()[:, 0]
            if len(seen) and len(wanted):
                iou = bbox_iou(truth[wanted, None].to(boxes), boxes[seen]).squeeze(-1)
                cost = _class_cost(scores[seen], targets[wanted, 1].long()) - IOU_COST * (iou + 1e-8).log()
                owner[seen] = _claimed(cost, iou, wanted)
    lengths = [len(level) for level in candidates]
    return [level.given_to(mine) for level, mine in zip(candidates, owner.split(lengths), strict=True)]


def _predicted(raw: Tensor, positives: Positives, anchors: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    """What one level predicts at its candidates: boxes (n, 4) in pixels, objectness and class logits (n, 1 + nc)."""
    logits = at_least_float32(raw[positives.cells])
    boxes = relative_boxes(logits)
    sides = boxes[:, 2:] * anchors.to(boxes)[positives.anchor]
    return torch.cat((boxes[:, :2] + positives.corners, sides), -1) * stride, logits[:, 4:]


def _class_cost(logits: Tensor, classes: Tensor) -> Tensor:
    """(T, n): cross-entropy of the candidates' scores, logits (n, 1 + nc), with the one-hot classes (T,)."""
    probability = logits.sigmoid()
    score = (probability[:, :1] * probability[:, 1:]).sqrt()
    # clamped by torch at a logarithm of -100: finite where a probability is exactly 0 or 1
    absent = F.binary_cross_entropy(score, torch.zeros_like(score), reduction="none")
    present = F.binary_cross_entropy(score, torch.ones_like(score), reduction="none")
    return absent.sum(1) + (present - absent)[:, classes].T


def _claimed(cost: Tensor, iou: Tensor, targets: Tensor) -> Tensor:
    """(n,): the row in the targets that gets each candidate, -1 for none; cost and iou are (T, n)."""
    most = min(MOST_CLAIMS, cost.shape[1])
    claims = iou.topk(most, 1).values.sum(1).long().clamp(min=1)
    cheapest = cost.argsort(dim=1, stable=True)[:, :most]  # stable: equal costs give the same matches on every device
    ranks = torch.arange(most, device=cost.device)
    claimed = torch.zeros_like(cost, dtype=torch.bool).scatter_(1, cheapest, ranks < claims[:, None])
    contested = claimed.sum(0) > 1
    # as in the released code, the cheapest of all targets of the image, even of those that did not claim it
    winner = torch.where(contested, cost.argmin(0), claimed.int().argmax(0))
    return torch.where(claimed.any(0), targets[winner], -1)
