"""What `akyolo data prepare` makes of archives that look like the published ones."""

import csv
import http.server
import json
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from pycocotools.coco import COCO

from akyolo.cli import main
from akyolo.datasets.published.prepare import MANIFEST, prepare
from akyolo.datasets.published.spec import find_spec, read_spec
from akyolo.errors import ConfigError, DatasetError
from tests.helpers import published_look_alikes as look_alikes
from tests.helpers.voc_look_alikes import fingerprint

ROOT = Path(__file__).resolve().parents[3]
FORMATS = ["coco", "voc", "visdrone"]


@pytest.fixture
def made(tmp_path, request):
    return getattr(look_alikes, request.param if hasattr(request, "param") else "coco")(
        tmp_path / "veröffentlicht 数据"
    )


def run(made, root, boxes="exact", source="archives"):
    return prepare(read_spec(made.file), root, made.folder if source else None, boxes)


def rows(root, split, stem):
    text = (root / "labels" / split / f"{stem}.txt").read_text()
    return [[float(number) for number in line.split()] for line in text.splitlines()]


def truth(root, split):
    return json.loads((root / "annotations" / f"{split}.json").read_text())


def reasons(root):
    with (root / "rejected.csv").open(newline="") as stream:
        return [(row["file"], row["object"], row["reason"].partition(" ")[0]) for row in csv.DictReader(stream)]


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_coco(made, tmp_path):
    manifest = run(made, tmp_path / "out").manifest
    assert rows(tmp_path / "out", "train", "000000000009") == [[0, 20.5 / 64, 16.25 / 48, 20 / 64, 16 / 48]]
    assert rows(tmp_path / "out", "train", "000000000025") == [[2, 62 / 64, 44 / 48, 4 / 64, 8 / 48]]  # clipped
    assert rows(tmp_path / "out", "train", "000000000030") == []
    assert rows(tmp_path / "out", "val", "000000000139") == [[1, 16 / 64, 12 / 48, 30 / 64, 20 / 48]]
    for split in ("train", "val"):
        assert truth(tmp_path / "out", split) == look_alikes.without_masks(split)  # official ids, crowds, mask areas
    assert manifest["counts"]["train"] == {
        "images": 3,
        "annotations": 4,
        "considered": 3,
        "boxes": 2,
        "empty": 1,
        "degenerate": 1,
    }
    assert reasons(tmp_path / "out") == [
        ("instances_train2017.json", "annotation 17", "crowd"),
        ("instances_train2017.json", "annotation 18", "degenerate"),
    ]


@pytest.mark.parametrize("made", ["voc"], indirect=True)
def test_voc_exact(made, tmp_path):
    run(made, tmp_path / "out")
    assert rows(tmp_path / "out", "train", "000005") == [[1, 0.5, 0.5, 1, 1], [0, 0.2, 0.5, 0.2, 0.5]]
    assert rows(tmp_path / "out", "train", "000007") == []
    assert rows(tmp_path / "out", "val", "000001") == [[0, 71 / 100, 47 / 80, 48 / 100, 48 / 80]]
    val = truth(tmp_path / "out", "val")
    assert val["images"] == [{"id": 1, "file_name": "000001.jpg", "width": 100, "height": 80}]
    assert [(one["bbox"], one["category_id"], one["difficult"], one["ignore"]) for one in val["annotations"]] == [
        ([47, 23, 48, 48], 1, 0, 0),
        ([7, 11, 45, 68], 2, 1, 1),
    ]
    train = truth(tmp_path / "out", "train")
    assert [(one["id"], one["file_name"]) for one in train["images"]] == [
        (1, "000005.jpg"),
        (2, "000007.jpg"),
        (3, "2008_000002.jpg"),
    ]
    assert [one["bbox"] for one in train["annotations"] if one["image_id"] == 3] == [[33.5, 10.25, 36.5, 49.75]]
    assert reasons(tmp_path / "out") == [
        ("000007.xml", "1 dog", "difficult"),
        ("2008_000002.xml", "2 dog", "degenerate"),
        ("000001.xml", "2 person", "difficult"),
    ]


