"""The anchor-based heads of YOLOv5 and YOLOv7.

Paper: C.-Y. Wang et al., "YOLOv7: Trainable bag-of-freebies sets new state-of-the-art for real-time object
detectors", arXiv 2207.02696. There is no paper of YOLOv5.

A head has one 1x1 convolution per level with A*(5 + nc) outputs: x, y, w, h, objectness and classes of every anchor.
IDetect adds YOLOR's implicit knowledge (C.-Y. Wang et al., arXiv 2105.04206): one learned vector is added before the
convolution, and its output is multiplied by another. For inference, `fuse` folds both into the convolution.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from akyolo.checks import check_whole
from akyolo.heads.anchors import anchor_table, at_least_float32, decode
from akyolo.heads.losses import AnchorCriterion
from akyolo.registry import register
from akyolo.upstream_blocks import Detect


@register(stands_in="Detect")
class AnchorDetect(Detect):
    """The anchor-based head of YOLOv5 (release 6).

    Parameters: A*(5 + nc)*(c + 1) per level of c channels.

    Args:
        ch: channels of each feature map, the finest first.
        nc: number of classes.
        anchors: per level [w, h, w, h, ...] in pixels. In a row, `anchors` is the list of that name in the same file.

    Raises:
        RowError: anchors that do not have this form for as many levels, or no positive number of classes.
    """

    ota = False  # whether training matches targets by SimOTA
    # The class bias starts at log(0.6 / (nc - margin)). With one class, the class score starts near 1 and stays there.
    class_margin = 0.99999

    def __init__(self, ch: Sequence[int], nc: int, anchors: Any) -> None:
        """Build one convolution per level."""
        nn.Module.__init__(self)  # that of Detect would build the branches of an anchor-free head
        check_whole(nc=nc)
        table = anchor_table(anchors, len(ch))
        self.nc, self.nl, self.na, self.no, self.reg_max = nc, len(ch), table.shape[1], nc + 5, 1
        self.stride = torch.zeros(self.nl)  # in pixels; set when the model is built
        self.cv2 = nn.ModuleList()  # upstream reads it when it loads weights and when it fuses
        self.convs = nn.ModuleList(nn.Conv2d(c, self.na * self.no, 1) for c in ch)
        self.anchors_px: Tensor
        self.register_buffer("anchors_px", table)

    def forward(self, x: Sequence[Tensor]) -> Any:
        """Return the predictions for feature maps (B, c, ny, nx).

        Returns:
            In training, a dict with `feats`, the feature maps, and `raw`, per level (B, A, ny, nx, 5 + nc) logits.
            In evaluation, (y, that dict); in export, y alone. y is (B, 4 + nc, n), boxes in pixels and class scores, in
            the dtype of x. The n = sum of A*ny*nx predictions are ordered by level, anchor, row, column.
        """
        raw = [self._anchor_maps(self._output(feature, level)) for level, feature in enumerate(x)]
        preds = {"feats": list(x), "raw": raw}
        if self.training:
            return preds
        boxes, objectness, classes = self.decode_predictions(raw).split((4, 1, self.nc), -1)
        if self.xyxy:  # the export has NMS in its graph
            centre, half = boxes[..., :2], boxes[..., 2:] / 2
            boxes = torch.cat((centre - half, centre + half), -1)
        y = torch.cat((boxes, objectness * classes), -1).transpose(1, 2).to(x[0].dtype)
        return y if self.export else (y, preds)

    def _output(self, feature: Tensor, level: int) -> Tensor:
        """Map (B, c, ny, nx) to (B, A*(5 + nc), ny, nx)."""
        return self.convs[level](feature)

    def _anchor_maps(self, output: Tensor) -> Tensor:
        """Separate the anchors of one level.

        Args:
            output: (B, A*(5 + nc), ny, nx).

        Returns:
            (B, A, ny, nx, 5 + nc).
        """
        b, _, ny, nx = output.shape
        return output.view(b, self.na, self.no, ny, nx).permute(0, 1, 3, 4, 2)

    def decode_predictions(self, raw: Sequence[Tensor]) -> Tensor:
        """Return boxes and probabilities.

        Objectness and classes are not multiplied yet.

        Args:
            raw: per level (B, A, ny, nx, 5 + nc).

        Returns:
            (B, n, 5 + nc): centre x, y, w, h in pixels, objectness, classes, at least float32. The predictions are
            ordered by level, anchor, row, column.
        """
        levels = [
            torch.cat(
                (decode(maps, self.anchors_px[level], self.stride[level]), at_least_float32(maps[..., 4:]).sigmoid()),
                -1,
            ).flatten(1, 3)
            for level, maps in enumerate(raw)
        ]
        return torch.cat(levels, 1)

    @torch.no_grad()
    def bias_init(self) -> None:
        """Add the prior of YOLOv5 to the biases.

        It expects 8 objects in an image of 640 pixels, and 0.6/nc for each class. The strides must be set.
        """
        for conv, stride in zip(self.convs, self.stride.tolist(), strict=True):
            bias = conv.get_parameter("bias").view(self.na, self.no)
            bias[:, 4] += math.log(8 / (640 / stride) ** 2)
            bias[:, 5:] += math.log(0.6 / (self.nc - self.class_margin))

    def fuse(self) -> None:
        """Do nothing, unlike upstream's head.

        Upstream's `fuse` drops branches that this head does not have.
        """

    def build_criterion(self, model: Any) -> AnchorCriterion:
        """Return the loss of this head.

        `model.args` are its training arguments.
        """
        return AnchorCriterion(self, model.args)


@register(stands_in="Detect")
class IDetect(AnchorDetect):
    """The head of YOLOv7, with implicit knowledge.

    Training matches targets by SimOTA.

    Parameters: those of AnchorDetect and c + A*(5 + nc) per level, which `fuse` folds into the others.

    Args:
        ch: channels of each feature map, the finest first.
        nc: number of classes.
        anchors: per level [w, h, w, h, ...] in pixels. In a row, `anchors` is the list of that name in the same file.

    Raises:
        RowError: as for AnchorDetect.
    """

    ota = True
    class_margin = 0.99

    def __init__(self, ch: Sequence[int], nc: int, anchors: Any) -> None:
        """Build convolutions and implicit vectors."""
        super().__init__(ch, nc, anchors)
        outputs = self.na * self.no
        self.implicit_add = nn.ParameterList(nn.Parameter(torch.randn(1, c, 1, 1) * 0.02) for c in ch)
        self.implicit_mul = nn.ParameterList(nn.Parameter(1 + torch.randn(1, outputs, 1, 1) * 0.02) for _ in ch)

    def _output(self, feature: Tensor, level: int) -> Tensor:
        """Map (B, c, ny, nx) to (B, A*(5 + nc), ny, nx)."""
        if not len(self.implicit_add):  # fused
            return super()._output(feature, level)
        return super()._output(feature + self.implicit_add[level], level) * self.implicit_mul[level]

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold the implicit parameters into the convolutions.

        m * (W (x + a) + b) = (m W) x + m * (b + W a). A second call does nothing.
        """
        if not len(self.implicit_add):
            return
        for conv, add, mul in zip(self.convs, self.implicit_add, self.implicit_mul, strict=True):
            weight, bias, factor = conv.get_parameter("weight"), conv.get_parameter("bias"), mul.flatten()
            bias.copy_(factor * (bias + weight.flatten(1) @ add.flatten()))
            weight.mul_(factor[:, None, None, None])
        self.implicit_add, self.implicit_mul = nn.ParameterList(), nn.ParameterList()

    def undecayed_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the implicit parameters.

        Weight decay would pull the factors from 1 to 0.
        """
        yield from self.implicit_add
        yield from self.implicit_mul
