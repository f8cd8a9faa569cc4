"""The file of a spec: a mapping whose keys are all known, and none of whose own is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from akyolo.checks import FINITE, FROM_0, check_number
from akyolo.errors import ConfigError, did_you_mean, first_line

NOTHING = type(None)
# the type of a value, by key; those with a ? may be left out
SPEC = {"paper?": str, "seeds?": list, "data?": dict, "tables": list}
DATA = {"classes?": int, "images?": dict, "prepare?": str}
TABLE = {
    "table": (int, str),
    "data": (str, NOTHING),
    "recipe": (str, NOTHING),
    "settings": dict,
    "protocol": str,
    "evaluation": dict,
    "assumed?": list,
    "stated?": dict,
    "rows": list,
}
ROW = {"row": str, "base": str, "swap?": dict, "printed?": dict, "note?": str}
SWAP = {"op": str, "args": list, "where": (str, int), "keywords?": dict}
STATED = {f"{key}?": TABLE[key] for key in ("data", "recipe", "settings", "protocol", "evaluation")}
FILLED = ("seeds", "tables", "rows")  # lists that are not empty


def read_spec_file(file: Path) -> dict[str, Any]:
    """What stands in it.

    Raises:
        ConfigError: it cannot be read, or a key is unknown, missing or of the wrong type; with file and table.
    """
    try:
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read as a spec: {first_line(error)}", location=str(file)) from None
    try:
        for value, keys, where in _mappings(spec):
            _check(value, keys, where)
    except ConfigError as error:
        raise ConfigError(f"is no spec: {error.what}", location=str(file), remedy=error.remedy) from None
    return dict(spec)


def _mappings(spec: Any) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    """Each mapping in it, once the one around it is known to be right: with its keys, and what a reader calls it."""
    yield spec, SPEC, ""
    _check_seeds(spec.get("seeds", ()))
    for name, data in spec.get("data", {}).items():
        yield data, DATA, f"data {name}: "
        _check_numbers(data.get("images", {}), f"data {name}: images: ")
    names = []
    for table in spec["tables"]:
        where = f"table {table.get('table', '?') if isinstance(table, dict) else table}: "
        yield table, TABLE, where
        yield table.get("stated", {}), STATED, f"{where}stated: "
        names.append(str(table["table"]))
        for key in ("settings", "evaluation", "assumed"):
            _check_names(table.get(key, ()), f"{where}{key}: ")
        _check_assumed(table)
        for row in table["rows"]:
            where = f"table {table['table']}, row {row.get('row', '?') if isinstance(row, dict) else row}: "
            yield row, ROW, where
            yield from _of_row(row, where)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"table {', '.join(twice)} is there twice")


def _of_row(row: Mapping[str, Any], where: str) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    if not row["row"].strip() or not row["row"].isprintable() or "|" in row["row"]:  # a cell of a table
        raise ConfigError(f"{where}row cannot be {row['row']!r}")
    _check_numbers(row.get("printed", {}), f"{where}printed: ")
    if "swap" in row:
        yield row["swap"], SWAP, f"{where}swap: "


def _check_seeds(seeds: Sequence[Any]) -> None:
    for seed in seeds:
        check_number(f"seeds: {seed!r}", seed, FROM_0, error=ConfigError)
        if seeds.count(seed) > 1:
            raise ConfigError(f"seeds: {seed} is there twice")


def _check_names(names: Iterable[Any], where: str) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{where}{name!r} is no name")


def _check_numbers(numbers: Mapping[Any, Any], where: str) -> None:
    _check_names(numbers, where)
    for name, value in numbers.items():
        if value not in FINITE:
            raise ConfigError(f"{where}{name} cannot be {value!r}")


def _check_assumed(table: Mapping[str, Any]) -> None:
    known = [*TABLE, *table["settings"], *table["evaluation"]]
    for name in table.get("assumed", ()):
        if name not in known:
            raise ConfigError(
                f"table {table['table']}: assumed: {name!r} is not there", remedy=did_you_mean(name, known)
            )


def _check(value: Any, keys: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}{value!r} is no mapping")
    kinds = {key.removesuffix("?"): kind for key, kind in keys.items()}
    for key, item in value.items():
        if key not in kinds:
            raise ConfigError(f"{where}unknown key {key!r}", remedy=did_you_mean(str(key), kinds))
        if not isinstance(item, kinds[key]) or (key in FILLED and not item):
            raise ConfigError(f"{where}{key} cannot be {item!r}")
    if missing := [key for key in keys if not key.endswith("?") and key not in value]:
        raise ConfigError(f"{where}{', '.join(missing)} missing")
