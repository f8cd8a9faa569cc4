"""Read and write tables as YAML."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from akyolo.checks import FINITE, FROM_0, check_number
from akyolo.errors import ConfigError, did_you_mean, first_line
from akyolo.experiments.spec.table_spec import TRAINING_KEYS, DataSet, TableRow, TableSpec, rule_as_mapping
from akyolo.swapping import SwapRule

NOTHING = type(None)
# The type of each value, by key. A key with a ? may be left out.
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
STATED = {f"{key}?": TABLE[key] for key in TRAINING_KEYS}
FILLED = ("seeds", "tables", "rows")  # lists that must not be empty


def read_tables(file: Path) -> tuple[TableSpec, ...]:
    """Return the tables of a file.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown, missing or of the wrong type; the message names the
            file and the table.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read as a spec: {first_line(error)}", location=str(file)) from None
    try:
        for value, keys, location in _mappings(content):
            _check(value, keys, location)
    except ConfigError as error:
        raise ConfigError(f"is not a valid spec: {error.what}", location=str(file), remedy=error.remedy) from None
    return tuple(_table(table, content) for table in content["tables"])


def read_table(file: Path) -> TableSpec:
    """Return the only table of a file.

    The spec.yaml in a folder of runs is such a file.

    Raises:
        ConfigError: see `read_tables`; or the file has several tables.
    """
    table, *others = read_tables(file)
    if others:
        raise ConfigError(f"has {1 + len(others)} tables; only one can be run in a folder", location=str(file))
    return table


def table_text(table: TableSpec) -> str:
    """Return a table as YAML, which `read_table` reads."""
    data_set = table.data_set
    about = {"paper": table.paper} if table.paper else {}
    data = {"data": {data_set.name: _without_defaults(data_set)}} if data_set else {}
    content = {
        "table": table.table,
        **{key: getattr(table, key) for key in TRAINING_KEYS},
        **({"assumed": list(table.assumed)} if table.assumed else {}),
        "rows": [_row_as_mapping(row) for row in table.rows],
        **({"stated": dict(table.stated)} if table.stated else {}),
    }
    whole = {**about, "seeds": list(table.seeds), **data, "tables": [content]}
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)


def _table(table: Mapping[str, Any], content: Mapping[str, Any]) -> TableSpec:
    stated = table.get("stated", {})
    name, data_sets = stated.get("data", table["data"]), content.get("data", {})
    return TableSpec(
        table=table["table"],
        **{key: table[key] for key in TRAINING_KEYS},
        rows=tuple(_row(row) for row in table["rows"]),
        assumed=tuple(table.get("assumed", ())),
        stated=stated,
        seeds=tuple(content.get("seeds", ())),
        paper=content.get("paper", ""),
        data_set=DataSet(name, **data_sets[name]) if name in data_sets else None,
    )


def _row(row: Mapping[str, Any]) -> TableRow:
    swap = row.get("swap")
    rule = SwapRule(swap["op"], tuple(swap["args"]), swap["where"], swap.get("keywords", {})) if swap else None
    return TableRow(row["row"], row["base"], rule, row.get("printed", {}), row.get("note", ""))


def _row_as_mapping(row: TableRow) -> dict[str, Any]:
    optional = {"swap": row.swap and rule_as_mapping(row.swap), "printed": dict(row.printed), "note": row.note}
    return {"row": row.row, "base": row.base, **{key: value for key, value in optional.items() if value}}


def _without_defaults(data_set: DataSet) -> dict[str, Any]:
    optional = {"classes": data_set.classes, "images": dict(data_set.images), "prepare": data_set.prepare}
    return {key: value for key, value in optional.items() if value}


def _mappings(content: Any) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    """Yield each mapping, its keys, its location.

    The caller checks a mapping before it takes the next, which lies in it.
    """
    yield content, SPEC, ""
    _check_seeds(content.get("seeds", ()))
    for name, data in content.get("data", {}).items():
        yield data, DATA, f"data {name}: "
        _check_numbers(data.get("images", {}), f"data {name}: images: ")
    names = []
    for table in content["tables"]:
        location = f"table {table.get('table', '?') if isinstance(table, dict) else table}: "
        yield table, TABLE, location
        yield table.get("stated", {}), STATED, f"{location}stated: "
        names.append(str(table["table"]))
        for key in ("settings", "evaluation", "assumed"):
            _check_names(table.get(key, ()), f"{location}{key}: ")
        _check_assumed(table)
        for row in table["rows"]:
            location = f"table {table['table']}, row {row.get('row', '?') if isinstance(row, dict) else row}: "
            yield row, ROW, location
            yield from _mappings_of_row(row, location)
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"table {', '.join(duplicates)} is given twice")


def _mappings_of_row(row: Mapping[str, Any], location: str) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    # The name becomes a cell of a Markdown table.
    if not row["row"].strip() or not row["row"].isprintable() or "|" in row["row"]:
        raise ConfigError(f"{location}row cannot be {row['row']!r}")
    _check_numbers(row.get("printed", {}), f"{location}printed: ")
    if "swap" in row:
        yield row["swap"], SWAP, f"{location}swap: "


def _check_seeds(seeds: Sequence[Any]) -> None:
    for seed in seeds:
        check_number(f"seeds: {seed!r}", seed, FROM_0, error=ConfigError)
        if seeds.count(seed) > 1:
            raise ConfigError(f"seeds: {seed} is given twice")


def _check_names(names: Iterable[Any], location: str) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{location}{name!r} is not a name")


def _check_numbers(numbers: Mapping[Any, Any], location: str) -> None:
    _check_names(numbers, location)
    for name, value in numbers.items():
        if value not in FINITE:
            raise ConfigError(f"{location}{name} cannot be {value!r}")


def _check_assumed(table: Mapping[str, Any]) -> None:
    names = [*TABLE, *table["settings"], *table["evaluation"]]
    for name in table.get("assumed", ()):
        if name not in names:
            raise ConfigError(
                f"table {table['table']}: assumed: {name!r} is not there", remedy=did_you_mean(name, names)
            )


def _check(value: Any, keys: Mapping[str, Any], location: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{location}{value!r} is not a mapping")
    types = {key.removesuffix("?"): type_ for key, type_ in keys.items()}
    for key, item in value.items():
        if key not in types:
            raise ConfigError(f"{location}unknown key {key!r}", remedy=did_you_mean(str(key), types))
        if not isinstance(item, types[key]) or (key in FILLED and not item):
            raise ConfigError(f"{location}{key} cannot be {item!r}")
    if missing := [key for key in keys if not key.endswith("?") and key not in value]:
        raise ConfigError(f"{location}{', '.join(missing)} missing")
