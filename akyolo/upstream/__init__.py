"""Connect akyolo to Ultralytics, called upstream.

Only this package and `upstream_blocks`, which has the classes that operators build on, import ultralytics.
`patches.TOUCHED` lists every name of upstream that akyolo changes. `RELIED_ON` lists the other names of upstream that
akyolo calls or overrides; a test fails by name at the first that a release changes.
"""

from akyolo.upstream import patches

__all__ = ["RELIED_ON", "patches"]

RELIED_ON = {
    "ultralytics.cfg": ["TASKS", "_handle_deprecation", "cfg2dict", "check_cfg", "parse_key_value_pair"],
    "ultralytics.data.base": ["BaseDataset.get_img_files"],
    "ultralytics.data.converter": ["convert_ndjson_to_yolo"],
    "ultralytics.data.dataset": ["YOLODataset.get_label_files", "load_dataset_cache_file", "save_dataset_cache_file"],
    "ultralytics.data.utils": [
        "check_det_dataset",
        "check_image",
        "exif_size",
        "get_split_fraction",
        "img2label_paths",
        "is_tarfile",
    ],
    "ultralytics.engine.exporter": ["export_formats"],
    "ultralytics.engine.trainer": [
        "BaseTrainer.__init__",
        "BaseTrainer._build_train_pipeline",
        "BaseTrainer._get_warmup_iterations",
        "BaseTrainer._setup_ddp",
        "BaseTrainer._setup_train",
        "BaseTrainer.build_optimizer",
        "BaseTrainer.build_dataset",
        "BaseTrainer.final_eval",
        "BaseTrainer.get_dataset",
        "BaseTrainer.get_model",
        "BaseTrainer.get_validator",
        "BaseTrainer.optimizer_step",
        "BaseTrainer.preprocess_batch",
        "BaseTrainer.resume_training",
        "BaseTrainer.save_model",
        "MultiTrainer.train",
    ],
    "ultralytics.engine.validator": ["AutoBackend", "check_det_dataset", "get_torch_device_backend"],
    "ultralytics.models.yolo.detect": [
        "DetectionValidator._check_max_det",
        "DetectionValidator.finalize_metrics",
        "DetectionValidator.init_metrics",
        "DetectionValidator.postprocess",
        "DetectionValidator.update_metrics",
    ],
    "ultralytics.models.yolo.model": ["YOLO.task_map", "YOLO._new", "YOLO._load", "YOLO._smart_load"],
    "ultralytics.nn.modules": ["Bottleneck", "Classify.forward", "Conv.forward_fuse", "Detect"],
    "ultralytics.nn.tasks": [
        "DetectionModel.init_criterion",
        "guess_model_task",
        "parse_model",
        "torch_safe_load",
        "yaml_model_load",
    ],
    "ultralytics.utils": [
        "DEFAULT_CFG",
        "DEFAULT_CFG_DICT",
        "LOCAL_RANK",
        "LOGGER",
        "RANK",
        "ROOT",
        "WORLD_SIZE",
        "YAML",
    ],
    "ultralytics.utils.callbacks.base": ["default_callbacks"],
    "ultralytics.utils.checks": ["AUTOINSTALL", "REMOTE_FILE_PREFIXES", "check_file", "check_yaml"],
    "ultralytics.utils.downloads": ["GITHUB_ASSETS_NAMES"],
    "ultralytics.utils.nms": ["LOGGER", "non_max_suppression"],
    "ultralytics.utils.torch_utils": [
        "select_device",
        "strip_optimizer",
        "torch_distributed_zero_first",
        "unwrap_model",
    ],
    "thop.profile": ["register_hooks"],
}

patches.install()
