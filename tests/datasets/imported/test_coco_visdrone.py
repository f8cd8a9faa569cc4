"""`akyolo data import coco-json` and `visdrone-txt`: what users bring."""

import json
import math
import unicodedata

import pytest
import yaml

from akyolo.cli import main
from akyolo.datasets.imported.coco_visdrone import import_coco, import_visdrone
from akyolo.errors import DatasetError
from tests.helpers import published_look_alikes as look_alikes
from tests.helpers.voc_look_alikes import fingerprint, label, report

COCO = {
    f"annotations/instances_{split}2017.json": json.dumps(look_alikes.instances(split)) for split in ("train", "val")
}
IMAGES = {
    f"{split}2017/{number:012d}.jpg": look_alikes.jpeg((64, 48), number)
    for split, numbers in look_alikes.COCO_IMAGES.items()
    for number in numbers
}
VISDRONE = {
    f"VisDrone2019-DET-{split}/{kind}/{stem}.{suffix}": content
    for split, files in look_alikes.VISDRONE_LINES.items()
    for stem, text in files.items()
    for kind, suffix, content in (("images", "jpg", look_alikes.jpeg((72, 56))), ("annotations", "txt", text))
}


def lay_out(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def imported(form, source, out, *more):
    main(["data", "import", form, str(source), "--out", str(out), *more])
    return yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))


def test_coco_as_it_is_published(tmp_path, capsys):
    source = lay_out(tmp_path / "数据 集é", COCO | IMAGES | {"annotations/captions_val2017.json": "{}"})
    before = fingerprint(source)
    data = imported("coco-json", source, tmp_path / "out")
    assert fingerprint(source) == before
    assert capsys.readouterr().out.splitlines() == [
        "train 3, val 1 images, as their names say",
        f"kept 3 boxes in 4 images, rejected 2 ({tmp_path / 'out' / 'rejected.csv'})",
    ]
    assert data["names"] == {0: "person", 1: "car", 2: "toothbrush"}
    assert data["annotations"] == {"train": "annotations/train.json", "val": "annotations/val.json"}
    assert label(tmp_path / "out", "000000000025") == [[2, 62 / 64, 44 / 48, 4 / 64, 8 / 48]]
    assert json.loads((tmp_path / "out" / "annotations" / "train.json").read_text()) == look_alikes.without_masks(
        "train"
    )


def test_coco_beside_the_images_of_each_split(tmp_path):
    files = {f"{split}/_annotations.coco.json": json.dumps(look_alikes.instances(split)) for split in ("train", "val")}
    images = {name.replace("2017", ""): content for name, content in IMAGES.items()}
    images["val/000000000009.jpg"] = look_alikes.jpeg((64, 48), 99)  # another image of the same name
    lay_out(tmp_path / "in", files | images)
    imported("coco-json", tmp_path / "in", tmp_path / "out", "--copy")
    copied = (tmp_path / "out" / "images" / "train" / "000000000009.jpg").read_bytes()
    assert copied == images["train/000000000009.jpg"]


def one_file(folder, data):
    return lay_out(folder, {"labels.json": json.dumps(data)} | {f"pictures/{name}": c for name, c in IMAGES.items()})


def test_one_file_is_split_with_its_truth(tmp_path):
    source = one_file(tmp_path / "in", look_alikes.instances("train"))
    splits = {}
    imported("coco-json", source, tmp_path / "out", "--val", "0.34", "--seed", "3")
    for split in ("train", "val"):
        found = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_text())
        numbers = {one["id"] for one in found["images"]}
        assert {one["image_id"] for one in found["annotations"]} <= numbers
        assert sorted(one.stem for one in (tmp_path / "out" / "images" / split).iterdir()) == [
            f"{number:012d}" for number in sorted(numbers)
        ]
        splits[split] = numbers
    assert (len(splits["train"]), len(splits["val"])) == (2, 1) and splits["train"] | splits["val"] == {9, 25, 30}


