"""The scripts of the data sets, with an akyolo that only notes what it is told."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
NOTES = '#!/bin/sh\nfor word; do printf "<%s>" "$word"; done >> told\necho >> told\n'


@pytest.fixture
def told(tmp_path):
    """Run a script; what akyolo was told, a line a call."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for file, text in {"scripts/setup": "#!/bin/sh\n", ".venv/bin/akyolo": NOTES}.items():
        (tmp_path / file).write_text(text)
        (tmp_path / file).chmod(0o755)

    def run(script, *words, **environment):
        for name in (script, "from-archives"):
            shutil.copy(SCRIPTS / name, tmp_path / "scripts" / name)
        subprocess.run([tmp_path / "scripts" / script, *words], env=os.environ | environment, check=True)
        return (tmp_path / "told").read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("script", "tables", "boxes"),
    [("coco", "146", ""), ("voc", "25", "<--boxes><paper>"), ("visdrone", "37", "")],
)
def test_prepare_then_every_table_of_the_data_set(told, script, tables, boxes):
    first, *others = told(script)
    assert first == f"<data><prepare><{script}><--root><data/{script}>{boxes}"
    data = f"<data=data/{script}/data.yaml>"
    assert others == [f"<reproduce><--table><{table}>{data}" for table in tables]


def test_tables_models_and_arguments(told):
    found = told("visdrone", "7", "cfg/yolov8n-akconv5.yaml", "epochs=2", "name=two words", ARCHIVES="my archives")
    data, best = "<data=data/visdrone/data.yaml>", "runs/visdrone/yolov8n-akconv5"
    assert found == [
        f"<data><prepare><visdrone><--root><data/visdrone><--from><{Path.cwd()}/my archives>",
        f"<reproduce><--table><7>{data}<epochs=2><name=two words>",
        f"<train><cfg/yolov8n-akconv5.yaml><save_dir={best}>{data}<epochs=2><name=two words>",
        f"<val><{best}/weights/best.pt>{data}<protocol=yolov5><conf=0.001><iou=0.6><max_det=300>",
    ]


def test_pre_commit_calls_the_tools_of_scripts_check():
    config = yaml.safe_load((SCRIPTS.parent / ".pre-commit-config.yaml").read_text())
    commands = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    (tools,) = re.findall(r"for tool in (.*); do", (SCRIPTS / "check").read_text())
    assert commands == [*shlex.split(tools), "scripts/check"]
