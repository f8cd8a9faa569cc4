"""Upstream's modes: `akyolo train MODEL key=value ...`."""

from pathlib import Path
from typing import Any

from akyolo import YOLO
from akyolo.cli.key_values import names_and_pairs
from akyolo.errors import ConfigError, DatasetError, did_you_mean, first_line
from akyolo.scoring.score import Score, table
from akyolo.upstream.arguments.check import EXTRA, check_arguments, keys_with_defaults, refused_by_upstream
from akyolo.upstream.patches.autoinstall import never_install
from akyolo.upstream.training.distributed import is_main_process


def run(mode: str, words: list[str]) -> None:
    """Check every word, then build the model and run the mode.

    Raises:
        AkyoloError: whatever is wrong with what the user wrote.
    """
    if {"-h", "--help"} & set(words):
        print(_help(mode))
        return
    name, arguments = _split(mode, words)
    never_install()
    check_arguments(mode, arguments)
    if mode in {"predict", "track"}:
        arguments.setdefault("save", True)  # upstream does so for its own command alone
    model = YOLO(name, task=arguments.pop("task", None))
    check_kind_of_data(model.task, arguments.get("data"))
    try:
        result = getattr(model, mode)(**arguments)
    except ModuleNotFoundError as error:  # upstream would have installed it
        raise ConfigError(f"{mode} needs a package that is missing: {error}", remedy="install it with pip") from error
    except Exception as error:
        if (isinstance(error, OSError) and error.filename) or not refused_by_upstream(error):
            raise
        raise ConfigError(f"{first_line(error)} ({type(error).__name__} in Ultralytics)") from error
    if isinstance(result, Score):
        print(f"\n{table([result])}\n\nnext: akyolo score {_short(model.detections)} --protocol all")
    elif mode == "train" and is_main_process():
        _report(model)
    elif mode == "export":
        print(f"exported to {result}")


def check_kind_of_data(task: str, data: Any) -> None:
    """A classifier takes a folder of folders, every other task a YAML.

    Raises:
        DatasetError: it is something else.
    """
    if isinstance(data, str) and task != "classify" and Path(data).suffix not in {".yaml", ".yml", ".ndjson"}:
        near = [str(path) for path in Path(data if Path(data).is_dir() else Path(data).parent).glob("*.yaml")]
        raise DatasetError(
            f"data={data} is no data YAML",
            remedy=did_you_mean(data, near) if near else "`akyolo data import` makes one",
        )


def _split(mode: str, words: list[str]) -> tuple[str, dict[str, Any]]:
    """MODEL key=value ..., or model=MODEL among the pairs."""
    names, arguments = names_and_pairs(words)
    names += [str(arguments.pop("model"))] if "model" in arguments else []
    if len(names) != 1:
        found = f"{len(names)} models ({', '.join(names)})" if names else "no model"
        example = f"akyolo {mode} {'cfg/yolov8n-akconv5.yaml' if mode == 'train' else 'best.pt'} key=value ..."
        hint = ", e.g. source=photo.jpg" if len(names) > 1 else ""
        raise ConfigError(f"{found} named", remedy=f"write {example}{hint}")
    return names[0], arguments


def _report(model: YOLO) -> None:
    """Where the results are, and what to do next."""
    trainer = model.trainer
    best = trainer.best if trainer.best.exists() else trainer.last
    found = {
        "results": [trainer.csv, trainer.save_dir / "results.png"],
        "predictions": sorted(trainer.save_dir.glob("val_batch*_pred.jpg"))[:1],
        "weights": [best],
    }
    print()
    for name, files in found.items():
        if there := ", ".join(_short(file) for file in files if file.exists()):
            print(f"{name:<12} {there}")
    print("\nnext:")
    print(f"  akyolo val {_short(best)}")
    print(f"  akyolo predict {_short(best)} source=YOUR.jpg")
    print(f"  akyolo train {trainer.args.model} data=YOUR.yaml epochs=100")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _help(mode: str) -> str:
    lines = [
        f"akyolo {mode} MODEL key=value ...",
        "",
        "MODEL: a model YAML (cfg/yolov8n-akconv5.yaml, any scale letter), weights (best.pt), or an export.",
        "Results go to ./runs/<task>/<name>. Every argument of Ultralytics, with its default:",
        "",
        *(f"  {key}={'' if default is None else default}" for key, default in keys_with_defaults().items()),
        *(f"  {key}=" for key in sorted(EXTRA.get(mode, ()))),
    ]
    return "\n".join(lines)
