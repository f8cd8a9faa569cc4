"""`akyolo bench`, at sizes that take no time."""

import argparse
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
import torch

from akyolo.bench import run
from akyolo.cli import bench
from akyolo.errors import AkyoloError, ConfigError, RowError

VARIANTS = ["four-gather", "deform_conv2d", "ours", "ours channels_last", "plain", "plain channels_last"]
ROW = {
    "layer": str,
    "variant": str,
    "pass": str,
    "median_ms": float,
    "iqr_ms": float,
    "ratio": float,
    "peak_bytes": int,
    "kept_bytes": int,
}


def bench_run(*words):
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    bench.run(parser.parse_args(words))


TINY = ("--imgsz", "64", "--batch", "2", "--rounds", "2")
LAYERS = ((4, 8, 160), (6, 5, 80))


@pytest.fixture(scope="module")
def result():
    """Two small layers, as JSON."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(run, "LAYERS", LAYERS)
        bench_run("ops", *TINY, "--num-param", "4", "--threads", "1", "--json")
    return json.loads(out.getvalue())


@pytest.mark.slow
def test_json_has_every_variant_of_every_layer_and_pass(result):
    about = {key: value for key, value in result.items() if key not in ("rows", "summary")}
    assert about == {
        "device": "cpu",
        "threads": 1,
        "torch": torch.__version__,
        "dtype": "float32",
        "batch": 2,
        "imgsz": 64,
        "rounds": 2,
    }
    passes = ("forward", "forward+backward")
    expected = [(layer, of, v) for layer in ("4-8 at 16", "6-5 at 8") for of in passes for v in VARIANTS]
    assert [(row["layer"], row["pass"], row["variant"]) for row in result["rows"]] == expected
    for row in result["rows"]:
        assert {key: type(value) for key, value in row.items()} == ROW
        assert row["median_ms"] > 0 and row["peak_bytes"] > 0
        assert (row["kept_bytes"] > 0) == (row["pass"] == "forward+backward")
    plain = [row["ratio"] for row in result["rows"] if row["variant"].startswith("plain")]
    assert [min(pair) for pair in zip(plain[::2], plain[1::2], strict=True)] == [1] * 4


@pytest.mark.slow
def test_summary_agrees_with_the_rows(result):
    for of, variants in result["summary"].items():
        assert list(variants) == VARIANTS
        for name, values in variants.items():
            mine = [row for row in result["rows"] if row["pass"] == of and row["variant"] == name]
            assert values["geomean_ratio_to_plain"] == pytest.approx((mine[0]["ratio"] * mine[1]["ratio"]) ** 0.5)
            assert values["kept_bytes"] == mine[0]["kept_bytes"] + mine[1]["kept_bytes"]
        assert variants["four-gather"]["geomean_ratio_to_four_gather"] == pytest.approx(1)
    trained = result["summary"]["forward+backward"]
    assert trained["ours"]["kept_ratio_to_plain"] < trained["four-gather"]["kept_ratio_to_plain"]


@pytest.mark.slow
def test_table_has_a_block_per_layer_and_pass_and_the_means(monkeypatch, capsys):
    monkeypatch.setattr(run, "LAYERS", LAYERS[:1])
    bench_run("ops", *TINY, "--dtype", "bfloat16")
    out = capsys.readouterr().out
    blocks = out.split("\n\n")
    assert "dtype bfloat16" in blocks[0] and "batch 2" in blocks[0]
    titles = [block.split("  ")[0] for block in blocks[1:]]
    assert titles == [
        "4-8 at 16, forward",
        "4-8 at 16, forward+backward",
        "in all, forward",
        "in all, forward+backward",
    ]
    assert all(len(block.strip().splitlines()) == 1 + len(VARIANTS) for block in blocks[1:])
    assert "time / plain" in blocks[-1] and "time / four_gather" in blocks[-1] and "kept / plain" in blocks[-1]


@pytest.mark.slow
@pytest.mark.parametrize("op", ["DeformConv", "ModulatedDeformConv"])
def test_a_deformable_convolution_by_both_realisations(op, monkeypatch, capsys):
    monkeypatch.setattr(run, "LAYERS", LAYERS[:1])
    bench_run("ops", "--op", op, *TINY, "--json")
    result = json.loads(capsys.readouterr().out)
    names = [name for means in ("deform_conv2d", "ours", "plain") for name in (means, f"{means} channels_last")]
    for of, variants in result["summary"].items():
        assert [row["variant"] for row in result["rows"] if row["pass"] == of] == list(variants) == names
        ratios = [variants[name]["geomean_ratio_to_torchvision"] for name in names[:2]]
        assert min(ratios) == pytest.approx(1)


NOISY = """
import sys, argparse
from akyolo.bench import run
from akyolo.cli import bench
from ultralytics.utils import LOGGER
network = run.detection_network
def noisy(name):
    print("a print")
    LOGGER.info("a log line")
    return network(name)