def test_what_is_missing_is_filled_in(tmp_path):
    data = look_alikes.instances("train")
    for one in data["annotations"]:
        del one["id"], one["area"], one["iscrowd"]
    for one in data["images"]:
        del one["width"], one["height"]
    found = import_coco(one_file(tmp_path / "in", data)).content.ground_truths
    annotations = [one for truth in found.values() for one in truth["annotations"]]
    assert all(one["iscrowd"] == 0 and one["area"] == one["bbox"][2] * one["bbox"][3] for one in annotations)
    assert sorted(one["id"] for one in annotations) == [1, 2, 3, 4]
    assert {(one["width"], one["height"]) for truth in found.values() for one in truth["images"]} == {(64, 48)}


BAD = [
    ({"image_id": 77}, "belongs to no image"),
    ({"image_id": [9]}, "belongs to no image"),
    ({"category_id": 2}, "category 2 is not in the file's list"),
    ({"bbox": [1, 2, 3]}, "bbox is not a list of four numbers"),
    ({"bbox": [1, 2, 3, "4"]}, "bbox is not a list of four numbers"),
    ({"bbox": [1, 2, 3, float("nan")]}, "not finite"),
    ({"bbox": [1, 2, 3, 10**400]}, "not finite, or far too large"),
    ({"bbox": [1, -(10**12), 3, 4]}, "not finite, or far too large"),
    ({"bbox": [70, 2, 3, 4]}, "box lies outside the image of 64x48 pixels"),
    ({"bbox": [7, 2, -3, 4]}, "degenerate box"),
    ({"area": math.nan}, "area nan is not an area"),
    ({"area": "12"}, "area '12' is not an area"),
    ({"iscrowd": "0"}, "iscrowd '0' is neither 0 nor 1"),
]


def test_the_image_says_how_large_it_is_and_the_same_box_counts_once(tmp_path):
    data = look_alikes.instances("train")
    data["images"][0] |= {"width": 48, "height": 64}  # before its EXIF rotation
    data["annotations"].append(data["annotations"][3] | {"id": 1000, "area": None})
    found = import_coco(one_file(tmp_path / "in", data))
    entries = {one["file_name"]: one for truth in found.content.ground_truths.values() for one in truth["images"]}
    assert {(one["width"], one["height"]) for one in entries.values()} == {(64, 48)}
    assert "labels.json states another size for 1 images (first: 000000000009.jpg); check those boxes" in found.remarks
    assert [one.object for one in found.content.rejected if "repeats a box" in one.reason] == ["annotation 1000"]
    truths = found.content.ground_truths.values()
    assert {one["area"] for truth in truths for one in truth["annotations"] if one["id"] == 1000} == {8 * 8.5}


def test_names_whose_accents_are_characters_of_their_own(tmp_path):
    """As macOS stores them, and its zip files; a json has them composed."""
    content, stems = look_alikes.instances("train"), {9: "\u00e9t\u00e9", 25: "\u00fc", 30: "n"}
    for one in content["images"]:
        one["file_name"] = f"h\u00f4tel/{stems[one['id']]}.jpg"
    images = {
        f"ho\u0302tel/{unicodedata.normalize('NFD', stem)}.jpg": look_alikes.jpeg((64, 48)) for stem in stems.values()
    }
    source = lay_out(tmp_path / "in", {"a.json": json.dumps(content), **images})
    found = import_coco(source).content
    assert sum(len(pictures) for pictures in found.splits.values()) == 3
    assert [one.reason.partition(" ")[0] for one in found.rejected] == ["crowd", "degenerate"]


def test_a_folder_of_links(tmp_path):
    source = one_file(tmp_path / "in", look_alikes.instances("train"))
    folder = tmp_path / "linked"
    folder.mkdir()
    for one in source.iterdir():
        (folder / one.name).symlink_to(one)
    assert sum(map(len, import_coco(folder).content.splits.values())) == 3


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_annotation_is_rejected_by_its_id(tmp_path, change, reason):
    data = look_alikes.instances("train")
    data["annotations"][0] |= change
    rejected = import_coco(one_file(tmp_path / "in", data)).content.rejected
    (one,) = [one for one in rejected if one.object == "annotation 900"]
    assert reason in one.reason and one.file == "labels.json"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": 5}, "images is not a list"),
        ({"categories": [{"id": 1}]}, "without an id or a name"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "two with the same id or name"),
        ({"images": [{"id": 9, "file_name": "a"}] * 2}, "image id 9 is there twice"),
        ({"annotations": []}, "no usable box"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, change, reason):
    with pytest.raises(DatasetError, match=reason):
        import_coco(one_file(tmp_path / "in", look_alikes.instances("train") | change))


