"""`akyolo.YOLO`: upstream's YOLO with our trainers, our names, and results in the current folder."""

from pathlib import Path
from typing import Any

from ultralytics import YOLO as UpstreamYOLO
from ultralytics.nn.tasks import DetectionModel, guess_model_task
from ultralytics.utils import DEFAULT_CFG_DICT, LOGGER, YAML

from akyolo.errors import ConfigError
from akyolo.scoring.detections import FILE
from akyolo.upstream.arguments.data import RECIPE, check_runs_nothing, embedded_data, is_embedded, resolve_data
from akyolo.upstream.arguments.hyperparameters import check_hyperparameters
from akyolo.upstream.arguments.packages import check_opset, check_packages
from akyolo.upstream.arguments.recipes import joined, with_recipe
from akyolo.upstream.arguments.used_by import check_augment, check_used_by, has_anchors
from akyolo.upstream.build import built
from akyolo.upstream.evaluation import validator
from akyolo.upstream.evaluation.score_file import check_scoring, score_file
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.patches.dataset_scan import refusing_bad_data
from akyolo.upstream.training import trainer
from akyolo.upstream.training.distributed import is_only_process
from akyolo.upstream.training.tuning import ANCHOR_SPACE, tuning_here
from akyolo.upstream.weights.checkpoint import WEIGHT_ARGUMENTS, check_classes, check_loadable, check_resumable
from akyolo.upstream.weights.warm_start import finish_loading


def _written(arguments: dict[str, Any]) -> dict[str, Any]:
    """All that the user wrote, in a `cfg=` file too."""
    return {**(YAML.load(arguments["cfg"]) if arguments.get("cfg") else {}), **arguments}