run.detection_network = noisy
parser = argparse.ArgumentParser()
bench.configure(parser)
bench.run(parser.parse_args(sys.argv[1:]))
"""


@pytest.mark.slow
def test_models_side_by_side_and_json_alone_on_stdout():
    words = ["model", "yolov8n.yaml", "cfg/yolov8n-akconv5.yaml", "--imgsz=64", "--batch=1", "--rounds=1", "--json"]
    done = subprocess.run([sys.executable, "-c", NOISY, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert done.stderr.count("a print") == done.stderr.count("a log line") == 2
    of = [(row["layer"], row["pass"], row["variant"]) for row in result["rows"]]
    assert of == [("model", of, name) for of in ("inference", "training step") for name in words[1:3]]
    for row in result["rows"]:
        assert {key: type(value) for key, value in row.items()} == ROW
        assert (row["kept_bytes"] > 0) == (row["pass"] == "training step")
    assert [row["ratio"] for row in result["rows"][::2]] == [1, 1]
    assert set(result["summary"]["training step"][words[2]]) == {
        "sum_ms",
        "kept_bytes",
        "geomean_ratio_to_first",
        "kept_ratio_to_first",
    }


def test_the_defaults_are_those_of_the_help():
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    options = vars(parser.parse_args(["model"]))
    assert options.pop("models") == ["yolov8n.yaml", "cfg/yolov8n-akconv5.yaml"]
    assert options == {
        "action": "model",
        "batch": 4,
        "imgsz": 640,
        "rounds": 10,
        "threads": None,
        "device": "cpu",
        "dtype": "float32",
        "json": False,
    }


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["ops", "--dtype", "float61"], ConfigError, "--dtype: unknown 'float61'\n  did you mean 'float16'"),
        (["ops", "--device", "gpu"], ConfigError, "--device: unknown 'gpu'\n  use cpu, cuda"),
        (["ops", "--device", "meta"], ConfigError, "--device: meta is not supported"),
        (["ops", "--device", "cuda:99"], ConfigError, "--device: there is no cuda:99"),
        (["ops", "--batch", "0"], ConfigError, "--batch: 0 must be a whole number of at least 1"),
        (["ops", "--rounds", "-1"], ConfigError, "--rounds: -1 must be a whole number of at least 1"),
        (
            ["ops", "--imgsz", "100"],
            ConfigError,
            "--imgsz: 100 must be a whole number of at least 64",
        ),
        (["ops", "--op", "DeformCov"], ConfigError, "--op: cannot measure 'DeformCov'\n  did you mean 'DeformConv'"),
        (["ops", "--op", "DeformConv", "--num-param", "5"], ConfigError, "--num-param: DeformConv has no such"),
        (["ops", "--imgsz", "64", "--num-param", "0"], RowError, "num_param=0"),
        (["model", "yolov8n-akcnv5.yaml"], RowError, "yolov8n-akconv5"),
        (["model", "nowhere/best.pt"], AkyoloError, "there is no file 'nowhere/best.pt'"),
        (["model", "nonsense"], AkyoloError, "there is no file 'nonsense'"),
        (["model", "yolov8n-cls.yaml"], ConfigError, "model for classify"),
    ],
)
def test_mistakes_are_named(words, error, message, in_tmp, capsys):
    with pytest.raises(error, match=message):
        bench_run(*words)
    assert not capsys.readouterr().out
