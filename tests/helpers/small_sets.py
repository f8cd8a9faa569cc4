"""Make detections and ground truth without images, by hand or at random."""

import numpy as np

from akyolo.scoring.detections import Detections
from akyolo.scoring.ground_truth import GroundTruth

NAMES = ("ant", "bee", "cat")
SIZES = {"width": 200, "height": 120}


def make_ground_truth(objects, images=1, **changes):
    """Return ground truth of objects (image, class, x1, y1, x2, y2) in images of 200 x 120."""
    rows = np.array(objects, float).reshape(-1, 6)
    flags = np.zeros(len(rows), bool)
    fields = {
        "images": tuple(f"images/val/{index}.png" for index in range(images)),
        "sizes": np.tile([SIZES["width"], SIZES["height"]], (images, 1)),
        "names": NAMES,
        "xyxy_px": rows[:, 2:],
        "classes": rows[:, 1].astype(int),
        "image": rows[:, 0].astype(int),
        "area": (rows[:, 4] - rows[:, 2]) * (rows[:, 5] - rows[:, 3]),
        "crowd": flags,
        "ignored": flags,
        "region_xyxy_px": np.zeros((0, 4)),
        "region_image": np.zeros(0, int),
        "sha256": "ab" * 32,
    }
    return GroundTruth(**fields | changes)


def make_detections(detections, ground_truth, **changes):
    """Detections as (image, class, score, x1, y1, x2, y2) in the images of `there`."""
    rows = np.array(detections, float).reshape(-1, 7)
    fields = {
        "images": ground_truth.images,
        "sizes": ground_truth.sizes,
        "names": ground_truth.names,
        "xyxy_px": rows[:, 3:].astype(np.float32),
        "scores": rows[:, 2].astype(np.float32),
        "classes": rows[:, 1].astype(np.int32),
        "image": rows[:, 0].astype(np.int32),
        "nms": {"conf": 0.001, "iou": 0.65, "max_det": 300, "multi_label": True, "agnostic": False},
        "labels_sha256": ground_truth.sha256,
    }
    return Detections(**fields | changes)


def random_set(seed, images=12, shift=7.0):
    """Return crowded images: several detections for each object, shifted, some of another class, some anywhere."""
    random = np.random.default_rng(seed)
    objects, detections = [], []
    for image in range(images):
        for _ in range(random.integers(0, 9)):
            class_id, corner, side = random.integers(0, 3), random.uniform(0, (140, 80)), random.uniform(12, 60, 2)
            box = np.concatenate((corner, corner + side))
            objects.append((image, class_id, *box.clip(0, (200, 120, 200, 120))))
            for _ in range(random.integers(0, 4)):
                moved = box + random.normal(0, shift, 4)
                moved[2:] = np.maximum(moved[2:], moved[:2] + 4)
                detections.append(
                    (image, class_id if random.random() < 0.8 else random.integers(0, 3), random.random(), *moved)
                )
        detections.append((image, random.integers(0, 3), random.random() / 2, 5, 7, 60, 90))
    detections.sort(key=lambda row: (row[0], -row[2]))
    ground_truth = make_ground_truth(objects, images)
    return make_detections(detections, ground_truth), ground_truth


def perfect(ground_truth):
    """Return a correct detection of each object, with scores that differ."""
    scores = np.linspace(0.9, 0.2, len(ground_truth.image))
    return make_detections(
        np.column_stack((ground_truth.image, ground_truth.classes, scores, ground_truth.xyxy_px)), ground_truth
    )
