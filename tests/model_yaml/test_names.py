"""A model name, its file and its scale."""

import pytest

from akyolo.errors import RowError
from akyolo.model_yaml import find_model_yaml
from akyolo.resources import packaged as shipped


@pytest.fixture
def packaged(tmp_path):
    (tmp_path / "cfg").mkdir()
    (tmp_path / "cfg" / "yolov8n-akconv5.yaml").touch()
    return tmp_path / "cfg"


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("cfg/yolov8n-akconv5.yaml", "n"),
        ("cfg/yolov8s-akconv5.yaml", "s"),
        ("yolov8x-akconv5.yaml", "x"),
        ("elsewhere/yolov8m-akconv5.yaml", "m"),
    ],
)
def test_every_scale_finds_the_one_file(packaged, in_tmp, name, scale):
    file, letter = find_model_yaml(name, packaged)
    assert file.resolve() == packaged / "yolov8n-akconv5.yaml" and letter == scale


def test_the_path_as_given_comes_first_then_what_lies_beside_it(packaged, in_tmp):
    mine = in_tmp / "mine"
    mine.mkdir()
    (mine / "yolov8n-akconv5.yaml").touch()
    assert find_model_yaml("mine/yolov8n-akconv5.yaml", packaged)[0].parent.name == "mine"
    assert find_model_yaml("mine/yolov8l-akconv5.yaml", packaged)[0].parent.name == "mine"


def test_two_candidates_are_listed(packaged, in_tmp):
    (packaged / "yolov8m-akconv5.yaml").touch()
    with pytest.raises(RowError, match=r"yolov8n-akconv5.yaml, .*yolov8m-akconv5.yaml"):
        find_model_yaml("yolov8s-akconv5.yaml", packaged)


@pytest.mark.parametrize("name", ["yolov8n.yaml", "nothing.yaml", "yolov9n-akconv5.yaml", "exp1models/x.yaml"])
def test_other_names_find_nothing(packaged, in_tmp, name):
    assert find_model_yaml(name, packaged)[0] is None


@pytest.mark.parametrize(
    ("name", "file", "scale"),
    [
        ("resnet50.yaml", "resnet50.yaml", ""),
        ("resnet50-dw-dk.yaml", "resnet50-dw-dk.yaml", ""),
        ("cfg/mobilenetv2.yaml", "mobilenetv2.yaml", ""),
        ("mobilenetv2-dk.yaml", "mobilenetv2-dk.yaml", ""),
        ("yolo26s-sem-icnn.yaml", "yolo26n-sem-icnn.yaml", "s"),
    ],
)
def test_shipped_models_of_other_tasks(in_tmp, name, file, scale):
    path, letter = find_model_yaml(name, shipped("cfg"))
    assert (path.name, letter) == (file, scale)
