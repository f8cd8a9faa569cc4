"""The loss against formulas written out one positive at a time, and the criterion that upstream calls."""

import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.heads.assign import Positives, match_by_ratio
from akyolo.heads.losses import AnchorCriterion, LossOptions, anchor_loss, scale_gains
from akyolo.upstream_blocks import bbox_iou
from tests.helpers.small_batches import ANCHORS, CLASSES, IMAGES, SIZES, STRIDES, some_raw, some_targets

ODD = LossOptions(0.3, 0.7, 0.9, cls_pos_weight=1.7, obj_pos_weight=0.6, fl_gamma=1.3, cls_smoothing=0.2)


def binary(logit, expected, pos_weight, gamma):
    """Binary cross-entropy from probabilities; focal: alpha_t (1 - p_t)^gamma."""
    p = logit.sigmoid()
    loss = -(pos_weight * expected * p.log() + (1 - expected) * (1 - p).log())
    if gamma:
        p_t = expected * p + (1 - expected) * (1 - p)
        loss = loss * (expected * 0.25 + (1 - expected) * 0.75) * (1 - p_t) ** gamma
    return loss


def by_loops(raw, targets, positives, options):
    box, obj, cls = 0, 0, 0
    balance = {3: [4, 1, 0.4]}.get(len(raw), [4, 1, 0.25, 0.06, 0.02])
    for level, (maps, matched) in enumerate(zip(raw, positives, strict=True)):
        ny, nx = maps.shape[2:4]
        expected = torch.zeros(maps.shape[:4], dtype=maps.dtype)
        ious, entropies = [], []
        for b, a, row, column, t in zip(*(p.tolist() for p in (*matched.cells, matched.target)), strict=True):
            logits, scale = maps[b, a, row, column], torch.tensor([nx, ny, nx, ny], dtype=maps.dtype)
            xy = 2 * logits[:2].sigmoid() - 0.5 + torch.tensor([column, row])
            wh = (2 * logits[2:4].sigmoid()) ** 2 * ANCHORS[level, a].to(maps)
            iou = bbox_iou(torch.cat((xy, wh)), (targets[t, 2:] * scale).to(maps), CIoU=True)
            ious.append(iou)
            expected[b, a, row, column] = iou.detach().clamp(min=0)  # the last one stays
            label = torch.full((maps.shape[-1] - 5,), options.cls_smoothing / 2, dtype=maps.dtype)
            label[int(targets[t, 1])] = 1 - options.cls_smoothing / 2
            entropies.append(binary(logits[5:], label, options.cls_pos_weight, options.fl_gamma))
        obj = obj + balance[level] * binary(maps[..., 4], expected, options.obj_pos_weight, options.fl_gamma).mean()
        if ious:
            box = box + (1 - torch.cat(ious)).mean()
            cls = cls + torch.stack(entropies).mean() * (maps.shape[-1] > 6)
    gains = torch.tensor([options.box, options.obj, options.cls], dtype=raw[0].dtype)
    return torch.stack([torch.as_tensor(v, dtype=raw[0].dtype) for v in (box, obj, cls)]) * gains


def matched(targets):
    return match_by_ratio(targets, ANCHORS.double(), SIZES, 4.0)


@given(st.integers(0, 2**31), st.integers(0, 8), st.sampled_from([LossOptions(), ODD, replace(ODD, fl_gamma=0.5)]))
@settings(max_examples=25, deadline=None)
def test_loss_and_gradients_are_those_of_the_loops(seed, number, options):
    targets, raw = some_targets(seed, number), [maps.requires_grad_() for maps in some_raw(seed)]
    ours = anchor_loss(raw, targets, matched(targets), ANCHORS, options)
    expected = by_loops(raw, targets, matched(targets), options)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)
    for grad, other in zip(torch.autograd.grad(ours.sum(), raw), torch.autograd.grad(expected.sum(), raw), strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-7, atol=1e-12)


