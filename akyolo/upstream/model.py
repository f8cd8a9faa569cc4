"""`akyolo.YOLO`: upstream's YOLO with our trainers, our names, and results in the current folder."""

from pathlib import Path
from typing import Any

from ultralytics import YOLO as UpstreamYOLO
from ultralytics.nn.tasks import guess_model_task
from ultralytics.utils import DEFAULT_CFG_DICT, RANK

from akyolo.upstream import trainer
from akyolo.upstream.checkpoint import check_loadable, check_resumable, reset_what_did_not_transfer
from akyolo.upstream.embedded import embedded_training, resolve_data
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.optional import check_opset, check_packages


class YOLO(UpstreamYOLO):
    """A model by the name of a YAML or of weights.

    Args:
        model: a model YAML (`cfg/yolov8s-akconv5.yaml` finds the file that holds the scales), weights, or an export.
        task: as upstream; guessed when left out.
        verbose: print the layer table.

    Raises:
        RowError: a model YAML that cannot be built.
        CheckpointError: weights that cannot be read safely.
    """

    @property
    def task_map(self) -> dict[str, dict[str, Any]]:
        """Upstream's classes with our trainers in the place of its own."""
        return {
            task: {**classes, "trainer": trainer.TRAINERS.get(classes["trainer"], classes["trainer"])}
            for task, classes in super().task_map.items()
        }

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        model_yaml = read_model_yaml(cfg)
        self.cfg = self.model_name = cfg
        self.task = task or guess_model_task(model_yaml)
        self.model = self._smart_load("model")(model_yaml, verbose=verbose and RANK == -1)
        self.overrides |= {"model": cfg, "task": self.task}
        self.model.args = {**DEFAULT_CFG_DICT, **self.overrides}
        self.model.task = self.task

    def _load(self, weights: str, task: str | None = None) -> None:
        check_loadable(weights)
        super()._load(weights, task)

    def load(self, weights: Any = "yolo26n.pt") -> "YOLO":
        """As upstream; what did not fit is named, and its normalisation starts afresh."""
        if isinstance(weights, str | Path):
            check_loadable(weights)
        super().load(weights)
        reset_what_did_not_transfer(self.model, weights)
        return self

    def train(self, **arguments: Any) -> Any:
        """As upstream, into ./runs; without `data`, a detector trains on the embedded set with its own recipe.

        Raises:
            CheckpointError: `resume` on what holds no unfinished training.
        """
        if isinstance(arguments.get("resume"), str | Path):
            check_loadable(arguments["resume"])
        elif arguments.get("resume"):
            check_resumable(self.ckpt, self.ckpt_path or self.cfg)
        if self.task == "detect" and not {"data", "resume", "cfg"} & set(arguments):
            arguments = embedded_training(arguments)
        # named, so that a training on a list of data sets does not leave this process and forget our trainers
        trainer = arguments.pop("trainer", None) or self._smart_load("trainer")
        return super().train(trainer=trainer, **self._in_runs(arguments))

    def val(self, **arguments: Any) -> Any:
        """As upstream, into ./runs."""
        return super().val(**self._in_runs(arguments))

    def predict(self, source: Any = None, stream: bool = False, **arguments: Any) -> Any:
        """As upstream, into ./runs."""
        return super().predict(source, stream, **self._in_runs(arguments))

    def track(self, source: Any = None, stream: bool = False, persist: bool = False, **arguments: Any) -> Any:
        """As upstream, into ./runs.

        Raises:
            ConfigError: the package that matches boxes to tracks is missing.
        """
        check_packages("track")
        return super().track(source, stream, persist, **arguments)

    def export(self, **arguments: Any) -> Any:
        """As upstream.

        Raises:
            ConfigError: a package the format needs is missing, or an opset that cannot express our operators.
        """
        self._check_is_pytorch_model()
        check_packages(str(arguments.get("format", "torchscript")))
        check_opset(self.model, arguments.get("opset"))
        return super().export(**arguments)

    def tune(self, **arguments: Any) -> Any:
        """As upstream, into ./runs."""
        return super().tune(**self._in_runs(arguments))

    def _in_runs(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Results lie in ./runs/<task>[/<project>]/<name>, not where the settings of Ultralytics point."""
        arguments = resolve_data(arguments)
        return {**arguments, "project": str(Path.cwd() / "runs" / str(self.task) / (arguments.get("project") or ""))}
