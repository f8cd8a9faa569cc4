"""Tables and plots of records that were written by hand."""

import struct

import pytest

from akyolo.experiments.table.figures import plot
from akyolo.experiments.table.tables import as_json, entries, markdown, spread
from tests.helpers.records import record

METRICS = ("mAP50", "mAP")
ROWS = ("Conv", "AKConv:5", "DSConv:5")


def scored(row, seed, map50, map_, **changes):
    return record(row=row, seed=seed, metrics={"ultralytics": {"mAP50": map50, "mAP": map_}}, **changes)


RECORDS = [
    scored("Conv", 0, 0.2, 0.1),
    scored("Conv", 1, 0.4, 0.2, peak_bytes=400 * 2**20, curve=[{"epoch": 1, "seconds": 8.0}]),
    scored("Conv", 2, 0.9, 0.3, peak_bytes=None),
    scored("AKConv:5", 1, 0.6, 0.4, params=2_000_000, gflops=5.0),
]


@pytest.fixture
def results():
    return entries(ROWS, RECORDS, METRICS, {"Conv": 20.0, "AKConv:5": 25.0})


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        ([0.5], 0.5, None),
        ([1.0, 3.0], 2.0, 2**0.5),  # ((1-2)^2 + (3-2)^2) / (2-1) = 2
        ([2.0, 4.0, 9.0], 5.0, 13**0.5),  # (9 + 1 + 16) / 2 = 13
        ([0.3, 0.3, 0.3], 0.3, 0.0),
    ],
)
def test_mean_and_sample_standard_deviation(values, mean, std):
    distribution = spread(values)
    assert distribution.values == tuple(values) and distribution.mean == pytest.approx(mean)
    assert distribution.std == (None if std is None else pytest.approx(std))


def test_a_row_is_what_its_records_say(results):
    conv, akconv, dsconv = results
    assert [entry.row for entry in results] == list(ROWS)
    assert conv.seeds == (0, 1, 2) and akconv.seeds == (1,) and dsconv.seeds == ()
    assert conv.metrics["mAP50"].mean == pytest.approx(0.5)
    assert conv.metrics["mAP50"].std == pytest.approx(0.13**0.5)  # (.09 + .01 + .16) / 2
    assert conv.metrics["mAP"].std == pytest.approx(0.1)
    assert akconv.metrics["mAP"] == spread([0.4])
    assert (conv.ms_ratio, akconv.ms_ratio, dsconv.ms_ratio) == (1.0, 1.25, None)
    assert conv.seconds_per_epoch == pytest.approx((4.0 + 8.0 + 4.0) / 3)  # medians of 9 2 4, of 8, of 9 2 4
    assert conv.peak_bytes == 400 * 2**20 and (akconv.params, akconv.gflops) == (2_000_000, 5.0)


def test_the_table_as_text(results):
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown(results, METRICS, 3).splitlines()]
    assert cells[0][:6] == ["row", "mAP50", "mAP", "params (M)", "GFLOPs", "ms / image"]
    assert cells[2] == ["Conv", "0.500 ± 0.361", "0.200 ± 0.100", "1.235", "4.32", "20.0", "1.00", "5.3", "400"]
    assert cells[3] == ["AKConv:5", "0.600 (n=1)", "0.400 (n=1)", "2.000", "5.00", "25.0", "1.25", "4.0", "300"]
    assert cells[4] == ["DSConv:5", *["not run"] * 8]
    assert len({len(line) for line in markdown(results, METRICS, 3).splitlines()}) == 1


def test_what_is_not_measured_is_a_dash():
    (entry,) = entries(["Conv"], [scored("Conv", 0, 0.2, 0.1, peak_bytes=None)], METRICS, {})
    line = markdown([entry], METRICS, 1).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:-1]][5:] == ["-", "-", "4.0", "-"] and "n=" not in line


def test_as_json_it_has_all_digits(results):
    first = as_json(results)[0]
    assert first["metrics"]["mAP50"]["values"] == (0.2, 0.4, 0.9)
    assert first["metrics"]["mAP50"]["std"] == pytest.approx(0.13**0.5, rel=1e-12)
    assert as_json(results)[2]["metrics"] == {}


@pytest.mark.parametrize("ms", [{}, {"Conv": 20.0, "AKConv:5": 25.0}])
@pytest.mark.parametrize("records", [[], RECORDS])
def test_the_plot_is_a_png(records, ms):
    png = plot(entries(ROWS, records, METRICS, ms), "mAP", "yolov8n.yaml on shapes, 10 epochs, seeds 0, 1, 2", {})
    width, height = struct.unpack(">II", png[16:24])
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and width > 800 and height > 300