def test_three_levels_have_a_balance_of_their_own():
    raw = [torch.zeros(1, 3, 2, 3, 7, dtype=torch.float64) for _ in range(4)]
    none = [Positives(*(torch.zeros(0, dtype=torch.long) for _ in range(5)))] * 4
    anchors, targets, base = torch.ones(4, 3, 2), torch.zeros(0, 6), F.softplus(torch.zeros(())).item()
    for levels, weight in ((1, 4), (2, 5), (3, 5.4), (4, 5.31)):
        obj = anchor_loss(raw[:levels], targets, none[:levels], anchors[:levels], LossOptions())[1].item()
        assert obj == pytest.approx(base * weight, rel=1e-6)
    six = anchor_loss([raw[0]] * 6, targets, [none[0]] * 6, torch.ones(6, 3, 2), LossOptions())[1].item()
    assert six == pytest.approx(base * (5.33 + 0.02), rel=1e-6)


@pytest.mark.parametrize("options", [LossOptions(), ODD], ids=["plain", "odd"])
def test_gradcheck_of_objectness_and_classes(options):
    """Box logits are left out: the gradient treats the CIoU's weight and the expected objectness as constants."""
    targets, raw = some_targets(4, 4, images=2), [maps[:2] for maps in some_raw(4)]
    assert any(map(len, matched(targets)))
    boxes = [maps[..., :4] for maps in raw]
    scores = [maps[..., 4:].clone().requires_grad_() for maps in raw]

    def loss(*scores):
        maps = [torch.cat(pair, -1) for pair in zip(boxes, scores, strict=True)]
        return anchor_loss(maps, targets, matched(targets), ANCHORS, options)

    assert torch.autograd.gradcheck(loss, scores, fast_mode=True)


def cells(*rows):
    return Positives(*torch.tensor(rows).T)


def test_the_last_match_of_a_cell_decides_its_objectness():
    targets = torch.tensor([[0, 0, 0.55, 0.55, 0.2, 0.3], [0, 1, 0.5, 0.6, 0.4, 0.5]], dtype=torch.float64)
    raw = [maps.requires_grad_() for maps in some_raw(0)]
    none = Positives(*(torch.zeros(0, dtype=torch.long) for _ in range(5)))
    both = [[cells((0, 1, 3, 5, first), (0, 1, 3, 5, 1 - first)), none] for first in (0, 1)]
    losses = [anchor_loss(raw, targets, positives, ANCHORS, LossOptions()) for positives in both]
    for ours, positives in zip(losses, both, strict=True):
        torch.testing.assert_close(ours, by_loops(raw, targets, positives, LossOptions()))
        gradients = torch.autograd.grad(ours[1], raw, retain_graph=True)[0][..., 4]
        single = [cells((0, 1, 3, 5, positives[0].target[-1].item())), none]
        alone = anchor_loss(raw, targets, single, ANCHORS, LossOptions())[1]
        assert torch.equal(gradients, torch.autograd.grad(alone, raw)[0][..., 4])
    assert losses[0][1] != losses[1][1]
    torch.testing.assert_close(losses[0][::2], losses[1][::2])


def test_one_class_has_no_class_loss():
    targets = some_targets(4, 4)
    targets[:, 1] = 0
    raw = [maps[..., :6].requires_grad_() for maps in some_raw(4)]
    box, obj, cls = anchor_loss(raw, targets, matched(targets), ANCHORS, LossOptions())
    assert box > 0 and obj > 0 and cls == 0
    torch.testing.assert_close(torch.stack((box, obj, cls)), by_loops(raw, targets, matched(targets), LossOptions()))


@pytest.mark.parametrize("size", [30.0, 60.0, 1000.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.5])
def test_saturated_logits_have_a_finite_loss_and_gradient(size, gamma):
    targets = some_targets(4, 6).float()
    raw = [(maps.sign() * size).requires_grad_() for maps in some_raw(4, torch.float32)]
    loss = anchor_loss(raw, targets, matched(targets), ANCHORS, replace(ODD, fl_gamma=gamma))
    assert loss.isfinite().all()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss.sum(), raw))


