"""How one Pascal VOC annotation becomes labels."""

import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from akyolo.datasets.formats.annotations import clip, normalise
from akyolo.datasets.formats.voc_xml import exact_corners, is_degenerate, paper_label, parse_annotation
from akyolo.datasets.imported.voc import import_voc
from akyolo.datasets.published.prepare import prepare
from akyolo.datasets.published.spec import read_spec
from tests.helpers import published_look_alikes as look_alikes
from tests.helpers.voc_look_alikes import (
    Voc,
    akyolo_data,
    an_object,
    annotation,
    label,
    only_rejection,
    report,
    splits_of,
)


@pytest.fixture
def voc(tmp_path):
    """Two plain images, so that a third one can go wrong and a data set remains."""
    return Voc(tmp_path / "source").add("a").add("b")


def test_the_whole_image_in_voc_numbers_is_the_whole_image():
    assert exact_corners((1, 1, 100, 80)) == (0, 0, 100, 80)
    assert normalise((0, 0, 100, 80), (100, 80)) == (0.5, 0.5, 1, 1)


def test_an_exact_label_by_hand(tmp_path):
    # columns 11..30 are 20 wide from 10; rows 21..60 are 40 high from 20; the image is 100 x 80
    voc = Voc(tmp_path / "in").add("a", an_object(box=(11, 21, 30, 60))).add("b")
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert label(tmp_path / "out", "a") == [[0, 0.20, 0.50, 0.20, 0.50]]


def test_a_paper_label_by_hand_leaves_difficult_objects_out(tmp_path):
    # YOLOv5: x = (11 + 30) / 2 - 1 = 19.5, w = 30 - 11 = 19, divided by the width that <size> claims, 200
    difficult = an_object("dog", extra="<difficult>1</difficult>")
    voc = Voc(tmp_path / "in").add("a", an_object(), difficult, claims=(200, 160)).add("b")
    akyolo_data(voc.root, "--out", tmp_path / "out", "--boxes", "paper")
    assert label(tmp_path / "out", "a") == [[0, 19.5 * (1 / 200), 39.5 * (1 / 160), 19 * (1 / 200), 39 * (1 / 160)]]
    assert [row["object"] for row in report(tmp_path / "out")] == ["2 dog"]


def test_exact_labels_keep_difficult_objects_and_do_not_need_the_flag(voc):
    voc.add("c", an_object(extra="<difficult>1</difficult>"), an_object(extra=""))
    assert sum(len(one.boxes) for pictures in import_voc(voc.root).content.splits.values() for one in pictures) == 4


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 9, 5), (9, 5, 5, 9), (5, 9, 9, 5), (4.5, 1, 4.5, 9)])
@pytest.mark.parametrize("rule", ["exact", "paper"])
def test_a_degenerate_box_is_rejected_by_its_raw_numbers(voc, box, rule):
    voc.add("c", an_object(), an_object("dog", box))
    one = only_rejection(voc, boxes=rule)
    assert (one.file, one.object, one.raw_box) == ("Annotations/c.xml", "2 dog", " ".join(map(str, box)))
    assert "degenerate" in one.reason


def test_a_box_one_column_wide_is_not_degenerate_in_decimals():
    assert not is_degenerate((5, 5, 5.5, 9))


def test_decimals_are_read(tmp_path):
    voc = Voc(tmp_path / "in").add("a", an_object(box=(11.5, 21.25, 30.5, 60.25))).add("b")
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert label(tmp_path / "out", "a") == [[0, 0.205, 0.503125, 0.20, 0.50]]


def test_the_parts_of_a_person_are_not_boxes():
    parts = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    nested = f"<part>{an_object('hand')}</part>"
    (person,) = parse_annotation(annotation(an_object("person", extra=parts + nested)).encode()).objects
    assert (person.name, person.xyxy_voc) == ("person", (11, 21, 30, 60))