@pytest.mark.parametrize("made", ["voc"], indirect=True)
def test_voc_as_in_the_paper(made, tmp_path):
    manifest = run(made, tmp_path / "out", "paper").manifest
    assert manifest["key"]["boxes"] == "paper"
    # centre (48 + 95) / 2 - 1, (24 + 71) / 2 - 1, sides 95 - 48, 71 - 24
    assert rows(tmp_path / "out", "val", "000001") == [
        [0, 70.5 * (1 / 100), 46.5 * (1 / 80), 47 * (1 / 100), 47 * (1 / 80)]
    ]
    easy, difficult = truth(tmp_path / "out", "val")["annotations"]
    assert easy["bbox"] == pytest.approx([47, 23, 47, 47]) and easy["area"] == pytest.approx(47 * 47)
    assert difficult["bbox"] == pytest.approx([7, 11, 44, 67]) and difficult["ignore"] == 1


@pytest.mark.parametrize("made", ["visdrone"], indirect=True)
def test_visdrone(made, tmp_path):
    manifest = run(made, tmp_path / "out").manifest
    assert rows(tmp_path / "out", "train", "0000002_00005_d_0000014") == [[3, 25 / 72, 32.5 / 56, 30 / 72, 25 / 56]]
    assert rows(tmp_path / "out", "test", "0000006_00159_d_0000001") == [[8, 16 / 72, 16 / 56, 16 / 72, 16 / 56]]
    train = truth(tmp_path / "out", "train")
    assert [one["category_id"] for one in train["annotations"]] == [4, 1, 4, 10]
    assert train["annotations"][1] == {
        "id": 2,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 2, 3, 4],
        "area": 12,
        "iscrowd": 0,
        "ignore": 1,
        "score": 0,
        "truncation": 1,
        "occlusion": 2,
    }
    assert train["ignored_regions"] == [{"image_id": 1, "bbox": [0, 0, 16, 24]}]
    assert manifest["dropped"]["train"] == {
        "ignored region": 1,
        "score 0, ignored in the evaluation": 1,
        "category 11, others": 1,
        "degenerate box: no width or no height": 1,
    }


@pytest.mark.parametrize("made", FORMATS, indirect=True)
def test_ultralytics_and_pycocotools_read_it(made, tmp_path):
    from ultralytics.data.utils import check_det_dataset, img2label_paths

    root = tmp_path / "数据 集é"
    done = run(made, root)
    data = check_det_dataset(str(done.data), autodownload=False)
    assert list(data["names"].values()) == made.content["names"]
    written = yaml.safe_load(done.data.read_text(encoding="utf-8"))
    for split, file in written["annotations"].items():
        evaluated = COCO(root / file)
        images = sorted((root / written[split]).iterdir())
        assert sorted(one["file_name"] for one in evaluated.imgs.values()) == [image.name for image in images]
        assert all((root / "labels" / split / f"{image.stem}.txt").is_file() for image in images)
        assert img2label_paths([str(images[0])]) == [str(root / "labels" / split / f"{images[0].stem}.txt")]
        ids = sorted(evaluated.cats)  # the way from a category id to a class index
        assert [evaluated.cats[number]["name"] for number in ids] == made.content["names"]


# ---- the flow --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", FORMATS, indirect=True)
def test_the_command_says_what_it_did_and_the_second_time_does_nothing(made, tmp_path, capsys):
    words = ["data", "prepare", str(made.file), "--from", str(made.folder), "--root", str(tmp_path / "out")]
    source = fingerprint(made.folder)
    main(words)
    first, before = capsys.readouterr().out, fingerprint(tmp_path / "out")
    assert first.startswith("prepared: tiny in ") and f"data={tmp_path / 'out' / 'data.yaml'}" in first
    main(words)
    assert capsys.readouterr().out == f"already {first}"
    assert fingerprint(tmp_path / "out") == before and fingerprint(made.folder) == source


