"""Make records without a training."""

from akyolo.experiments.run.records import Record


def record(**changes):
    """Return a record of the row Conv with seed 0."""
    fields = {
        "table": "t",
        "row": "Conv",
        "seed": 0,
        "asked": {"protocol": "ultralytics", "settings": {"epochs": 3}},
        "settings": {"epochs": 3, "imgsz": 64, "batch": 4},
        "batch": 4,
        "images": {"train": 12, "val": 8},
        "labels": "ab12",
        "params": 1_234_567,
        "gflops": 4.321,
        "metrics": {"ultralytics": {"mAP50": 0.5, "mAP": 0.25}},
        "curve": [{"epoch": n, "seconds": seconds} for n, seconds in ((1, 9.0), (2, 2.0), (3, 4.0))],
        "starts": [{"epoch": 1, "date": "2026-11-21T00:00:00+00:00", "seconds": 15.0, "cpu_seconds": 14.0}],
        "seconds": 15.0,
        "cpu_seconds": 14.0,
        "peak_bytes": 300 * 2**20,
        "versions": {"torch": "2"},
        "hardware": {"device": "cpu", "gpu": None},
        "date": "2026-11-21T00:00:15+00:00",
    }
    return Record(**fields | changes)
