"""`akyolo swap`: a model YAML in, another one out."""

import errno
from pathlib import Path

import pytest
import yaml

import akyolo
from akyolo.cli import main
from akyolo.files import AtomicPath
from akyolo.upstream.model_yaml import read_model_yaml

ROOT = Path(__file__).resolve().parents[2]
TO_AKCONV5 = ["--op", "AKConv", "--args", "5", "--where", "downsample"]
BACK = ["--op", "Conv", "--args", "3", "--where", "downsample"]
OURS = yaml.safe_load((ROOT / "cfg" / "yolov8n-akconv5.yaml").read_text("utf-8"))


def test_the_file_is_the_one_we_ship_and_builds(in_tmp, capfd):
    main(["swap", "yolov8n.yaml", *TO_AKCONV5, "-o", "yolov8n-mine.yaml"])
    out, err = capfd.readouterr()
    assert "akyolo: " not in err  # the name has a scale
    assert f"$ akyolo swap yolov8n.yaml {' '.join(TO_AKCONV5)} -o yolov8n-mine.yaml\n{out}```" in (
        ROOT / "docs" / "placing.md"
    ).read_text("utf-8")
    assert yaml.safe_load(Path("yolov8n-mine.yaml").read_text("utf-8")) == OURS
    assert [path.name for path in in_tmp.iterdir()] == ["yolov8n-mine.yaml"]
    model = akyolo.YOLO("yolov8n-mine.yaml", verbose=False).model
    assert sum(p.numel() for p in model.parameters()) == 2_940_140
    assert akyolo.YOLO("yolov8s-mine.yaml", verbose=False).model.yaml["scale"] == "s"


def test_without_a_file_the_yaml_alone_is_on_stdout(in_tmp, capfd):
    main(["swap", "yolov8n.yaml", *TO_AKCONV5])
    out, err = capfd.readouterr()
    assert yaml.safe_load(out) == OURS
    assert "  - [-1, 1, AKConv, [128, 5, 2]]\n" in out and "  n: [0.33, 0.25, 1024]\n" in out
    assert "+ 1 [-1, 1, AKConv, [128, 5, 2]]\n" in err and "next: " in err
    assert not list(in_tmp.iterdir())


def test_there_and_back_for_another_task_and_a_name_without_scale(in_tmp, capfd):
    main(["swap", "yolo11s-seg.yaml", *TO_AKCONV5, "-o", "mine.yml"])
    warning = capfd.readouterr().err
    assert "akyolo: mine.yml names no scale of n, s, m, l, x, so n is used; a name like yolov8s-" in warning
    main(["swap", "mine.yml", *BACK])
    base = read_model_yaml("yolo11s-seg.yaml")
    assert yaml.safe_load(capfd.readouterr().out) == {
        key: value for key, value in base.items() if key not in ("scale", "yaml_file")
    }


def test_a_base_without_scales_needs_none_in_the_name(in_tmp, capfd):
    main(["swap", "yolov9c.yaml", "--op", "AKConv", "--args", "5", "--where", "0", "-o", "mine.yaml"])
    assert "names no scale" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["--args", "3", "--kw", "shape=[[0,0],[1,1],[.5,2]]"], [256, 3, 2, {"shape": [[0, 0], [1, 1], [0.5, 2]]}]),
        (
            ["--kw", "num_param=5", "--kw", "padding_mode=border", "--kw", "offset=false", "--kw", "shape=None"],
            [256, {"num_param": 5, "padding_mode": "border", "offset": False, "shape": None, "stride": 2}],
        ),
    ],
)
def test_arguments_are_read_as_a_row_would_write_them(in_tmp, capfd, words, row):
    main(["swap", "yolov8n.yaml", "--op", "AKConv", "--where", "3", *words])
    assert yaml.safe_load(capfd.readouterr().out)["backbone"][3] == [-1, 1, "AKConv", row]