@pytest.fixture
def served(made):
    """The same archives behind a server, which the spec names, after a mirror that is gone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(made.folder))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    hosts = ("http://127.0.0.1:1", f"http://127.0.0.1:{server.server_port}")
    archives = [one | {"urls": [f"{host}/{one['file']}" for host in hosts]} for one in made.content["archives"]]
    made.write(archives=archives)
    yield made
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("made", FORMATS, indirect=True)
def test_archives_are_downloaded_once_and_may_go_afterwards(served, tmp_path):
    run(served, tmp_path / "from", source="archives")
    done = run(served, tmp_path / "out", source=None)
    assert done.fresh and done.manifest == run(served, tmp_path / "from").manifest
    names = sorted(one["file"] for one in served.content["archives"])
    assert sorted(one.name for one in (tmp_path / "out" / "archives").iterdir()) == names
    shutil.rmtree(tmp_path / "out" / "archives")
    assert not run(served, tmp_path / "out", source=None).fresh


def test_an_archive_that_is_gone_leaves_the_others_for_the_next_try(served, tmp_path, monkeypatch):
    monkeypatch.setattr("akyolo.datasets.published.download.PAUSE", 0)
    gone = served.folder / "train2017.zip"
    content = gone.read_bytes()
    gone.unlink()
    with pytest.raises(DatasetError, match=r"train2017\.zip: cannot be downloaded: .*refused.*404"):
        run(served, tmp_path / "out", source=None)
    kept = sorted(one.name for one in (tmp_path / "out" / "archives").iterdir())
    assert kept == ["annotations_trainval2017.zip", "val2017.zip"] and not (tmp_path / "out" / MANIFEST).exists()
    gone.write_bytes(content)
    assert run(served, tmp_path / "out", source=None).fresh


@pytest.mark.parametrize("made", ["visdrone"], indirect=True)
@pytest.mark.parametrize("sent", [b"<html>please log in</html>", None])
def test_what_a_mirror_sent_in_the_place_of_an_archive_is_got_again(served, tmp_path, sent):
    """Nobody publishes VisDrone's sums, so that only the unpacking tells: a page, or a half."""
    archive = served.folder / "VisDrone2019-DET-val.zip"
    whole = archive.read_bytes()
    archive.write_bytes(sent or whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"val\.zip: is neither a zip nor a tar file\n  Get it again"):
        run(served, tmp_path / "out", source=None)
    with pytest.raises(DatasetError, match=r"val\.zip: is neither a zip nor a tar file\n  Get it again"):
        run(served, tmp_path / "from")
    assert archive.exists()  # the user's own
    archive.write_bytes(whole)
    assert run(served, tmp_path / "out", source=None).fresh


def test_archives_in_a_read_only_folder(made, tmp_path):
    for one in (*made.folder.iterdir(), made.folder):
        one.chmod(0o555)
    run(made, tmp_path / "out")
    made.folder.chmod(0o755)
    image = next((tmp_path / "out" / "images" / "train").iterdir())
    assert image.stat().st_mode & 0o200


def test_what_is_damaged_later_is_made_again(made, tmp_path):
    whole = run(made, tmp_path / "out")
    next((tmp_path / "out" / "labels" / "train").iterdir()).unlink()
    again = run(made, tmp_path / "out")
    assert again.fresh and again.manifest == whole.manifest
    assert not run(made, tmp_path / "out").fresh


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"key": 3, "files": {}}', "{", "\xff"])
def test_a_manifest_that_is_none_of_ours_says_nothing(made, tmp_path, content):
    run(made, tmp_path / "out")
    (tmp_path / "out" / MANIFEST).write_text(content, encoding="latin-1")
    assert run(made, tmp_path / "out").fresh and not run(made, tmp_path / "out").fresh
    (tmp_path / "out" / "pins.json").write_text(content, encoding="latin-1")
    (tmp_path / "out" / MANIFEST).unlink()
    if content == "{}":
        assert run(made, tmp_path / "out").fresh
        return
    with pytest.raises(DatasetError, match=r"pins\.json: is not a JSON file of sums"):
        run(made, tmp_path / "out")


def test_a_folder_that_was_moved_stays_prepared(made, tmp_path):
    run(made, tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "moved")
    done = run(made, tmp_path / "moved")
    assert not done.fresh and yaml.safe_load(done.data.read_text())["path"] == str(tmp_path / "moved")


