"""Classes, splits and the command of the Pascal VOC import."""

import json

import pytest
import yaml
from PIL import Image

from akyolo.datasets.imported.voc import import_voc
from akyolo.errors import AkyoloError, ConfigError, DatasetError
from tests.helpers.voc_look_alikes import Voc, akyolo_data, an_object, annotation, fingerprint, label, report, splits_of


@pytest.fixture
def voc(tmp_path):
    """Two plain images, so that a third one can go wrong and a data set remains."""
    return Voc(tmp_path / "source").add("a").add("b")


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_classes_are_alphabetical(voc):
    voc.add("c", an_object("zebra"), an_object("ant"))
    assert import_voc(voc.root).content.names == ("ant", "cat", "zebra")


def test_names_choose_and_order_the_classes(tmp_path):
    voc = Voc(tmp_path / "in").add("a", an_object("ant"), an_object("bee"), an_object("cat")).add("b")
    akyolo_data(voc.root, "--out", tmp_path / "out", "--names", "cat, ant")
    assert [row[0] for row in label(tmp_path / "out", "a")] == [1, 0]
    (row,) = report(tmp_path / "out")
    assert (row["object"], row["reason"]) == ("2 bee", "class 'bee' is not among the names asked for")


def test_a_name_that_never_occurs_is_an_error(voc, tmp_path):
    with pytest.raises(ConfigError, match=r"'Kat'(.|\n)*did you mean 'cat'"):
        akyolo_data(voc.root, "--out", tmp_path / "out", "--names", "Kat")


@pytest.mark.parametrize("names", ["", "cat,,dog", "cat,cat"])
def test_names_must_be_names(voc, tmp_path, names):
    with pytest.raises(ConfigError, match=r"--names: .* empty or repeated"):
        akyolo_data(voc.root, "--out", tmp_path / "out", "--names", names)


# ---- splits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ten(tmp_path):
    voc = Voc(tmp_path / "ten")
    for i in range(10):
        voc.add(f"i{i}")
    return voc


def names(*numbers):
    return [f"i{i}" for i in numbers]


def test_lists_decide_and_trainval_adds_nothing(ten):
    ten.lists(train=names(0, 1, 2, 3), val=names(4, 5), trainval=names(0, 1, 2, 3, 4, 5), test=names(6, 7, 8, 9))
    assert splits_of(ten) == {"train": names(0, 1, 2, 3), "val": names(4, 5), "test": names(6, 7, 8, 9)}


def test_trainval_gives_the_half_that_is_missing(ten):
    ten.lists(trainval=names(*range(10)), train=names(0, 1, 2, 3, 4, 5))
    assert splits_of(ten) == {"train": names(0, 1, 2, 3, 4, 5), "val": names(6, 7, 8, 9)}


def test_trainval_alone_is_drawn_from_and_the_test_is_kept_apart(ten):
    ten.lists(trainval=names(*range(8)), test=names(8, 9))
    splits = splits_of(ten, val=0.25)
    assert splits["test"] == names(8, 9)
    assert (len(splits["train"]), len(splits["val"])) == (6, 2)
    assert sorted(splits["train"] + splits["val"]) == names(*range(8))


def test_a_train_list_alone_is_drawn_from(ten):
    ten.lists(train=names(*range(10)))
    assert {split: len(stems) for split, stems in splits_of(ten).items()} == {"train": 8, "val": 2}


