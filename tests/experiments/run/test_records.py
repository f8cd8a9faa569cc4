"""Records of runs: what is written is what is read, and nothing else is."""

import dataclasses
import json

import pytest

from akyolo.errors import ConfigError
from akyolo.experiments.run.records import read_record, write_record
from tests.helpers.records import record


def test_a_record_comes_back_as_it_was(tmp_path):
    file = tmp_path / "record.json"
    write_record(file, record(row="N=5, 形", peak_bytes=None))
    assert read_record(file) == record(row="N=5, 形", peak_bytes=None)
    assert json.loads(file.read_text())["format"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a record"),
        ('{"format": 1, "ro', "cannot be read as a record"),
        ("[1]", r"is not a record of format 1 \(format: 'list'\)"),
        ("{}", r"is not a record of format 1 \(format: None\)"),
        ('{"format": 2}', r"is not a record of format 1 \(format: 2\)"),
        (json.dumps({"format": 1, "title": "older"}), "title, .*missing or unknown"),
        (json.dumps(dataclasses.asdict(record()) | {"curve": []}), "holds no epoch, or not the metrics asked for"),
        (json.dumps(dataclasses.asdict(record()) | {"metrics": {}}), "holds no epoch, or not the metrics asked for"),
        (json.dumps(dataclasses.asdict(record()) | {"curve": {}, "seed": "0"}), "seed, curve of the wrong type"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(tmp_path, text, message):
    file = tmp_path / "record.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as refused:
        read_record(file)
    assert str(refused.value).startswith(f"{file}: ") and "the same command then runs it again" in str(refused.value)


def test_a_missing_file_is_refused_by_its_name(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json: cannot be read"):
        read_record(tmp_path / "nowhere.json")
