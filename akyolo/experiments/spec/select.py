"""What of a spec is to be run: its tables, each as a spec of its own, with the changes that were asked for."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from akyolo.errors import ConfigError, did_you_mean
from akyolo.experiments.spec.rows import OF_TABLE


def tables_named(content: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """The tables of these names, in the order of the spec; all of them without names.

    Args:
        content: see `akyolo.experiments.spec.spec_file.read_spec_file`.
        names: a number is its digits.

    Raises:
        ConfigError: there is no such table.
    """
    known = [str(table["table"]) for table in content["tables"]]
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no table {name!r}", location="--table", remedy=did_you_mean(name, known))
    return [table for table in content["tables"] if not names or str(table["table"]) in names]


def rows_named(tables: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Collection[str]:
    """The rows that are meant, by their names in `of_its_own`; all of them without names.

    Args:
        tables: of the spec.
        names: as in the spec, or as in `of_its_own`, one or several separated by commas (a name may have one too).

    Raises:
        ConfigError: there is no such row.
    """
    by_name: dict[str, set[str]] = {}
    for table in tables:
        for row, distinct in zip(table["rows"], _distinct(table["rows"]), strict=True):
            by_name.setdefault(row["row"], set()).add(distinct["row"])
            by_name.setdefault(distinct["row"], set()).add(distinct["row"])
    meant: set[str] = set()
    for text in names:
        for name in [text] if text in by_name else [part.strip() for part in text.split(",")]:
            if name not in by_name:
                raise ConfigError(f"there is no row {name!r}", location="--rows", remedy=did_you_mean(name, by_name))
            meant |= by_name[name]
    return meant or {name for same in by_name.values() for name in same}


def of_its_own(
    content: Mapping[str, Any], table: Mapping[str, Any], seeds: Sequence[int], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """A spec of one table.

    Args:
        content: of the whole spec.
        table: of it.
        seeds: of the runs.
        changes: training arguments for all rows; what the table evaluates with is changed there, the rest in its
            settings. What was stated before is kept as such.
    """
    of_table = {key: changes[key] for key in ("data", "recipe") if key in changes}
    evaluation = {key: changes[key] for key in table["evaluation"] if key in changes}
    settings = {key: value for key, value in changes.items() if key not in of_table | evaluation}
    changed = {
        **table,
        **of_table,
        "settings": table["settings"] | settings,
        "evaluation": table["evaluation"] | evaluation,
        "rows": _distinct(table["rows"]),
    }
    stated = {key: table[key] for key in OF_TABLE if changed[key] != table[key]} | table.get("stated", {})
    name = stated.get("data", table["data"])
    about = {"paper": content["paper"]} if "paper" in content else {}
    data = {"data": {name: content["data"][name]}} if name in content.get("data", {}) else {}
    return {**about, "seeds": list(seeds), **data, "tables": [{**changed, **({"stated": stated} if stated else {})}]}


def _distinct(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one name get that of their model in front."""
    names = [row["row"] for row in rows]
    return [
        {**row, "row": f"{Path(row['base']).stem} {row['row']}"} if names.count(row["row"]) > 1 else dict(row)
        for row in rows
    ]
