"""The README's figures are those of the records."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "runs" / "records").glob("*.json"))}


@pytest.mark.parametrize("name", [name for name, record in RECORDS.items() if "curve" in record])
def test_trainings(name):
    record = RECORDS[name]
    assert record["last"] == record["curve"][-1]
    row = f"| {record['last']['map50']:.3f} | {record['last']['map']:.3f} | {record['cpu_s']:.0f} |"
    assert row in README


def test_speed_of_the_operator():
    for variant, values in RECORDS["bench-ops-cpu"]["summary"]["forward+backward"].items():
        if not variant.startswith("plain"):
            ratios = (values[f"geomean_ratio_to_{other}"] for other in ("four_gather", "plain"))
            row = " | ".join(f"{ratio:.2f}" for ratio in (*ratios, values["kept_ratio_to_plain"]))
            assert f"| {row} |" in README


def test_speed_of_the_model():
    rows = {row["pass"]: row for row in RECORDS["bench-model-cpu"]["rows"] if "akconv5" in row["variant"]}
    assert f"takes {rows['training step']['ratio']:.2f} of" in README
    assert f"inference {rows['inference']['ratio']:.2f} (" in README
