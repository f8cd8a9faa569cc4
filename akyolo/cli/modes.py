"""Run the modes of Ultralytics.

For example `akyolo train MODEL key=value ...`.
"""

from pathlib import Path
from typing import Any

from akyolo import YOLO
from akyolo.cli.key_values import names_and_pairs
from akyolo.errors import ConfigError, first_line
from akyolo.scoring.score import Score, table
from akyolo.upstream.arguments.check import EXTRA, check_arguments, is_raised_by_upstream, keys_with_defaults
from akyolo.upstream.arguments.data import check_data_of_task
from akyolo.upstream.arguments.resolve import TrainingArguments
from akyolo.upstream.patches.autoinstall import never_install
from akyolo.upstream.training.distributed import is_main_process


def run(mode: str, words: list[str]) -> None:
    """Check every word, then run the mode.

    Raises:
        AkyoloError: a word or a file of the user is wrong.
    """
    if {"-h", "--help"} & set(words):
        print(_help(mode))
        return
    name, arguments = _split(mode, words)
    never_install()
    checked = check_arguments(mode, arguments).without("task")
    model = YOLO(name, task=arguments.get("task"))
    check_data_of_task(model.task, arguments.get("data"))
    try:
        result = _call(model, mode, checked)
    except ModuleNotFoundError as error:  # Upstream would install the package.
        raise ConfigError(f"{mode} needs a package that is missing: {error}", remedy="install it with pip") from error
    except Exception as error:
        if (isinstance(error, OSError) and error.filename) or not is_raised_by_upstream(error):
            raise
        raise ConfigError(f"{first_line(error)} ({type(error).__name__} in Ultralytics)") from error
    if isinstance(result, Score):
        print(f"\n{table([result])}\n\nnext: akyolo score {_short(model.detections)} --protocol all")
    elif mode == "train" and is_main_process():
        _report(model)
    elif mode == "export":
        print(f"exported to {result}")


def _call(model: YOLO, mode: str, arguments: TrainingArguments) -> Any:
    """Run a mode with checked arguments."""
    if mode in {"train", "val", "tune"}:
        return getattr(model, mode)(arguments)
    words = arguments.words
    if mode in {"predict", "track"}:
        words.setdefault("save", True)  # Upstream does so for its own command alone.
    return getattr(model, mode)(**words)


def _split(mode: str, words: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the model and the arguments.

    The model is a word of its own, or `model=MODEL`.
    """
    names, arguments = names_and_pairs(words)
    names += [str(arguments.pop("model"))] if "model" in arguments else []
    if len(names) != 1:
        models = f"{len(names)} models ({', '.join(names)})" if names else "no model"
        example = f"akyolo {mode} {'cfg/yolov8n-akconv5.yaml' if mode == 'train' else 'best.pt'} key=value ..."
        hint = ", e.g. source=photo.jpg" if len(names) > 1 else ""
        raise ConfigError(f"{models} named", remedy=f"write {example}{hint}")
    return names[0], arguments


def _report(model: YOLO) -> None:
    """Print the results and the next commands."""
    trainer = model.trainer
    best = trainer.best if trainer.best.exists() else trainer.last
    files_by_content = {
        "results": [trainer.csv, trainer.save_dir / "results.png"],
        "predictions": sorted(trainer.save_dir.glob("val_batch*_pred.jpg"))[:1],
        "weights": [best],
    }
    print()
    for content, files in files_by_content.items():
        if paths := ", ".join(_short(file) for file in files if file.exists()):
            print(f"{content:<12} {paths}")
    print("\nnext:")
    print(f"  akyolo val {_short(best)}")
    print(f"  akyolo predict {_short(best)} source=YOUR.jpg")
    print(f"  akyolo train {trainer.args.model} data=YOUR.yaml epochs=100")


def _short(path: Path) -> str:
    """Return a path relative to the current folder.

    A path outside it stays as it is.
    """
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _help(mode: str) -> str:
    """Return the help of a mode."""
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
