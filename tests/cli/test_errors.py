"""A user's mistake gives a few lines on stderr, exit code 2, and no files."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = "yolov8n-akconv5.yaml"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian", MODEL], "unknown command 'trian'\n  did you mean 'train'"),
        (["train"], "no model named"),
        (["train", MODEL, "other.yaml"], "2 models"),
        (["train", MODEL, "--epochs=3"], "write epochs=VALUE"),
        (["train", MODEL, "epochs="], "needs a key and a value"),
        (["train", MODEL, "epoch=3"], "unknown argument 'epoch'\n  did you mean 'epochs'"),
        (["train", MODEL, "ofset_lr=0.1"], "did you mean 'offset_lr'"),
        (["train", MODEL, "epochs=abc"], "'epochs=abc' is of invalid type str"),
        (["train", MODEL, "lr0=7"], "'lr0=7'"),
        (["train", MODEL, "imgsz=abc"], "'imgsz=abc' must be a positive whole number"),
        (["train", MODEL, "imgsz=-32"], "'imgsz=-32'"),
        (["train", MODEL, "device=gpu"], "there is no device 'gpu' here"),
        (["train", MODEL, "offset_lr=-1"], "'offset_lr=-1' must be a number of at least 0"),
        (["train", MODEL, "offset_lr=fast"], "'offset_lr=fast'"),
        (["train", MODEL, "nan_recovery=3"], "'nan_recovery=3' must be true or false"),
        (["train", MODEL, "optimizer=Adm"], "Adm"),
        (["train", MODEL, "data=missing.yaml"], "there is no data set file 'missing.yaml'"),
        (["train", MODEL, "data=shape.yaml"], "did you mean 'shapes.yaml'"),
        (["train", MODEL, "data=voc.yaml"], "`akyolo data prepare voc --root DIR` makes it"),
        (["train", MODEL, "data=data/visdrone.yaml"], "`akyolo data prepare visdrone --root DIR` makes it"),
        (["train", MODEL, "allow_bad=yes"], "'allow_bad=yes' must be true or false"),
        (["train", "yolov8n-akconv6.yaml"], "there is no model file 'yolov8n-akconv6.yaml'\n  did you mean"),
        (["train", "cfg/nothing.yml"], "there is no model file"),
        (["train", MODEL, "task=detct"], "detct"),
        (["val", "missing.pt"], "there is no file 'missing.pt'"),
        (["val", "sub/missing.pt"], "there is no file 'sub/missing.pt'"),
        (["predict", MODEL, "source=missing.jpg"], "there is no source 'missing.jpg'"),
        (["export", MODEL, "format=onx"], "onx"),
        (["train", "missing.pt", "resume=True"], "there is no file"),
        (["info", "nothing.yaml"], "there is no model file"),
        (["info", "best"], "there is no file 'best'"),
        (["info", MODEL, "--imgsz", "0"], "--imgsz 0 must be a whole number of at least 32"),
        (["val", "nope.onnx"], "there is no file 'nope.onnx'"),
        (["train", MODEL, "cfg=nope.yaml"], "there is no file 'nope.yaml' for cfg="),
        (["track", MODEL, "tracker=nope.yaml"], "there is no file 'nope.yaml' for tracker="),
        (["train", MODEL, "resume=nope.pt"], "there is no file 'nope.pt'"),
        (["train", MODEL, "pretrained=nope.pt"], "there is no file 'nope.pt'"),
        (["train", MODEL, "data=5"], "'data=5' must be the path"),
        (["train", MODEL, "data=folder"], "data=folder is not a data YAML"),
        (["train", MODEL, "mode=val"], "unknown argument 'mode'"),
        (["train", MODEL, "pretrained=yolov8n.yaml"], "there is no file 'yolov8n.yaml'"),
        (["train", MODEL, "batch=0"], "'batch=0' must be at least 1"),
        (["val", MODEL, "batch=-1"], "'batch=-1' must be at least 1"),
        (["train", MODEL, "device=7"], "there is no device 7 here"),
        (["train", MODEL, "device=tpu"], "there is no device 'tpu' here"),
        (["predict", MODEL, "photo.jpg"], "2 models"),
        (["tune", MODEL, "iterations=abc"], "'iterations=abc' must be a whole number"),
        (["export", MODEL, "format=mnn"], "mnn needs the package MNN"),
        (["train", MODEL, "recipe=yolo5"], "there is no recipe 'yolo5'\n  did you mean 'yolov5'"),
        (["train", MODEL, "obj=2"], "'obj=2' has no effect: Detect has no anchors"),
        (["train", "cfg/yolov5n.yaml", "anchor_t=1"], "'anchor_t=1' must be a number above 1"),
        (["reproduce"], "akyolo data prepare coco --root DIR"),
        (["import", "weights", "nope.pt"], "there is no file 'nope.pt'"),
        (["data", "import", "coco-json", __file__, "--out", "new"], "test_errors.py: is a file\n  unpack"),
        (["data", "import", "voc-xml", __file__, "--out", "new"], "test_errors.py: is a file\n  unpack"),
        (["data", "check", "/"], "/: is a folder\n  name the data YAML in it"),
        (["data", "prepare", "imagenet", "--root", "new"], "known: coco, visdrone, voc; or name a SPEC.yaml"),
        (["ops", "AKCon"], "unknown operator 'AKCon'\n  did you mean 'AKConv'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named(fails, words, message):
    assert message in fails(*words)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("AKConv, [128, 5, 2]", "AKConv, [128, 0, 2]", "row 1: num_param=0 must be a whole number of at least 1"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, -5, 2]", "row 1: num_param=-5"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, 5, 0]", "row 1: stride=0"),
        ("AKConv, [128, 5, 2]", "AKConv, [128]", "row 1: AKConv [128]: missing a required argument: 'num_param'"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, five, 2]", "row 1: num_param='five'"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, 5, 2, {shape: f}]", "row 1: unknown shape 'f'"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, 3, 2, {shape: a}]", "row 1: shape has 5 points"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, 1, 2, {shape: [[0, .nan]]}]", "row 1: shape="),
        ("AKConv, [128, 5, 2]", "AKConv, [128, 5, 2, {padding_mode: bord}]", "did you mean 'border'"),
        ("AKConv, [128, 5, 2]", "AKConv, [128, 5, 2, {paddingmode: border}]", "did you mean 'padding_mode'"),
        ("AKConv, [128, 5, 2]", "AkConv, [128, 5, 2]", "row 1: unknown module 'AkConv'\n  did you mean 'AKConv'"),
        ("6, C2f, [256, True]", "6, AKConv, [512, 5]", "row 4: 2 repeats"),
        ("[[-1, 6], 1, Concat, [1]]", "[[-1, 99], 1, Concat, [1]]", "row 11: from=[-1, 99] must name rows before"),
        ("[-1, 1, AKConv, [256, 5, 2]]", "[[-1, 0], 1, AKConv, [256, 5, 2]]", "row 3: AKConv takes one input row"),
        ("nn.Upsample", "nn.Upsampel", "row 10: unknown module 'nn.Upsampel'"),
        ("Conv, [64, 3, 2]", "Conv, []", "cannot be built (IndexError"),
        ("n: [0.33, 0.25, 1024]", "n: abc", "cannot be built"),
        ("nc: 80", "nc: many", "cannot be built"),
        ("nc: 80", "nc: [80", "not valid YAML"),
        ("nc: 80", "activation: os.system('true')\nnc: 80", "activation"),
    ],
    ids=lambda value: value.partition("\n")[0],
)
def test_a_wrong_row_is_named(fails, in_tmp, old, new, message):
    text = (Path(__file__).resolve().parents[2] / "cfg" / MODEL).read_text()
    assert old in text
    Path("yolov8n-mine.yaml").write_text(text.replace(old, new, 1))
    error = fails("train", "yolov8n-mine.yaml")
    assert "yolov8n-mine.yaml" in error and message in error


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - [116, 90, 156, 198, 373, 326] # P5/32\n", "", "row 24: anchors for 2 levels, but the head gets 3"),
        ("[116, 90, 156, 198, 373, 326]", "[116, 90]", "row 24: the levels have 3, 3, 1 anchors"),
        ("[116, 90, 156, 198, 373, 326]", "[116, 90, 156, 198, 373]", "row 24: anchors of level 2"),
        ("AnchorDetect, [nc, anchors]", "AnchorDetect, [nc, 3]", "row 24: anchors=3 is not a list"),
        ("recipe: yolov5 ", "recipe: yolo5 ", "there is no recipe 'yolo5'"),
        ("C3, [128]", "C3(AKConv), [128]", "row 2: AKConv [1, {}]: missing a required argument: 'num_param'"),
    ],
    ids=lambda value: value.partition("\n")[0],
)
def test_a_wrong_anchor_model_is_named(fails, in_tmp, old, new, message):
    text = (Path(__file__).resolve().parents[2] / "cfg" / "yolov5n.yaml").read_text()
    assert old in text
    Path("yolov5n-mine.yaml").write_text(text.replace(old, new, 1))
    assert message in fails("train", "yolov5n-mine.yaml", "data=shapes.yaml")


@pytest.mark.parametrize("content", [b"", b"\x00\x01random", b"PK\x03\x04 truncated"])
def test_bad_weights_are_named(fails, in_tmp, content):
    Path("bad.pt").write_bytes(content)
    assert "bad.pt: not readable as weights" in fails("predict", "bad.pt")


def test_a_results_folder_for_its_weights_is_named(fails, in_tmp):
    Path("runs/detect/train/weights").mkdir(parents=True)
    Path("runs/detect/train/weights/best.pt").touch()
    said = fails("val", "runs/detect/train")
    assert "runs/detect/train: is a folder\n  name runs/detect/train/weights/best.pt" in said


def test_a_data_yaml_with_missing_images_is_named(fails, in_tmp):
    Path("mine.yaml").write_text("path: nowhere\ntrain: a\nval: b\nnames: [x]\n")
    assert "mine.yaml: " in fails("train", MODEL, "data=mine.yaml")


@pytest.mark.slow
def test_the_whole_output_in_a_fresh_process_with_an_empty_home(tmp_path):
    """Ultralytics prints a greeting on its first start; not before an error message."""
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "YOLO_CONFIG_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "akyolo.cli", "train", MODEL, "epochs=abc"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert run.returncode == 2 and run.stdout == "" and "epochs=abc" in run.stderr
    assert len(run.stderr.splitlines()) <= 3 and "Traceback" not in run.stderr


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR])
def test_what_the_file_system_refuses_is_one_line(fails, in_tmp, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code), "runs/detect")

    monkeypatch.setattr("akyolo.YOLO.train", refuse)
    assert f"akyolo: runs/detect: the file system refuses: {os.strerror(code)}\n" in fails("train", MODEL, "epochs=1")