@pytest.fixture
def beside(in_tmp):
    """What lies in the folder before."""
    Path("there.yaml").write_text("mine")
    Path("dangling.yaml").symlink_to("nowhere")
    Path("file").touch()
    Path("folder.yaml").mkdir()
    Path("broken.yaml").write_text("nc: [80")
    Path("yolov8n-one.yaml").write_text(
        (ROOT / "cfg" / "yolov8n-akconv5.yaml").read_text("utf-8").replace("  s: ", "# ")
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["yolov8n.yaml", *TO_AKCONV5, "-o", "there.yaml"], "-o there.yaml already exists"),
        (["yolov8n.yaml", *TO_AKCONV5, "-o", "dangling.yaml"], "-o dangling.yaml already exists"),
        (["yolov8n.yaml", *TO_AKCONV5, "-o", "no/mine.yaml"], "-o no/mine.yaml: there is no folder 'no'"),
        (["yolov8n.yaml", *TO_AKCONV5, "-o", "file/mine.yaml"], "-o file/mine.yaml: there is no folder 'file'"),
        (["yolov8n.yaml", *TO_AKCONV5, "-o", "mine.txt"], "-o mine.txt must end in .yaml or .yml"),
        (["yolov8n.yaml", *TO_AKCONV5, "-o", "mine"], "-o mine must end in"),
        (["yolov8n.yaml", *TO_AKCONV5, "-o", f"{'x' * 300}.yaml"], "cannot be"),
        (
            ["yolov8n-one.yaml", *BACK, "-o", "yolov8s-new.yaml"],
            "names the scale 's'\n  the scales of this model are n,",
        ),
        (
            ["yolov8n.yaml", *BACK, "-o", "mine.yaml"],
            "downsample changes nothing: this operator is already in rows 1, 3, 5, 7, 16, 19",
        ),
        (
            ["yolov8m.yaml", "--op", "AKConv", "--args", "5", "--where", "elan_last"],
            "yolov8m.yaml: elan_last looks for",
        ),
        (["yolov8n.yaml", "--op", "AKConv", "--args", "5", "--where", "9"], "yolov8n.yaml, row 9: SPPF [1024, 5]"),
        (["yolov8n.yaml", "--op", "AKConv", "--args", "-5", "--where", "3"], "AKConv: num_param=-5 must be"),
        (["yolov8n.yaml", "--op", "AKConv", "--args", "[5", "--where", "3"], "--args '[5' is not YAML: "),
        (["yolov8n.yaml", "--op", "AKConv", "--args", "2001-99-99", "--where", "3"], "--args '2001-99-99' is not YAML"),
        (["yolov8n.yaml", *TO_AKCONV5, "--kw", "shape"], "--kw 'shape' needs a key and a value"),
        (["yolov8n.yaml", *TO_AKCONV5, "--kw", "shape=a", "--kw", "shape=b"], "--kw gives 'shape' twice"),
        (["yolov8n.yaml", *TO_AKCONV5, "--kw", "shape=[1"], "--kw 'shape=[1' is not YAML"),
        (["yolov8q.yaml", *TO_AKCONV5], "there is no model file 'yolov8q.yaml'"),
        (["broken.yaml", *TO_AKCONV5], "broken.yaml, line 1: not valid YAML"),
        (["best.pt", *TO_AKCONV5], "best.pt is not a model YAML"),
        ([".", *TO_AKCONV5], ". is not a model YAML"),
        (["folder.yaml", *TO_AKCONV5], "there is no model file 'folder.yaml'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_and_nothing_written(beside, fails, words, message):
    assert message in fails("swap", *words)
    assert Path("there.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(fails, monkeypatch):
    def refuse(path, data):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(AtomicPath, "write_bytes", refuse)
    assert "mine.yaml cannot be written: Permission denied" in fails(
        "swap", "yolov8n.yaml", *TO_AKCONV5, "-o", "mine.yaml"
    )