def test_a_random_split_obeys_share_and_seed(ten):
    first, again, other = (splits_of(ten, val=0.3, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert (len(first["train"]), len(first["val"])) == (7, 3)
    assert not set(first["train"]) & set(first["val"])


def test_each_side_of_a_random_split_has_an_image(voc):
    assert [{split: len(stems) for split, stems in splits_of(voc, val=val).items()} for val in (0.01, 0.99)] == [
        {"train": 1, "val": 1},
        {"train": 1, "val": 1},
    ]


def test_one_image_cannot_be_split(tmp_path):
    with pytest.raises(DatasetError, match="1 usable image"):
        import_voc(Voc(tmp_path / "in").add("a").root)


def test_an_image_in_two_lists_is_an_error(ten):
    ten.lists(train=names(0, 1), val=names(1, 2))
    with pytest.raises(DatasetError, match="i1 is listed in train and in val"):
        import_voc(ten.root)


@pytest.mark.parametrize("lists", [{"test": names(0)}, {"val": names(0), "test": names(1)}])
def test_lists_without_anything_to_train_on_are_an_error(ten, lists):
    with pytest.raises(DatasetError, match="no list to train on"):
        import_voc(ten.lists(**lists).root)


def test_lists_of_single_classes_are_not_splits(ten):
    ten.lists(cat_train=names(0), cat_val=names(1), train=[])
    assert {split: len(stems) for split, stems in splits_of(ten).items()} == {"train": 8, "val": 2}


def test_lines_of_a_list_may_carry_a_suffix_or_a_flag_and_repeat(ten):
    ten.lists(train=["i0.jpg", "i1  1", "i1", "", "i2 -1"], val=names(*range(3, 10)))
    assert splits_of(ten)["train"] == names(0, 1, 2)


def test_listed_but_missing_and_present_but_unlisted_are_rejected(ten):
    ten.lists(train=names(0, 1, 2, 99), val=names(3, 4, 5, 6, 7, 8))
    rejected = import_voc(ten.root).content.rejected
    assert [(one.file, one.reason) for one in rejected] == [
        ("Annotations/i9.xml", "in no split list of ImageSets/Main"),
        ("i99", "listed in train, but not there"),
    ]


def test_a_split_that_loses_all_its_images_is_an_error(ten):
    ten.lists(train=names(*range(9)), val=names(9)).xml("i9", "<broken")
    with pytest.raises(DatasetError, match=r"no usable image in split val(.|\n)*i9.xml: XML cannot be parsed"):
        import_voc(ten.root)


def test_a_data_set_without_a_usable_box_is_an_error(tmp_path):
    voc = Voc(tmp_path / "in").add("a", an_object(box=(5, 5, 5, 5))).xml("b", annotation())
    with pytest.raises(DatasetError, match=r"no usable box(.|\n)*a.xml: degenerate"):
        import_voc(voc.root)


# ---- the evaluation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boxes", ["exact", "paper"])
def test_the_evaluation_ignores_difficult_objects(ten, tmp_path, boxes):
    ten.add("i3", an_object("dog", (11, 21, 30, 60), "<difficult>1</difficult>"), an_object("dog", (5, 5, 5, 5)))
    ten.lists(train=names(0, 1), val=names(2, 3), test=names(4))
    akyolo_data(ten.root, "--out", tmp_path / "out", "--boxes", boxes)
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert data["annotations"] == {split: f"annotations/{split}.json" for split in ("train", "val", "test")}
    val = json.loads((tmp_path / "out" / "annotations" / "val.json").read_text())
    assert val["images"] == [
        {"id": 1, "file_name": "i2.jpg", "width": 100, "height": 80},
        {"id": 2, "file_name": "i3.jpg", "width": 100, "height": 80},
    ]
    assert val["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert [(one["image_id"], one["category_id"], one["difficult"], one["ignore"]) for one in val["annotations"]] == [
        (1, 1, 0, 0),
        (2, 2, 1, 1),
    ]
    side = (20, 40) if boxes == "exact" else (19, 39)
    assert val["annotations"][1]["bbox"] == pytest.approx((10, 20, *side))
    assert len(label(tmp_path / "out", "i3")) == (1 if boxes == "exact" else 0)


def test_each_split_of_a_draw_has_its_own_annotations(ten, tmp_path):
    akyolo_data(ten.root, "--out", tmp_path / "out")
    for split, stems in splits_of(ten).items():
        content = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        assert [one["file_name"] for one in content["images"]] == [f"{stem}.jpg" for stem in stems]
        assert [one["image_id"] for one in content["annotations"]] == [*range(1, len(stems) + 1)]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_source_is_not_touched_and_the_last_line_counts(voc, tmp_path, capsys):
    voc.add("c", an_object(), an_object("dog", (5, 5, 5, 5))).image("d.jpg")
    before = fingerprint(voc.root)
    akyolo_data(voc.root, "--out", tmp_path / "out")
    assert fingerprint(voc.root) == before
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"kept 3 boxes in 3 images, rejected 1 and 1 file ({tmp_path / 'out' / 'rejected.csv'})"


def test_a_read_only_source_with_a_foreign_name_works(tmp_path):
    voc = Voc(tmp_path / "数据 集é").add("Käse 1").add("图").lists(train=["Käse 1"], val=["图"])
    folders = [voc.root, *(one for one in voc.root.rglob("*") if one.is_dir())]
    for one in folders:
        one.chmod(0o555)
    try:
        akyolo_data(voc.root, "--out", tmp_path / "aus gäbe")
    finally:
        for one in folders:
            one.chmod(0o755)
    assert (tmp_path / "aus gäbe" / "images" / "train" / "Käse 1.jpg").is_symlink()
    assert label(tmp_path / "aus gäbe", "图")


def test_a_stem_may_be_composed_differently_in_the_list(tmp_path):
    voc = Voc(tmp_path / "in").add("u\u0308").add("b").lists(train=["\u00fc"], val=["b"])
    assert splits_of(voc) == {"train": ["u\u0308"], "val": ["b"]}


def test_relative_paths_make_links_that_hold(voc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    akyolo_data("source", "--out", "deep/out")
    for one in tmp_path.glob("deep/out/images/*/*.jpg"):
        with Image.open(one) as image:
            assert image.size == (100, 80)


@pytest.mark.parametrize("make", ["file", "filled"])
def test_a_destination_that_holds_something_is_refused(voc, tmp_path, make):
    out = tmp_path / "out"
    if make == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    before = fingerprint(tmp_path)
    with pytest.raises(ConfigError, match="not an empty folder"):
        akyolo_data(voc.root, "--out", out)
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("where", ["source", "source/out", "link/out"])
def test_a_destination_in_the_source_is_refused(voc, tmp_path, where):
    (tmp_path / "link").symlink_to(voc.root)
    with pytest.raises(ConfigError, match="never written"):
        akyolo_data(voc.root, "--out", tmp_path / where)


def test_a_mistake_leaves_nothing_behind(voc, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(AkyoloError):
        akyolo_data(voc.root, "--out", tmp_path / "out", "--names", "never")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "nan", "x"])
def test_a_share_must_lie_between_0_and_1(voc, tmp_path, capsys, share):
    with pytest.raises(SystemExit) as stop:
        akyolo_data(voc.root, "--out", tmp_path / "out", f"--val={share}")
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(
        f"argument --val: {share} is not a number between 0 and 1, neither included\n"
    )