class YOLO(UpstreamYOLO):
    """A model by the name of a YAML or of weights.

    Args:
        model: a model YAML (`cfg/yolov8s-akconv5.yaml` finds the file that holds the scales), weights, or an export.
        task: as upstream; guessed when left out.
        verbose: print the layer table.

    Raises:
        RowError: a model YAML that cannot be built.
        CheckpointError: weights that cannot be read safely.

    Example:
        >>> import akyolo
        >>> model = akyolo.YOLO("cfg/yolov8n-akconv5.yaml", verbose=False)
        >>> type(model.model.model[1]).__name__
        'AKConv'
    """

    detections: Path  # of the last evaluation under a protocol

    @property
    def task_map(self) -> dict[str, dict[str, Any]]:
        """Upstream's classes with our trainers and validators in the place of its own."""
        ours = trainer.TRAINERS | validator.VALIDATORS
        return {
            task: {role: ours.get(kind, kind) for role, kind in classes.items()}
            for task, classes in super().task_map.items()
        }

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        model_yaml = read_model_yaml(cfg)
        self.cfg = self.model_name = cfg
        self.task = task or guess_model_task(model_yaml)
        # without a head that says what the task is, building a detector says what is wrong with the rows
        network = self._smart_load("model") if self.task else DetectionModel
        self.model = built(network, model_yaml, verbose and is_only_process())
        if has_anchors(self.model) and self.task != "detect":
            raise ConfigError(f"task={task} is not what {type(self.model.model[-1]).__name__} does: it detects")
        self.overrides |= {"model": cfg, "task": self.task}
        self.model.args = {**DEFAULT_CFG_DICT, **self.overrides}
        self.model.task = self.task

    def _load(self, weights: str, task: str | None = None) -> None:
        check_loadable(weights)
        super()._load(weights, task)

    def load(self, weights: Any = "yolo26n.pt") -> "YOLO":
        """As upstream; the rows that found no weights are named."""
        if isinstance(weights, str | Path):
            check_loadable(weights)
        super().load(weights)
        finish_loading(self.model, weights)
        return self

    def train(self, **arguments: Any) -> Any:
        """As upstream, into ./runs; without `data`, a detector trains on the embedded set.

        For `recipe` see arguments/recipes.py.

        Raises:
            CheckpointError: `resume` on what holds no unfinished training.
            ConfigError: a recipe, or an argument of ours, that cannot be used.
        """
        self._check_is_pytorch_model()
        written = _written(arguments)
        for key in WEIGHT_ARGUMENTS:
            if isinstance(written.get(key), str | Path):
                check_loadable(written[key])
        if written.get("resume") is True:
            check_resumable(self.ckpt, self.ckpt_path or self.cfg)
        if not written.get("resume"):  # which goes on where it was, in every sense
            arguments = self._in_runs(self._with_recipe(arguments, written))
        # named, so that a training on a list of data sets does not leave this process and forget our trainers
        trainer = arguments.pop("trainer", None) or self._smart_load("trainer")
        return super().train(trainer=trainer, **arguments)

    def val(self, **arguments: Any) -> Any:
        """As upstream, into ./runs; without `data`, on the images that the weights were trained on.

        With `protocol`, a name of `akyolo.scoring.protocols`, the detections stay in the results folder as
        `detections.npz` (`self.detections`), and what is returned is their `Score`, not upstream's metrics.

        Raises:
            CheckpointError: the data set has another number of classes.
            ConfigError: `augment` with a head that upstream cannot augment for, or an unknown protocol.
            EvaluationError: upstream's NMS ran out of time.
        """
        protocol = arguments.pop("protocol", None)
        if protocol:
            check_scoring(self.task, protocol)
        arguments = self._in_runs(self._with_data(arguments))
        check_augment(self.model, arguments.get("augment"))
        written = {**self.overrides, **_written(arguments)}
        check_runs_nothing(written.get("data"), self.task)  # also what a cfg= file names
        if not written.get("single_cls"):
            check_classes(self.model, self.model_name, written.get("data"))
        with refusing_bad_data(bool(written.get("allow_bad"))):
            if not protocol:
                return super().val(**arguments)
            metrics = super().val(validator=validator.StoringValidator, **arguments)
        self.detections = Path(metrics.save_dir) / FILE
        return score_file(self.detections, [protocol])[0]

    def predict(self, source: Any = None, stream: bool = False, **arguments: Any) -> Any:
        """As upstream, into ./runs.

        Raises:
            ConfigError: `augment` with a head that upstream cannot augment for.
        """
        check_augment(self.model, arguments.get("augment"))
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
        target = str(arguments.get("format", "torchscript")).lower()
        check_packages(target)
        check_opset(self.model, target, arguments.get("opset"))
        return super().export(**resolve_data(arguments, self.task))  # data: images to calibrate on

    def tune(self, **arguments: Any) -> Any:
        """As upstream, by our trainers, into ./runs; without `data` as `train`.

        Raises:
            TrainingError: no training of the search came to an end.
        """
        if arguments.get("use_ray"):
            check_packages("ray")
        self._check_is_pytorch_model()
        if has_anchors(self.model) and not arguments.get("use_ray") and not arguments.get("space"):
            arguments = {**arguments, "space": ANCHOR_SPACE}
        with tuning_here(self._smart_load("trainer")):
            return super().tune(**self._in_runs(self._with_recipe(arguments, arguments)))

    def benchmark(self, data: Any = None, **arguments: Any) -> Any:
        """As upstream; without `data` as `val`."""
        return super().benchmark(**resolve_data(self._with_data({**arguments, "data": data}), self.task))

    def _with_data(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Where the user names no data: what the weights were trained on, else, for a detector, the embedded set."""
        if arguments.get("data") or arguments.get("cfg"):
            return arguments
        if self.ckpt and self.overrides.get("data"):
            return {**arguments, "data": self.overrides["data"]}
        return {**arguments, "data": embedded_data()} if self.task == "detect" else arguments

    def _with_recipe(self, arguments: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
        """Data and recipe of a training; `written` also has what stands in a `cfg=` file."""
        check_hyperparameters(written)
        check_used_by(self.model, written)
        arguments = arguments if written.get("data") else self._with_data(arguments)
        of_data = None
        if not written.get("data") and is_embedded(arguments.get("data")):
            LOGGER.info("akyolo: no data= given, so this trains on the embedded set of shapes")
            of_data = None if written.get("recipe") else RECIPE
        recipe = joined(self.model.yaml.get("recipe"), of_data, written.get("recipe"))
        return with_recipe(arguments, recipe, written, self.model)

    def _in_runs(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Results lie in ./runs/<task>[/<project>]/<name>, not where the settings of Ultralytics point."""
        arguments = resolve_data(arguments, self.task)
        return {**arguments, "project": str(Path.cwd() / "runs" / str(self.task) / (arguments.get("project") or ""))}
