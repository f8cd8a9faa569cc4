"""Tables and their rows as values.

A table is written as YAML (`cfg/paper/`, or the spec.yaml that a comparison writes):

paper: AKConv             # whose figures `printed` are
seeds: [0, 1, 2]          # of the runs; a paper gives none
data:                     # by name, what is expected of a data set; may be left out
  voc0712: {classes: 20, images: {train: 16551, val: 4952}, prepare: voc}     # akyolo data prepare voc
tables:
  - table: 3              # or the name of a comparison
    data: voc0712         # or a data YAML; null: the embedded data set
    recipe: yolov5        # null: the recipe of the model or of the embedded data set
    settings: {epochs: 300}
    protocol: yolov5      # how detections are scored
    evaluation: {conf: 0.001, iou: 0.60, max_det: 300}
    assumed: [evaluation] # what the paper does not say
    stated: {settings: {epochs: 300}}   # what the table says where a command has overridden it
    rows:
      - row: N=5
        base: yolov5n.yaml
        swap: {op: AKConv, args: [5], where: downsample, keywords: {shape: a}}
        printed: {mAP: 48.4}
        note: in a paper
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from akyolo.resources import packaged
from akyolo.swapping import SwapRule

PAPER = packaged("cfg") / "paper" / "akconv.yaml"
COUNTS = ("params_m", "gflops")  # what a paper prints about a model, next to its metrics
TRAINING_KEYS = ("data", "recipe", "settings", "protocol", "evaluation")  # how the rows of a table are trained


@dataclass(frozen=True)
class DataSet:
    """What a specification expects of a data set.

    Args:
        name: its name in the specification.
        classes: the number of classes; None if it is not given.
        images: the number of images by split, for the splits that are given.
        prepare: the name that `akyolo data prepare` takes; None if it prepares no such data set.
    """

    name: str
    classes: int | None = None
    images: Mapping[str, int] = field(default_factory=dict)
    prepare: str | None = None


@dataclass(frozen=True)
class TableRow:
    """A model, and its printed figures.

    Args:
        row: its name, unique in the tables that are run.
        base: a model YAML.
        swap: the rule that is applied to `base`; None to train it as it is.
        printed: `params_m` in millions, `gflops` at 640 pixels, metrics in percent.
        note: what a reader of the row should know.
    """

    row: str
    base: str
    swap: SwapRule | None = None
    printed: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class TableSpec:
    """A table of models that are compared.

    Args:
        table: the number of a paper's table, or the name of a comparison.
        data: the name of the data set or a data YAML; None for the embedded data set.
        recipe: the recipe of the training; None for that of the model or of the embedded data set.
        settings: training arguments.
        protocol: how detections are scored.
        evaluation: arguments of the evaluation.
        rows: at least one.
        assumed: the parts of all this that the paper does not say.
        stated: of data, recipe, settings, protocol and evaluation, what the table says where a command overrode it.
        seeds: the seeds that each row is trained with; empty if the specification gives none.
        paper: whose figures are printed; empty for a comparison.
        data_set: what is expected of the data set that the table states; None if nothing is.
    """

    table: int | str
    data: str | None
    recipe: str | None
    settings: Mapping[str, Any]
    protocol: str
    evaluation: Mapping[str, Any]
    rows: tuple[TableRow, ...]
    assumed: tuple[str, ...] = ()
    stated: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    paper: str = ""
    data_set: DataSet | None = None

    @property
    def stated_data(self) -> str | None:
        """Return the data set that the table states.

        A command may have put another in its place.
        """
        name: str | None = self.stated.get("data", self.data)
        return name

    @property
    def unprepared(self) -> DataSet | None:
        """Return the data set still to be named.

        Such a data set is prepared by `akyolo data prepare`, and named by `data=`. None if there is none.
        """
        is_named = self.data != self.stated_data
        return None if is_named or not self.data_set or not self.data_set.prepare else self.data_set

    def runs(self) -> list["TableRun"]:
        """Return the runs in their order.

        All rows with the first seed come first, then all rows with the next. A table that is stopped half-way can then
        still be compared.

        Example:
            >>> from akyolo.experiments.spec.table_spec import TableRow, TableSpec
            >>> rows = (TableRow("plain", "yolov8n.yaml"), TableRow("other", "yolov8s.yaml"))
            >>> table = TableSpec("sizes", None, None, {"epochs": 3}, "coco", {}, rows, seeds=(0, 1))
            >>> [(run.row.row, run.seed) for run in table.runs()]
            [('plain', 0), ('other', 0), ('plain', 1), ('other', 1)]
        """
        return [TableRun(self, row, seed) for seed in self.seeds for row in self.rows]


@dataclass(frozen=True)
class TableRun:
    """A row, trained with one seed."""

    table: TableSpec
    row: TableRow
    seed: int

    def requested(self) -> dict[str, Any]:
        """Return what the table asks for.

        This is how a record keeps it under `asked`.
        """
        table = self.table
        return {
            "base": self.row.base,
            "swap": rule_as_mapping(self.row.swap) if self.row.swap else None,
            **{key: _plain(getattr(table, key)) for key in TRAINING_KEYS},
            "stated": _plain(table.stated),
        }


def rule_as_mapping(rule: SwapRule) -> dict[str, Any]:
    """Return a rule as a specification writes it."""
    return {"op": rule.op, "args": list(rule.args), "where": rule.where, "keywords": dict(rule.keywords)}


def _plain(value: Any) -> Any:
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value
