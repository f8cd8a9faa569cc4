"""Define `akyolo.YOLO`.

It is the YOLO class of Ultralytics with our trainers, our model names, and results in the current folder.
"""

from pathlib import Path
from typing import Any

from ultralytics import YOLO as UpstreamYOLO
from ultralytics.nn.tasks import DetectionModel, guess_model_task
from ultralytics.utils import DEFAULT_CFG_DICT, LOGGER

from akyolo.errors import ConfigError
from akyolo.scoring.protocols import score
from akyolo.upstream.arguments.data import RECIPE, embedded_data, is_embedded, resolve_data
from akyolo.upstream.arguments.packages import check_opset, check_packages
from akyolo.upstream.arguments.resolve import FIXED, TrainingArguments
from akyolo.upstream.arguments.used_by import check_augment, check_used_by, has_anchors
from akyolo.upstream.build import build_network
from akyolo.upstream.evaluation import validator
from akyolo.upstream.evaluation.data_yaml import handed_to_upstream, open_data
from akyolo.upstream.evaluation.score_file import check_scoring, match_ground_truth
from akyolo.upstream.model_yaml import read_model_yaml
from akyolo.upstream.patches.dataset_scan import refusing_bad_data
from akyolo.upstream.training.distributed import is_only_process
from akyolo.upstream.training.trainer import TRAINERS, hand_over
from akyolo.upstream.training.tuning import ANCHOR_SPACE, tuning_here
from akyolo.upstream.weights.checkpoint import check_classes, check_loadable, check_resumable
from akyolo.upstream.weights.warm_start import finish_loading


