"""Tables as data: what a spec says of the rows of a paper's tables (`cfg/paper/`), or of a comparison's.

seeds: [0, 1, 2]          # of the runs; a paper has none
data: {voc0712: 20}       # number of classes, by data set; may be left out
tables:
  - table: 3              # or the name of a comparison
    data: voc0712         # null: the embedded set
    recipe: yolov5        # null: that of the model or of the embedded set
    settings: {epochs: 300}
    protocol: yolov5      # how detections are scored
    evaluation: {conf: 0.001, iou: 0.60, max_det: 300}
    rows:
      - row: N=5
        base: yolov5n.yaml
        swap: {op: AKConv, args: [5], where: downsample, keywords: {shape: a}}
        printed: {mAP: 48.4}
        note: in a paper
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from akyolo.errors import ConfigError, first_line
from akyolo.packaged import packaged
from akyolo.rows import SwapRule

OF_TABLE = ("table", "data", "recipe", "settings", "protocol", "evaluation")
ASKED = ("base", "swap", "data", "recipe", "settings", "protocol", "evaluation")


@dataclass(frozen=True)
class TableRow:
    """One row of a table: how it is built, trained and evaluated, and what a paper prints for it.

    Args:
        table: number of the table, or name of the comparison.
        row: its name there.
        base: a model YAML.
        swap: what is swapped in `base`, None for nothing.
        data: name of the data set, or a data YAML; None for the embedded set.
        classes: its number of classes, None where the spec does not say.
        recipe: how it is trained, a recipe; None for the one that applies by itself.
        settings: training arguments that the table states.
        protocol: how its detections are scored.
        evaluation: arguments of its evaluation.
        printed: `params_m` in millions, `gflops` at 640 px, metrics in percent.
        note: what a reader of the row should know.
    """

    table: int | str
    row: str
    base: str
    swap: SwapRule | None
    data: str | None
    classes: int | None
    recipe: str | None
    settings: Mapping[str, Any]
    protocol: str
    evaluation: Mapping[str, Any]
    printed: Mapping[str, float]
    note: str

    def asked(self) -> dict[str, Any]:
        """How it is built, trained and evaluated, as a record keeps it."""
        asked = {key: value for key, value in dataclasses.asdict(self).items() if key in ASKED}
        return {**asked, "swap": self.swap and written(self.swap)}


@dataclass(frozen=True)
class Spec:
    """The rows of one or more tables, and the seeds that each of them is run with."""

    seeds: tuple[int, ...]
    rows: tuple[TableRow, ...]


def read_spec(file: Path) -> Spec:
    """All rows of a file, in its order.

    Raises:
        ConfigError: it is missing, or is no spec.
    """
    try:
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))
        classes = spec.get("data", {})
        rows = tuple(_row(row, table, classes) for table in spec["tables"] for row in table["rows"])
        return Spec(tuple(spec.get("seeds", ())), rows)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read as a spec: {first_line(error)}", where=str(file)) from None
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"is no spec ({type(error).__name__}: {error})", where=str(file)) from None


def paper_rows() -> list[TableRow]:
    """All rows of AKConv's paper, in its order."""
    return list(read_spec(packaged("cfg") / "paper" / "akconv.yaml").rows)


def written(rule: SwapRule) -> dict[str, Any]:
    """A rule as a spec has it."""
    return {"op": rule.op, "args": list(rule.args), "where": rule.where, "keywords": dict(rule.keywords)}


def _row(row: dict[str, Any], table: dict[str, Any], classes: Mapping[str, int]) -> TableRow:
    swap = row.get("swap")
    rule = swap and SwapRule(swap["op"], tuple(swap["args"]), swap["where"], swap.get("keywords", {}))
    return TableRow(
        row=row["row"],
        base=row["base"],
        swap=rule,
        classes=classes.get(table["data"]),
        printed=row.get("printed", {}),
        note=row.get("note", ""),
        **{key: table[key] for key in OF_TABLE},
    )
