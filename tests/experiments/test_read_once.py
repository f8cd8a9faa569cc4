"""What a command or a run reads, it reads and parses once."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from akyolo.cli import main
from akyolo.experiments.run import runs, worker
from akyolo.model_yaml import model_yaml_text
from akyolo.swapping import SwapRule
from akyolo.upstream.model_yaml import read_model_yaml
from tests.helpers.tiny_training import write_plain

QUICK = ["data=data.yaml", "imgsz=64", "batch=4", "nbs=4", "device=cpu", "workers=0"]
SWAP = {"op": "AKConv", "args": [5], "where": "downsample"}
TABLE = {
    "table": 1,
    "data": "data.yaml",
    "recipe": None,
    "settings": {"epochs": 1, "imgsz": 64},
    "protocol": "coco",
    "evaluation": {"iou": 0.6},
    "rows": [
        {"row": "baseline", "base": "tiny.yaml", "printed": {"params_m": 0.1, "AP": 13.4}},
        {"row": "N=5", "base": "tiny.yaml", "swap": SWAP, "printed": {"params_m": 0.1, "AP": 13.2}},
    ],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a base, its data, and a specification of two tables."""
    write_plain(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"tables": [TABLE, {**TABLE, "table": 2}]}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def counts(folder, monkeypatch):
    """How often a file of this folder was read, YAML of tables was parsed, and a swap was made of a mapping."""
    numbers = Counter()
    read, parse, begin = Path.read_text, yaml.safe_load, SwapRule.__init__

    def count_read(file, *args, **keywords):
        is_counted = file.suffix == ".yaml" and file.name != "data.yaml"
        if is_counted and file.exists() and file.resolve().is_relative_to(folder):
            numbers[str(file.resolve().relative_to(folder))] += 1
        return read(file, *args, **keywords)

    def count_parse(text):
        if isinstance(text, str) and "\ntables:" in f"\n{text}":
            numbers["tables parsed"] += 1
        return parse(text)

    def count_rule(rule, *args, **keywords):
        numbers["rules"] += 1
        begin(rule, *args, **keywords)

    monkeypatch.setattr(Path, "read_text", count_read)
    monkeypatch.setattr(yaml, "safe_load", count_parse)
    monkeypatch.setattr(SwapRule, "__init__", count_rule)
    return numbers


def compare(*words):
    submit = ["--launcher", "slurm", "--name", "c", *QUICK]
    main(["compare", "tiny.yaml", "--ops", "Conv,AKConv:5", "--where", "1", *submit, *words])


def reproduce(*words):
    main(["reproduce", "--spec", "mine.yaml", "--name", "r", "device=cpu", *words])


def test_a_plan_reads_its_specification_and_each_base_once(counts):
    reproduce("--plan", "--seeds", "2")
    assert counts == {"mine.yaml": 1, "tables parsed": 1, "rules": 2, "tiny.yaml": 1}


@pytest.mark.slow
def test_tables_are_run_from_one_reading_of_their_specification(counts):
    for _ in range(2):  # the second time there are folders
        counts.clear()
        reproduce("--seeds", "2", "--launcher", "slurm")
        assert counts == {"mine.yaml": 1, "tables parsed": 1, "rules": 2, "tiny.yaml": 1}


@pytest.mark.slow
def test_a_stored_specification_is_parsed_once_to_say_what_is_added(folder, counts):
    reproduce("--table", "1", "--seeds", "1", "--launcher", "slurm")
    counts.clear()
    reproduce("--table", "1", "--seeds", "2", "--launcher", "slurm")
    assert counts["tables parsed"] == 2 and counts["tiny.yaml"] == 1


def test_a_comparison_parses_no_specification_and_reads_its_base_once(counts):
    for _ in range(2):
        counts.clear()
        compare("--seeds", "3")
        assert counts == {"rules": 1, "tiny.yaml": 1}


def test_a_base_is_read_once_however_many_seeds_have_begun(folder, counts):
    compare("--seeds", "3")
    for seed in range(3):
        begun = folder / f"runs/compare/c/Conv-seed{seed}"
        begun.mkdir()
        (begun / "tiny.yaml").write_text(model_yaml_text(read_model_yaml("tiny.yaml")))
    counts.clear()
    compare("--seeds", "3")
    assert counts["tiny.yaml"] == 1


class StoppedError(Exception):
    """Ends a run where its training would begin."""


def test_a_run_reads_its_specification_and_its_base_once(folder, counts, monkeypatch):
    compare("--seeds", "1")

    def stop(*args, **keywords):
        raise StoppedError

    monkeypatch.setattr(runs.Starts, "train", stop)
    expected = {"runs/compare/c/spec.yaml": 1, "tables parsed": 1, "rules": 1, "tiny.yaml": 1}
    for reads_of_its_model in (1, 2):  # when it begins, to build it; when it goes on, also to compare it with the base
        counts.clear()
        with pytest.raises(StoppedError):
            worker.execute_words(["runs/compare/c", "--index", "1"])
        assert counts == {**expected, "runs/compare/c/AKConv-5-seed0/tiny.yaml": reads_of_its_model}
