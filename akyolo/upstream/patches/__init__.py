"""Change names of Ultralytics, PyTorch and thop.

`TOUCHED` lists all of them. Each name is changed once, even if the code runs again, and what replaces it calls the
original.
"""

from dataclasses import dataclass

from akyolo.upstream.patches import dataset_scan, defaults, parser_seam, profiler

REPLACED = "replaced"  # by `import akyolo`
EXTENDED = "extended"  # by `import akyolo`: a collection that gets more entries and keeps its own
FOR_ONE_CALL = "for one call"  # and restored after it
ON_AN_INSTANCE = "on an instance"  # that akyolo made; the class is not changed
BY_COMMANDS = "by our commands"  # and by the workers that they start, but not by `import akyolo`


@dataclass(frozen=True)
class Touched:
    """One foreign name that akyolo changes.

    Args:
        name: dotted name, with its module.
        how: one of the constants above.
        file: file of akyolo/ that changes it.
        why: purpose of the change.
    """

    name: str
    how: str
    file: str
    why: str


SEAM, SCAN, DEFAULTS = (
    "upstream/patches/parser_seam.py",
    "upstream/patches/dataset_scan.py",
    "upstream/patches/defaults.py",
)
DISTRIBUTED, LOGS, OPENING = (
    "upstream/training/distributed.py",
    "upstream/logs.py",
    "upstream/evaluation/data_yaml.py",
)
TOUCHED = (
    Touched("ultralytics.nn.tasks.parse_model", REPLACED, SEAM, "build our rows"),
    Touched(
        "ultralytics.nn.tasks.DetectionModel.init_criterion", REPLACED, SEAM, "use the loss of the head, if it has one"
    ),
    Touched("ultralytics.data.utils.check_image", REPLACED, SCAN, "never rewrite images of the user"),
    Touched(
        "ultralytics.data.dataset.load_dataset_cache_file", REPLACED, SCAN, "no pickle, and outside of the data set"
    ),
    Touched(
        "ultralytics.data.dataset.save_dataset_cache_file", REPLACED, SCAN, "no pickle, and outside of the data set"
    ),
    Touched(
        "ultralytics.data.converter.convert_ndjson_to_yolo",
        REPLACED,
        SCAN,
        "refuse a program in the data YAML that it writes",
    ),
    Touched("ultralytics.utils.DEFAULT_CFG_DICT", EXTENDED, DEFAULTS, "add our training arguments"),
    Touched("ultralytics.utils.DEFAULT_CFG", EXTENDED, DEFAULTS, "add our training arguments"),
    Touched(
        "ultralytics.utils.callbacks.base.default_callbacks",
        EXTENDED,
        DEFAULTS,
        "refuse trainers that ignore our arguments, warn if one ignores the recipe of a model",
    ),
    Touched(
        "torch.serialization.add_safe_globals", EXTENDED, "registry.py", "add our classes, for weights-only loading"
    ),
    Touched(
        "thop.profile.register_hooks",
        EXTENDED,
        "upstream/patches/profiler.py",
        "`model.info()` counts our layers",
    ),
    Touched(
        "ultralytics.engine.trainer.MultiTrainer",
        FOR_ONE_CALL,
        "upstream/training/tuning.py",
        "`tune` uses our trainers, in this process",
    ),
    Touched(
        "ultralytics.utils.nms.LOGGER",
        FOR_ONE_CALL,
        "upstream/evaluation/validator.py",
        "an NMS that runs out of time is an error, not a warning",
    ),
    Touched("ultralytics.data.utils.is_tarfile", FOR_ONE_CALL, OPENING, "a data YAML is not opened as an archive"),
    Touched(
        "ultralytics.engine.validator.check_det_dataset",
        FOR_ONE_CALL,
        OPENING,
        "it gets the content that is already read",
    ),
    Touched("torch.nn.parallel.DistributedDataParallel", FOR_ONE_CALL, DISTRIBUTED, "workers on CPU"),
    Touched("ultralytics.engine.validator.AutoBackend", FOR_ONE_CALL, DISTRIBUTED, "workers on CPU"),
    Touched("ultralytics.engine.validator.get_torch_device_backend", FOR_ONE_CALL, DISTRIBUTED, "workers on CPU"),
    Touched("ultralytics.utils.LOGGER.disabled", FOR_ONE_CALL, LOGS, "suppress messages that do not help the user"),
    Touched("ultralytics.utils.LOGGER.filters", FOR_ONE_CALL, SEAM, "the layer table shows our modules"),
    Touched(
        "ultralytics.models.yolo.detect.DetectionValidator._check_max_det",
        ON_AN_INSTANCE,
        "upstream/training/trainer.py",
        "the validator of a training keeps the max_det of the user",
    ),
    Touched(
        "ultralytics.utils.checks.AUTOINSTALL",
        BY_COMMANDS,
        "upstream/patches/autoinstall.py",
        "install nothing without a command of the user",
    ),
)


def install() -> None:
    """Make the lasting changes, unless they are made."""
    parser_seam.install()
    defaults.install()
    dataset_scan.install()
    profiler.install()