class YOLO(UpstreamYOLO):
    """A model, named by a YAML or weights.

    Args:
        model: a model YAML (`cfg/yolov8s-akconv5.yaml` finds the file that holds the scales), weights, or an export.
        task: as Ultralytics; guessed when left out.
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
        """Return the classes of each task.

        Our trainers and validators take the place of those of Ultralytics.
        """
        ours = TRAINERS | validator.VALIDATORS
        return {
            task: {role: ours.get(upstream, upstream) for role, upstream in classes.items()}
            for task, classes in super().task_map.items()
        }

    def _new(self, cfg: str, task: str | None = None, verbose: bool = False) -> None:
        """Build the network of a model YAML."""
        model_yaml = read_model_yaml(cfg)
        self.cfg = self.model_name = cfg
        self.task = task or guess_model_task(model_yaml)
        # Without a head that tells the task, building a detector raises an error that names the wrong row.
        network = self._smart_load("model") if self.task else DetectionModel
        self.model = build_network(network, model_yaml, verbose and is_only_process())
        if has_anchors(self.model) and self.task != "detect":
            raise ConfigError(f"task={task} does not fit {type(self.model.model[-1]).__name__}, which detects")
        self.overrides |= {"model": cfg, "task": self.task}
        self.model.args = {**DEFAULT_CFG_DICT, **self.overrides}
        self.model.task = self.task

    def _load(self, weights: str, task: str | None = None) -> None:
        """Load weights that can be read safely."""
        check_loadable(weights)
        super()._load(weights, task)

    def load(self, weights: Any = "yolo26n.pt") -> "YOLO":
        """Load weights into this model.

        A line of the log names the rows that no weights fit.
        """
        if isinstance(weights, str | Path):
            check_loadable(weights)
        super().load(weights)
        finish_loading(self.model, weights)
        return self

    def train(self, resolved: TrainingArguments | None = None, /, trainer: Any = None, **words: Any) -> Any:
        """Train as Ultralytics, with results in ./runs.

        Without `data`, a detector trains on the embedded data set.

        Args:
            resolved: the arguments, if the caller has read and checked them; then there are no `words`.
            trainer: the trainer class, as Ultralytics.
            words: the arguments of Ultralytics and of akyolo; arguments/resolve.py says which override which.

        Raises:
            CheckpointError: `resume` on weights that hold no unfinished training.
            ConfigError: a recipe, or an argument of akyolo, that cannot be used.
        """
        self._check_is_pytorch_model()
        arguments = resolved or TrainingArguments.read(words)
        resume = arguments.stated.get("resume")
        if resume is True:
            check_resumable(self.ckpt, self.ckpt_path or self.cfg)
        if not resume:  # A resumed training keeps the arguments of its checkpoint.
            arguments = self._resolve(arguments)
        # Without a trainer, Ultralytics would train on a list of data sets in another process, which does not know our
        # trainers.
        make_trainer = hand_over(trainer or self._smart_load("trainer"), arguments)
        return super().train(trainer=make_trainer, **arguments.overrides)

    def val(self, resolved: TrainingArguments | None = None, /, **words: Any) -> Any:
        """Validate as Ultralytics, with results in ./runs.

        Without `data`, the model is validated on the data set that its weights were trained on. With `protocol`, a name
        of `akyolo.scoring.protocols`, the detections stay in the results folder as `detections.npz`
        (`self.detections`), and their `Score` is returned, not the metrics of Ultralytics.

        Args:
            resolved: the arguments, if the caller has read and checked them; then there are no `words`.
            words: the arguments of Ultralytics and of akyolo.

        Raises:
            CheckpointError: the data set has another number of classes.
            ConfigError: `augment` with a head that Ultralytics cannot augment for, or an unknown protocol.
            EvaluationError: Ultralytics' NMS ran out of time.
        """
        stated = (resolved or TrainingArguments.read(words)).stated
        arguments = resolved.words if resolved else words
        protocol = arguments.pop("protocol", None)
        if protocol:
            check_scoring(self.task, protocol)
        arguments = self._with_data(arguments)
        check_augment(self.model, arguments.get("augment"))
        written = {**self.overrides, **stated, **arguments}
        # The data set that a `cfg=` file names is checked too.
        data = open_data(written.get("data"), written.get("split") or "val", self.task, download=True)
        if data.content and not written.get("single_cls"):
            check_classes(self.model, self.model_name, data.name, data.content["nc"])
        arguments = {**self._in_runs({**arguments, "data": None}), "data": data.name}
        with refusing_bad_data(bool(written.get("allow_bad"))), handed_to_upstream(data):
            if not protocol:
                return super().val(**arguments)
            done = validator.validate_and_store(super().val, arguments)
        self.detections = done.file
        ground_truth = match_ground_truth(done.detections, done.ground_truth, str(data.name))
        return score(protocol, done.detections, ground_truth)

    def predict(self, source: Any = None, stream: bool = False, **arguments: Any) -> Any:
        """Predict as Ultralytics, with results in ./runs.

        Raises:
            ConfigError: `augment` with an anchor head, for which Ultralytics cannot augment.
        """
        check_augment(self.model, arguments.get("augment"))
        return super().predict(source, stream, **self._in_runs(arguments))

    def track(self, source: Any = None, stream: bool = False, persist: bool = False, **arguments: Any) -> Any:
        """Track as Ultralytics, with results in ./runs.

        Raises:
            ConfigError: the package that matches boxes to tracks is missing.
        """
        check_packages("track")
        return super().track(source, stream, persist, **arguments)

    def export(self, **arguments: Any) -> Any:
        """Export as Ultralytics.

        Raises:
            ConfigError: a package that the format needs is missing, or the opset cannot express our operators.
        """
        self._check_is_pytorch_model()
        target = str(arguments.get("format", "torchscript")).lower()
        check_packages(target)
        check_opset(self.model, target, arguments.get("opset"))
        return super().export(**resolve_data(arguments, self.task))  # `data` names the images for calibration.

    def tune(self, resolved: TrainingArguments | None = None, /, **words: Any) -> Any:
        """Search training arguments by our trainers.

        Results are in ./runs.

        Without `data`, a detector trains on the embedded data set.

        Args:
            resolved: the arguments, if the caller has read and checked them; then there are no `words`.
            words: the arguments of `train`, and `space`, `iterations` and `use_ray`.

        Raises:
            TrainingError: no training of the search finished.
        """
        arguments = resolved or TrainingArguments.read(words)
        with_ray = arguments.words.get("use_ray")
        if with_ray:
            check_packages("ray")
        self._check_is_pytorch_model()
        # The tuner of Ultralytics does not read the file of `cfg=`: it gets the values.
        values = self._resolve(arguments).without(*FIXED).values
        if has_anchors(self.model) and not with_ray and not values.get("space"):
            values["space"] = ANCHOR_SPACE
        with tuning_here(self._smart_load("trainer")):
            return super().tune(**values)

    def benchmark(self, data: Any = None, **arguments: Any) -> Any:
        """Benchmark exports as Ultralytics.

        Without `data`, they are measured on the data set of `val`.
        """
        return super().benchmark(**resolve_data(self._with_data({**arguments, "data": data}), self.task))

    def _with_data(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Add the default of `data`.

        That is the data set on which the weights were trained, or else, for a detector, the embedded set.
        """
        if arguments.get("data") or arguments.get("cfg"):
            return arguments
        if self.ckpt and self.overrides.get("data"):
            return {**arguments, "data": self.overrides["data"]}
        return {**arguments, "data": embedded_data()} if self.task == "detect" else arguments

    def _resolve(self, arguments: TrainingArguments) -> TrainingArguments:
        """Add recipes, data set and results folder."""
        stated = arguments.stated
        check_used_by(self.model, stated)
        data = stated.get("data") or self._with_data(stated).get("data")
        data_recipe = None
        if not stated.get("data") and is_embedded(data):
            LOGGER.info("akyolo: no data= given, so this trains on the embedded set of shapes")
            data_recipe = None if stated.get("recipe") else RECIPE
        recorded = self.overrides if self.ckpt and not stated.get("cfg") else {}
        checkpoint = {key: value for key, value in recorded.items() if key not in FIXED}
        resolved = arguments.for_model(self.model, data_recipe, checkpoint)
        places = self._in_runs({"data": data, "project": arguments.words.get("project")})
        return resolved.with_values(**{key: value for key, value in places.items() if value is not None})

    def _in_runs(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Put results in ./runs/<task>[/<project>]/<name>.

        The settings of Ultralytics may name another folder.
        """
        arguments = resolve_data(arguments, self.task)
        return {**arguments, "project": str(Path.cwd() / "runs" / str(self.task) / (arguments.get("project") or ""))}
