"""The rows of a paper's tables, read from `cfg/paper/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from akyolo.packaged import packaged
from akyolo.rows import SwapRule


@dataclass(frozen=True)
class PaperRow:
    """One row of a table: how it is built, trained and evaluated, and what the paper prints for it.

    Args:
        table: number of the table.
        row: its name there.
        base: a model YAML.
        swap: what is swapped in `base`, None for nothing.
        data: name of the data set.
        classes: its number of classes.
        recipe: how it is trained, a recipe.
        settings: training arguments that the table states.
        protocol: how its detections are scored.
        evaluation: arguments of its evaluation.
        printed: `params_m` in millions, `gflops` at 640 px, metrics in percent.
        note: what a reader of the row should know.
    """

    table: int
    row: str
    base: str
    swap: SwapRule | None
    data: str
    classes: int
    recipe: str
    settings: Mapping[str, Any]
    protocol: str
    evaluation: Mapping[str, Any]
    printed: Mapping[str, float]
    note: str


def paper_rows(file: Path | None = None) -> list[PaperRow]:
    """All rows in the order of the paper, from `cfg/paper/akconv.yaml` unless another file is named."""
    spec = yaml.safe_load((file or packaged("cfg") / "paper" / "akconv.yaml").read_text(encoding="utf-8"))
    return [_row(row, table, spec["data"]) for table in spec["tables"] for row in table["rows"]]


def _row(row: dict[str, Any], table: dict[str, Any], classes: Mapping[str, int]) -> PaperRow:
    swap = row.get("swap")
    rule = swap and SwapRule(swap["op"], tuple(swap["args"]), swap["where"], swap.get("keywords", {}))
    of_table = {key: table[key] for key in ("table", "data", "recipe", "settings", "protocol", "evaluation")}
    return PaperRow(
        row=row["row"],
        base=row["base"],
        swap=rule,
        classes=classes[table["data"]],
        printed=row["printed"],
        note=row.get("note", ""),
        **of_table,
    )
