"""Tables as data: what a spec says of the rows of a paper's tables (`cfg/paper/`), or of a comparison's.

paper: AKConv             # whose figures `printed` are
seeds: [0, 1, 2]          # of the runs; a paper has none
data:                     # by name: what a table's data set has to have; may be left out
  voc0712: {classes: 20, images: {train: 16551, val: 4952}, prepare: voc}     # akyolo data prepare voc
tables:
  - table: 3              # or the name of a comparison
    data: voc0712         # or a data YAML; null: the embedded set
    recipe: yolov5        # null: that of the model or of the embedded set
    settings: {epochs: 300}
    protocol: yolov5      # how detections are scored
    evaluation: {conf: 0.001, iou: 0.60, max_det: 300}
    assumed: [evaluation] # what the paper does not say
    stated: {settings: {epochs: 300}}   # by a run that has other settings: what it should have had
    rows:
      - row: N=5
        base: yolov5n.yaml
        swap: {op: AKConv, args: [5], where: downsample, keywords: {shape: a}}
        printed: {mAP: 48.4}
        note: in a paper
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from akyolo.experiments.spec.spec_file import read_spec_file
from akyolo.resources import packaged
from akyolo.swapping import SwapRule

OF_TABLE = ("table", "data", "recipe", "settings", "protocol", "evaluation")
ASKED = ("base", "swap", "data", "recipe", "settings", "protocol", "evaluation", "stated")
PAPER = packaged("cfg") / "paper" / "akconv.yaml"
COUNTS = ("params_m", "gflops")  # what is printed of a model, beside its metrics


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
        stated: of data, recipe, settings, protocol and evaluation what its table states where the run differs.
        assumed: what of it the paper does not say.
        images: how many its data set has, by split, as far as the spec says.
        prepare: what `akyolo data prepare` calls that data set, None where `data` is no name of the spec.
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
    stated: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)
    prepare: str | None = None

    def asked(self) -> dict[str, Any]:
        """How it is built, trained and evaluated, as a record keeps it."""
        asked = {key: value for key, value in dataclasses.asdict(self).items() if key in ASKED}
        return {**asked, "swap": self.swap and written(self.swap)}


@dataclass(frozen=True)
class Spec:
    """The rows of one or more tables, the seeds that each of them is run with, and whose figures are printed."""

    seeds: tuple[int, ...]
    rows: tuple[TableRow, ...]
    paper: str = ""


def read_spec(file: Path) -> Spec:
    """All rows of a file, in its order.

    Raises:
        ConfigError: it is missing, or is no spec.
    """
    return spec_of_file(read_spec_file(file))


def spec_of_file(content: Mapping[str, Any]) -> Spec:
    """The same, of what `read_spec_file` found."""
    rows = tuple(_row(row, table, content.get("data", {})) for table in content["tables"] for row in table["rows"])
    return Spec(tuple(content.get("seeds", ())), rows, content.get("paper", ""))


def paper_rows() -> list[TableRow]:
    """All rows of AKConv's paper, in its order."""
    return list(read_spec(PAPER).rows)


def runs_in_order(spec: Spec) -> list[tuple[TableRow, int]]:
    """All rows with one seed, then with the next: what is there when it stops can be compared."""
    return [(row, seed) for seed in spec.seeds for row in spec.rows]


def written(rule: SwapRule) -> dict[str, Any]:
    """A rule as a spec has it."""
    return {"op": rule.op, "args": list(rule.args), "where": rule.where, "keywords": dict(rule.keywords)}


def _row(row: Mapping[str, Any], table: Mapping[str, Any], data: Mapping[str, Any]) -> TableRow:
    swap, stated = row.get("swap"), table.get("stated", {})
    rule = SwapRule(swap["op"], tuple(swap["args"]), swap["where"], swap.get("keywords", {})) if swap else None
    known = data.get(stated.get("data", table["data"]), {})
    return TableRow(
        row=row["row"],
        base=row["base"],
        swap=rule,
        classes=known.get("classes"),
        printed=row.get("printed", {}),
        note=row.get("note", ""),
        stated=stated,
        assumed=tuple(table.get("assumed", ())),
        images=known.get("images", {}),
        prepare=known.get("prepare"),
        **{key: table[key] for key in OF_TABLE},
    )