def test_gains_are_scaled_to_the_model():
    scaled = scale_gains(ODD, nc=20, levels=2, imgsz=320)
    assert (scaled.box, scaled.obj, scaled.cls) == pytest.approx((0.3 * 1.5, 0.7 * 0.25 * 1.5, 0.9 * 0.25 * 1.5))
    assert replace(scaled, box=ODD.box, obj=ODD.obj, cls=ODD.cls) == ODD


ARGS = {**vars(ODD), "imgsz": 80}


def criterion(ota=False, **changed):
    head = SimpleNamespace(nc=CLASSES, ota=ota, stride=STRIDES, anchors_px=ANCHORS * STRIDES[:, None, None])
    return AnchorCriterion(head, SimpleNamespace(**{**ARGS, **changed}))


def batch_of(targets):
    return {
        "batch_idx": targets[:, 0],
        "cls": targets[:, 1:2],
        "bboxes": targets[:, 2:],
        "img": torch.zeros(IMAGES, 3, 48, 80),
    }


def test_the_criterion_scales_the_gains_and_multiplies_by_the_batch():
    targets, raw = some_targets(3, 7).float(), some_raw(3, torch.float32)
    raw[0].requires_grad_()
    loss, items = criterion()({"feats": [], "raw": raw}, batch_of(targets))
    expected = by_loops(raw, targets, matched(targets), scale_gains(ODD, CLASSES, 2, 80))
    torch.testing.assert_close(loss, expected * IMAGES, rtol=1e-4, atol=1e-6)
    assert loss.requires_grad and list(items) == ["box_loss", "obj_loss", "cls_loss"]
    assert not any(item.requires_grad for item in items.values())
    torch.testing.assert_close(torch.stack(list(items.values())) * IMAGES, loss.detach())


def test_arguments_are_read_at_each_call():
    targets, raw, ours = some_targets(3, 7).float(), some_raw(3, torch.float32), criterion()
    first = ours({"raw": raw}, batch_of(targets))[0]
    ours.args.box *= 2
    ours.args.anchor_t = 1.01
    second = ours({"raw": raw}, batch_of(targets))[0]
    assert second[0] < first[0]
    ours.args.anchor_t = ODD.anchor_t
    torch.testing.assert_close(ours({"raw": raw}, batch_of(targets))[0][0], first[0] * 2)


def test_an_ota_head_matches_by_ratio_in_validation():
    targets, raw = some_targets(3, 7).float(), some_raw(3, torch.float32)
    batch, preds = batch_of(targets), {"raw": raw}
    plain, validated = criterion()(preds, batch)[0], criterion(ota=True)((torch.zeros(1), preds), batch)[0]
    assert torch.equal(plain, validated)
    assert torch.equal(plain, criterion()((torch.zeros(1), preds), batch)[0])
    assert not torch.allclose(plain, criterion(ota=True)(preds, batch)[0])


@pytest.mark.parametrize("ota", [False, True])
def test_images_without_targets_and_batches_without_any(ota):
    raw = [maps.requires_grad_() for maps in some_raw(3, torch.float32)]
    for targets in (some_targets(3, 0).float(), some_targets(3, 5, images=1).float()):
        loss, _ = criterion(ota)({"raw": raw}, batch_of(targets))
        assert loss.isfinite().all() and (loss[0] > 0) == bool(len(targets)) and loss[1] > 0
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss.sum(), raw))


@pytest.mark.parametrize("ota", [False, True])
def test_autocast_in_bfloat16_is_computed_in_float32(ota):
    targets, raw = some_targets(3, 7).float(), [maps.requires_grad_() for maps in some_raw(3, torch.bfloat16)]
    expected, _ = criterion(ota)({"raw": [maps.float() for maps in raw]}, batch_of(targets))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, items = criterion(ota)({"raw": raw}, batch_of(targets))
    assert loss.dtype == items["box_loss"].dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss.sum(), raw))


def test_the_criterion_survives_pickling():
    targets, raw = some_targets(3, 7).float(), some_raw(3, torch.float32)
    again = pickle.loads(pickle.dumps(criterion(ota=True)))
    expected = criterion(ota=True)({"raw": raw}, batch_of(targets))[0]
    assert torch.equal(again({"raw": raw}, batch_of(targets))[0], expected)
