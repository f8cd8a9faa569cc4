"""Change names of Ultralytics and PyTorch, each of which `TOUCHED` lists.

Each is changed once, by code that may run again, and delegates to the original.
"""

from dataclasses import dataclass

from akyolo.upstream.patches import dataset_scan, defaults, parser_seam

REPLACED = "replaced"  # by `import akyolo`
EXTENDED = "extended"  # by `import akyolo`: a collection that gets more entries, and loses none
FOR_ONE_CALL = "for one call"  # and given back after it
ON_AN_INSTANCE = "on an instance"  # of ours; the class stays as it is
BY_COMMANDS = "by our commands"  # and by the workers that they start, not by `import akyolo`


@dataclass(frozen=True)
class Touched:
    """One foreign name that akyolo changes.

    Args:
        name: dotted, with its module.
        how: one of the ways above.
        file: ours that does it, below akyolo/.
        why: what it is for.
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
    Touched("ultralytics.nn.tasks.parse_model", REPLACED, SEAM, "lower our rows, call the original, fill them in"),
    Touched("ultralytics.nn.tasks.DetectionModel.init_criterion", REPLACED, SEAM, "ask the head for its loss first"),
    Touched("ultralytics.data.utils.check_image", REPLACED, SCAN, "source images are never rewritten"),
    Touched("ultralytics.data.dataset.load_dataset_cache_file", REPLACED, SCAN, "no pickle, and outside the data"),
    Touched("ultralytics.data.dataset.save_dataset_cache_file", REPLACED, SCAN, "no pickle, and outside the data"),
    Touched("ultralytics.data.converter.convert_ndjson_to_yolo", REPLACED, SCAN, "the data YAML it makes runs nothing"),
    Touched("ultralytics.utils.DEFAULT_CFG_DICT", EXTENDED, DEFAULTS, "our training arguments"),
    Touched("ultralytics.utils.DEFAULT_CFG", EXTENDED, DEFAULTS, "our training arguments"),
    Touched(
        "ultralytics.utils.callbacks.base.default_callbacks",
        EXTENDED,
        DEFAULTS,
        "refuse trainers that ignore our arguments, warn where one ignores the recipe of a model",
    ),
    Touched("torch.serialization.add_safe_globals", EXTENDED, "registry.py", "our classes, for weights-only loading"),
    Touched(
        "ultralytics.engine.trainer.MultiTrainer",
        FOR_ONE_CALL,
        "upstream/training/tuning.py",
        "`tune` trains by our trainers, in this process",
    ),
    Touched(
        "ultralytics.utils.nms.LOGGER",
        FOR_ONE_CALL,
        "upstream/evaluation/validator.py",
        "an NMS that gives up is an error, not a warning",
    ),
    Touched("ultralytics.data.utils.is_tarfile", FOR_ONE_CALL, OPENING, "a data YAML is not opened as an archive"),
    Touched("ultralytics.engine.validator.check_det_dataset", FOR_ONE_CALL, OPENING, "it gets what is already read"),
    Touched("torch.nn.parallel.DistributedDataParallel", FOR_ONE_CALL, DISTRIBUTED, "workers on CPU"),
    Touched("ultralytics.engine.validator.AutoBackend", FOR_ONE_CALL, DISTRIBUTED, "workers on CPU"),
    Touched("ultralytics.engine.validator.get_torch_device_backend", FOR_ONE_CALL, DISTRIBUTED, "workers on CPU"),
    Touched("ultralytics.utils.LOGGER.disabled", FOR_ONE_CALL, LOGS, "messages that would say too much"),
    Touched("ultralytics.utils.LOGGER.filters", FOR_ONE_CALL, SEAM, "the layer table shows our modules"),
    Touched(
        "ultralytics.models.yolo.detect.DetectionValidator._check_max_det",
        ON_AN_INSTANCE,
        "upstream/training/trainer.py",
        "the validator of a training leaves max_det as the user gave it",
    ),
    Touched(
        "ultralytics.utils.checks.AUTOINSTALL",
        BY_COMMANDS,
        "upstream/patches/autoinstall.py",
        "nothing is installed without the user's command",
    ),
)


def install() -> None:
    """Put everything in place that lasts; doing it twice changes nothing."""
    parser_seam.install()
    defaults.install()
    dataset_scan.install()
