"""`akyolo info` and `--help`: what they print."""

import json
import subprocess
import sys

import pytest

from akyolo import __version__
from akyolo.cli import COMMANDS, MODES, main


def test_info_json_alone_on_stdout(capfd, in_tmp):
    main(["info", "cfg/yolov8n-akconv5.yaml", "--json"])
    facts = json.loads(capfd.readouterr().out)
    assert facts.keys() == {"model", "nc", "imgsz", "params", "gflops", "layers"}
    assert (facts["model"], facts["nc"], facts["imgsz"]) == ("cfg/yolov8n-akconv5.yaml", 80, 640)
    assert facts["params"] == {"unfused": 2_940_140, "fused": 2_934_844, "paper": 2_935_516, "deployed": 2_934_844}
    assert facts["gflops"].keys() == facts["params"].keys()
    assert facts["gflops"]["fused"] < min(facts["gflops"]["paper"], facts["gflops"]["deployed"])
    layer = facts["layers"][1]
    assert layer == {"i": 1, "from": -1, "n": 1, "module": "AKConv", "params": 4074, "args": [128, 5, 2]}
    assert [facts["layers"][i]["n"] for i in (2, 4, 6, 8)] == [1, 2, 2, 1]
    assert facts["layers"][-1]["from"] == [15, 18, 21] and len(facts["layers"]) == 23
    assert sum(layer["params"] for layer in facts["layers"]) == facts["params"]["unfused"]


@pytest.mark.slow
def test_arithmetic_counts_the_sampled_convolution(capfd, in_tmp):
    """By hand for row 1 at 640: 160*160 outputs, a 3x3 offset conv to 10 channels, 5 taps of 16 channels to 32, BN."""
    main(["info", "cfg/yolov8n-akconv5.yaml", "--json"])
    ours = json.loads(capfd.readouterr().out)["gflops"]
    main(["info", "yolov8n.yaml", "--json"])
    plain = json.loads(capfd.readouterr().out)["gflops"]
    rows = [(16, 32, 160), (32, 64, 80), (64, 128, 40), (128, 256, 20), (64, 64, 40), (128, 128, 20)]
    macs = {"plain": 0, "ours": 0}
    for c1, c2, out in rows:
        macs["plain"] += out * out * 9 * c1 * c2
        macs["ours"] += out * out * (9 * c1 * 10 + 5 * c1 * c2)
    expected = 2 * (macs["plain"] - macs["ours"]) / 1e9
    assert plain["unfused"] - ours["unfused"] == pytest.approx(expected, abs=0.02)


def test_info_as_a_table(capfd, in_tmp):
    main(["info", "yolov8n-akconv5.yaml", "--imgsz", "320"])
    out = capfd.readouterr().out
    assert "AKConv" in out and "unfused: 2,940,140 parameters" in out


def test_help_teaches_every_mode_and_command(capfd):
    main(["--help"])
    out = capfd.readouterr().out
    assert all(f"  {name} " in out for name in [*MODES, *COMMANDS])
    for mode in MODES:
        main([mode, "--help"])
        assert "offset_lr=1.0" in capfd.readouterr().out


@pytest.mark.slow
def test_version_and_module_entry(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "akyolo.cli", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.strip() == __version__