def test_a_copy_without_hidden_files_stays_prepared(made, tmp_path):
    run(made, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", ignore=shutil.ignore_patterns(".*"))
    assert not run(made, tmp_path / "copy").fresh
    (tmp_path / "copy" / MANIFEST).write_text('{"name": "an app of somebody else"}')
    with pytest.raises(ConfigError, match="not an empty folder"):
        run(made, tmp_path / "copy")


def test_other_settings_are_not_mistaken_for_the_same(tmp_path):
    made = look_alikes.voc(tmp_path / "published")
    run(made, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"another boxes(.|\n)*delete .*manifest\.json"):
        run(made, tmp_path / "out", "paper")
    (tmp_path / "out" / MANIFEST).unlink()
    assert run(made, tmp_path / "out", "paper").fresh


def test_sums_that_nobody_publishes_are_pinned(tmp_path):
    made = look_alikes.visdrone(tmp_path / "published")
    done = run(made, tmp_path / "out")
    name = "VisDrone2019-DET-val.zip"
    assert done.manifest["archives"][name] == made.sums(name)
    (tmp_path / "out" / MANIFEST).unlink()
    content = bytearray((made.folder / name).read_bytes())
    content[60] ^= 1
    (made.folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{name}: has MD5 .* is expected"):
        run(made, tmp_path / "out")


# ---- refusals --------------------------------------------------------------------------------------------------------


def refused(made, root, match, error=DatasetError):
    """The refusal leaves neither results nor a half of them."""
    with pytest.raises(error, match=match):
        run(made, root)
    assert {one.name for one in root.iterdir()} <= {".prepare.lock"} if root.exists() else True


def test_missing_archives_are_all_named(made, tmp_path):
    for name in ("val2017.zip", "train2017.zip"):
        (made.folder / name).unlink()
    refused(made, tmp_path / "out", r"archives: not there: val2017\.zip, train2017\.zip")


def rewritten(made, name, members):
    look_alikes.write_zip(made.folder / name, members)
    archives = [one | (made.sums(one["file"]) if one["file"] == name else {}) for one in made.content["archives"]]
    made.write(archives=archives)


def annotations(**changed):
    contents = {split: changed.get(split, look_alikes.instances(split)) for split in ("train", "val")}
    return {f"annotations/instances_{split}2017.json": json.dumps(one) for split, one in contents.items()}


def test_counts_that_differ_are_refused(made, tmp_path):
    made.content["splits"]["train"]["counts"] |= {"images": 4, "annotations": 3}
    made.write()
    refused(made, tmp_path / "out", r"train has images 3 instead of 4, annotations 4 instead of 3")


def test_a_missing_split_is_refused(made, tmp_path):
    rewritten(made, "annotations_trainval2017.zip", {"annotations/instances_train2017.json": b"{}"})
    refused(made, tmp_path / "out", "not COCO's format: images")


def test_another_class_list_is_refused(made, tmp_path):
    made.write(names=["person", "toothbrush", "car"])
    refused(made, tmp_path / "out", r"another class list: person, car, toothbrush\n  expected person, toothbrush, car")


def test_a_corrupt_image_is_refused_by_name(made, tmp_path):
    images = {f"train2017/{number:012d}.jpg": look_alikes.jpeg((64, 48)) for number in (9, 25)}
    rewritten(made, "train2017.zip", images | {"train2017/000000000030.jpg": look_alikes.jpeg((64, 48))[:300]})
    refused(made, tmp_path / "out", r"split train cannot be used: 000000000030\.jpg: image cannot be read")


def test_an_annotation_file_cannot_name_an_image_elsewhere(made, tmp_path):
    (tmp_path / "mine.jpg").write_bytes(look_alikes.jpeg((64, 48)))
    val = look_alikes.instances("val")
    val["images"][0]["file_name"] = str(tmp_path / "mine.jpg")
    rewritten(made, "annotations_trainval2017.zip", annotations(val=val))
    refused(made, tmp_path / "out", r"mine\.jpg: no such image")
    assert (tmp_path / "mine.jpg").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3", "3 numbers, 8 are expected"),
        ("1,2,3,4,5,x,7,8", "not a whole number"),
        ("1,2,3,4,1,12,0,0", "category 12 is not one of 0 to 10 and 11"),
        ("1,2,3,4,1,-1,0,0", "category -1"),
        (f"1,2,{10**400},4,1,1,0,0", "far too large"),
    ],
)
def test_a_line_that_visdrone_does_not_have_is_refused(tmp_path, line, reason, monkeypatch):
    monkeypatch.setitem(look_alikes.VISDRONE_LINES, "val", {"0000001_02999_d_0000005": f"1,2,30,20,1,1,0,0\n{line}\n"})
    refused(look_alikes.visdrone(tmp_path / "published"), tmp_path / "out", reason)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<annotation><object>", "XML cannot be parsed"),
        (look_alikes.annotation(look_alikes.an_object("cat")), "unknown class 'cat'"),
    ],
)
def test_an_annotation_that_voc_does_not_have_is_refused(tmp_path, xml, reason, monkeypatch):
    monkeypatch.setattr(look_alikes, "annotation", lambda *_, **__: xml)
    refused(look_alikes.voc(tmp_path / "published"), tmp_path / "out", reason)