def test_files_without_a_split_are_named(tmp_path):
    source = lay_out(tmp_path / "in", {f"{name}.json": COCO["annotations/instances_val2017.json"] for name in "ab"})
    with pytest.raises(DatasetError, match=r"a\.json tells no split"):
        import_coco(source)


def test_classes_must_agree(tmp_path):
    val = look_alikes.instances("val")
    val["categories"][1]["name"] = "human"
    source = lay_out(tmp_path / "in", COCO | IMAGES | {"annotations/instances_val2017.json": json.dumps(val)})
    with pytest.raises(DatasetError, match=r"other classes than instances_train2017\.json: human, car, toothbrush"):
        import_coco(source)


def test_visdrone_as_it_is_published(tmp_path, capsys):
    source = lay_out(tmp_path / "in", VISDRONE)
    before = fingerprint(source)
    data = imported("visdrone-txt", source, tmp_path / "out")
    assert fingerprint(source) == before
    assert capsys.readouterr().out.splitlines()[0] == "train 3, val 1, test 1 images, as their names say"
    assert data["names"][3] == "car" and set(data["annotations"]) == {"train", "val", "test"}
    assert label(tmp_path / "out", "9999985_00000_d_0000020") == [[9, 66 / 72, 53 / 56, 12 / 72, 6 / 56]]
    assert {row["reason"].split()[0] for row in report(tmp_path / "out")} == {
        "ignored",
        "score",
        "category",
        "degenerate",
    }


def test_one_visdrone_folder_is_split_with_its_regions(tmp_path):
    files = {name.split("/", 1)[1]: text for name, text in VISDRONE.items() if "train" in name}
    content = import_visdrone(lay_out(tmp_path / "in", files), val=0.5).content
    assert {split: len(pictures) for split, pictures in content.splits.items()} == {"train": 1, "val": 2}
    for split, pictures in content.splits.items():
        regions = bool(content.ground_truths[split]["ignored_regions"])
        assert regions == any(one.image.stem.startswith("0000002") for one in pictures)


def test_bad_lines_and_files_of_visdrone_are_rejected(tmp_path):
    source = lay_out(tmp_path / "in", VISDRONE)
    (source / "VisDrone2019-DET-val" / "annotations" / "lonely.txt").write_text("")
    (source / "VisDrone2019-DET-val" / "images" / "bare.jpg").write_bytes(look_alikes.jpeg((72, 56)))
    with (source / "VisDrone2019-DET-val" / "annotations" / "0000001_02999_d_0000005.txt").open("a") as stream:
        stream.write("1,2,3\n80,2,3,4,1,1,0,0\n")
    found = [(one.file, one.object, one.reason) for one in import_visdrone(source).content.rejected]
    assert ("lonely.txt", "", "no image with this stem") in found
    assert ("bare.jpg", "", "no annotation file; an image without objects needs an empty one") in found
    assert ("0000001_02999_d_0000005.txt", "line 3", "3 numbers, 8 are expected") in found
    assert ("0000001_02999_d_0000005.txt", "line 4", "box lies outside the image of 72x56 pixels") in found


@pytest.mark.parametrize("form", ["coco-json", "visdrone-txt"])
def test_a_folder_without_annotations_is_refused(tmp_path, form, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["data", "import", form, str(tmp_path), "--out", str(tmp_path.parent / "out")])
    assert stop.value.code == 2 and "no annotations found" in capsys.readouterr().err
    assert not (tmp_path.parent / "out").exists()