def test_a_box_that_reaches_out_is_clipped(tmp_path, capsys):
    voc = Voc(tmp_path / "in").add("a", an_object(box=(-9, -3, 50, 40)), an_object(box=(51, 41, 120, 90))).add("b")
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert label(tmp_path / "out", "a") == [[0, 0.25, 0.25, 0.5, 0.5], [0, 0.75, 0.75, 0.5, 0.5]]
    assert "2 boxes reached outside their image" in capsys.readouterr().out


@pytest.mark.parametrize("box", [(101, 1, 150, 50), (1, 81, 50, 90), (-20, 1, 0, 50)])
def test_a_box_of_which_nothing_remains_is_rejected(voc, box):
    assert "outside the image of 100x80" in only_rejection(voc.add("c", an_object(), an_object(box=box))).reason


def test_a_paper_label_that_would_cost_the_whole_image_is_rejected(voc):
    voc.add("c", an_object(), an_object(box=(1, 1, 300, 50)))
    assert "leaves [0, 1]" in only_rejection(voc, boxes="paper").reason


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("<object><bndbox/></object>", "without <name>"),
        ("<object><name>cat</name></object>", "without <bndbox>"),
        (an_object(box=(1, 2, "", 4)), "without <xmax>"),
        (an_object(box=(1, 2, "x", 4)), "not a number"),
        (an_object(box=(1, 2, "nan", 4)), "not finite"),
        (an_object(box=(1, 2, "inf", 4)), "not finite"),
    ],
)
def test_a_broken_object_is_named_and_the_others_of_its_image_stay(voc, broken, reason):
    voc.add("c", an_object("dog"), broken)
    one = only_rejection(voc)
    assert one.object.startswith("2")
    assert reason in one.reason
    assert sorted(stem for stems in splits_of(voc).values() for stem in stems) == ["a", "b", "c"]


@st.composite
def boxes_in_images(draw):
    width, height = draw(st.integers(10, 8000)), draw(st.integers(10, 8000))
    x1, y1 = draw(st.integers(1, width - 1)), draw(st.integers(1, height - 1))
    return (x1, y1, draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))), (width, height)


@given(boxes_in_images())
@settings(max_examples=300, deadline=None)
def test_an_exact_box_survives_the_label(case):
    raw, (width, height) = case
    inside = clip(exact_corners(raw), (width, height))
    assert inside == exact_corners(raw)
    written = " ".join(map(str, normalise(inside, (width, height))))
    cx, cy, w, h = map(float, written.split())
    back = ((cx - w / 2) * width + 1, (cy - h / 2) * height + 1, (cx + w / 2) * width, (cy + h / 2) * height)
    assert back == pytest.approx(raw, abs=1e-6)


@given(boxes_in_images())
@settings(max_examples=100, deadline=None)
def test_paper_boxes_start_at_the_same_edge_and_end_one_pixel_early(case):
    raw, (width, height) = case
    cx, cy, w, h = paper_label(raw, (width, height))
    x1, y1, x2, y2 = exact_corners(raw)
    paper = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
    assert paper == pytest.approx((x1, y1, x2 - 1, y2 - 1), abs=1e-6)


opened = None  # a counter while a test counts; an audit hook cannot be removed


@pytest.fixture
def opened_files(monkeypatch):
    """Count how often each XML file is opened."""
    monkeypatch.setattr(sys.modules[__name__], "opened", Counter())
    add_hook()
    return opened


@cache
def add_hook():
    sys.addaudithook(count)


def count(event, arguments):
    if opened is not None and event == "open" and str(arguments[0]).endswith(".xml"):
        opened[Path(str(arguments[0])).name] += arguments[1] is None or "r" in arguments[1]


def test_an_import_opens_each_file_once(voc, tmp_path, opened_files):
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert opened_files == {"a.xml": 1, "b.xml": 1}


def test_a_preparation_opens_each_file_once(tmp_path, opened_files):
    made = look_alikes.voc(tmp_path / "published")
    prepare(read_spec(made.file), tmp_path / "out", made.folder)
    stems = [stem for year in look_alikes.VOC_OBJECTS.values() for stem in year]
    assert opened_files == {f"{stem}.xml": 1 for stem in stems}