def test_fifty_altered_or_truncated_archives_are_all_refused(made, tmp_path):
    rng = random.Random(5)
    for number in range(50):
        file = made.folder / rng.choice([one["file"] for one in made.content["archives"]])
        whole = file.read_bytes()
        changed = bytearray(whole)
        if number % 2:
            del changed[rng.randrange(len(changed)) :]
        else:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        refused(made, tmp_path / f"out{number}", r"zip: has (MD5|[\d,]+ bytes)")
        file.write_bytes(whole)


def test_a_hostile_archive_with_the_right_sum_is_refused(made, tmp_path):
    rewritten(made, "val2017.zip", {"val2017/a.jpg": b"x", "../escaped": b"x"})
    refused(made, tmp_path / "out", "hostile archive")
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("content", ["file", "folder"])
def test_what_a_user_has_there_is_not_touched(made, tmp_path, content):
    if content == "file":
        (tmp_path / "out").write_text("mine")
    else:
        (tmp_path / "out" / "images").mkdir(parents=True)
    before = fingerprint(tmp_path)
    with pytest.raises(ConfigError, match="not an empty folder"):
        run(made, tmp_path / "out")
    assert fingerprint(tmp_path) == before


def test_the_folder_of_the_archives_is_not_written_to(made):
    before = fingerprint(made.folder)
    for root in (made.folder, made.folder / "out"):
        with pytest.raises(ConfigError, match="never written to"):
            run(made, root)
    assert fingerprint(made.folder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["coc"], "no data set 'coc'\n  did you mean 'coco'"),
        (["shapes"], "no data set 'shapes'"),
        (["missing.yaml"], "missing.yaml: cannot be read"),
        (["coco", "--boxes", "paper"], "--boxes paper: has no meaning for coco-json"),
        (["voc", "--from", "nowhere"], "nowhere: not there: VOCtrainval_06-Nov-2007.tar"),
    ],
)
def test_mistakes_of_the_command(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["data", "prepare", *words, "--root", "out"])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_the_published_specs_are_whole():
    specs = {name: find_spec(name) for name in FORMATS}
    assert [len(one.names) for one in specs.values()] == [80, 20, 10]
    assert {one.file: one.md5 for one in specs["coco"].archives}["val2017.zip"] == "442b8da7639aecaf257c1dceb8ba8c80"
    assert sum(one.bytes for one in specs["voc"].archives) == 460_032_000 + 451_020_800 + 1_999_639_040
    assert {split: one.counts["images"] for split, one in specs["visdrone"].splits.items()} == {
        "train": 6471,
        "val": 548,
        "test": 1610,
    }


# ---- kills and crowds ------------------------------------------------------------------------------------------------


def drive(*words):
    run = subprocess.run(
        [sys.executable, "-m", "tests.helpers.processes.killed_prepare", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_no_accepted_half(made, tmp_path):
    result = drive("kill", made.file, made.folder, tmp_path)
    assert result["kills"] >= 40 and result["accepted"] >= 1  # the last of them hit a finished set
    assert result["halves"] == [] and result["different"] == []


@pytest.mark.slow
def test_of_four_starts_one_works_and_three_wait(tmp_path):
    made = look_alikes.coco(tmp_path / "published", more_images=150)
    result = drive("together", made.file, made.folder, tmp_path)
    assert sorted(result["said"]) == ["already"] * 3 + ["prepared:"]
    assert result["left"] == sorted(result["alone"])
