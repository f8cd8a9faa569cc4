"""All runs of a table in a folder: spec.yaml, a folder a run, and what came out so far."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from akyolo.errors import ConfigError
from akyolo.experiments.run.records import Record, read_record
from akyolo.experiments.run.runs import RECORD, alone, check_model, run_folder
from akyolo.experiments.run.worker import SPEC
from akyolo.experiments.spec.rows import Spec, read_spec, runs_in_order
from akyolo.experiments.spec.spec_file import read_spec_file
from akyolo.files import AtomicPath, remove_partial

STATED = "the table states something else"  # which follows from what is overridden, where anything is


@contextmanager
def series(folder: Path, spec: Mapping[str, Any]) -> Iterator[Spec]:
    """The spec of `folder`, written there if it is new or has more runs, while no other process runs it.

    Raises:
        ConfigError: another spec lies there, or runs of another model; two rows would share a folder; it cannot be
            written; or another process is at it.
    """
    check_folder(folder, spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", location=str(folder)) from None
    with alone(folder, 0):
        remove_partial(folder)
        text, file = _text(spec).encode(), AtomicPath(folder / SPEC)
        if not file.exists() or file.read_bytes() != text:
            file.write_bytes(text)
        written = read_spec(folder / SPEC)
        for row, seed in runs_in_order(written):
            check_model(run_folder(folder, row.row, seed), row)
        yield written


def check_folder(folder: Path, spec: Mapping[str, Any]) -> None:
    """Refuse a folder of another spec, but for seeds and rows that are added at the end; nothing is written.

    Raises:
        ConfigError: it says what differs.
    """
    rows = [row["row"] for table in spec["tables"] for row in table["rows"]]
    homes = [run_folder(folder, row, 0) for row in rows]
    if alike := [row for row, home in zip(rows, homes, strict=True) if homes.count(home) > 1]:
        raise ConfigError(f"{' and '.join(alike)} would share a folder", remedy="write one of them in another way")
    if (folder / SPEC).exists():
        different = list(dict.fromkeys(_different(read_spec_file(folder / SPEC), yaml.safe_load(_text(spec)))))
        if told := [one for one in different if one != STATED] or different:
            raise ConfigError(f"holds other runs: {'; '.join(told)}", location=str(folder), remedy="use another --name")
    elif folder.is_dir() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise ConfigError(f"is not empty and has no {SPEC}", location=str(folder), remedy="use another --name")


def _text(spec: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True)


def _different(there: Any, here: Any, key: str = "") -> Iterator[str]:
    """What two specs do not have in common, from the innermost mapping."""
    if key == "stated" and there != here:
        yield STATED
    elif isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            yield from _different(there.get(name), here.get(name), name)
    elif _is_list_of_mappings(there) and _is_list_of_mappings(here) and len(there) <= len(here):
        for one, other in zip(there, here, strict=False):
            yield from _different(one, other, key)
    elif key == "seeds" and here[: len(there)] == there:
        return
    elif there != here:
        yield f"{key} is {_short(there)} there, {_short(here)} here"


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _short(value: Any) -> str:
    if _is_list_of_mappings(value):
        return ", ".join(str(item.get("row", item)) for item in value)
    return "not given" if value is None else str(value)


def records(folder: Path, spec: Spec) -> list[Record]:
    """Of the runs that are over.

    Raises:
        ConfigError: a file that is no record.
    """
    files = (run_folder(folder, row.row, seed) / RECORD for row, seed in runs_in_order(spec))
    return [read_record(file) for file in files if file.exists()]
