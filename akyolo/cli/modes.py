"""Upstream's modes: `akyolo train MODEL key=value ...`."""

from pathlib import Path
from typing import Any

from akyolo import YOLO
from akyolo.errors import ConfigError
from akyolo.upstream.arguments import check_arguments, keys_with_defaults, read_value
from akyolo.upstream.distributed import is_main_process
from akyolo.upstream.optional import never_install


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
    model = YOLO(name, task=arguments.pop("task", None), verbose=mode == "train")
    result = getattr(model, mode)(**arguments)
    if mode == "train" and is_main_process():
        _report(model)
    elif mode == "export":
        print(f"exported to {result}")


def _split(mode: str, words: list[str]) -> tuple[str, dict[str, Any]]:
    """MODEL key=value ..., or model=MODEL among the pairs."""
    arguments: dict[str, Any] = {}
    names = []
    for word in words:
        key, is_pair, value = word.partition("=")
        if word.startswith("-"):
            raise ConfigError(f"{word!r} is no key=value", remedy=f"write {word.lstrip('-').partition('=')[0]}=VALUE")
        if not is_pair:
            names.append(word)
        elif not key or not value:
            raise ConfigError(f"{word!r} needs a key and a value", remedy="write key=value, without spaces")
        else:
            arguments[key] = read_value(key, value)
    names += [str(arguments.pop("model"))] if "model" in arguments else []
    if len(names) != 1:
        found = f"{len(names)} models ({', '.join(names)})" if names else "no model"
        example = f"akyolo {mode} {'cfg/yolov8n-akconv5.yaml' if mode == 'train' else 'best.pt'} key=value ..."
        raise ConfigError(f"{found} named", remedy=f"write {example}")
    return names[0], arguments


def _report(model: YOLO) -> None:
    """Where the results are, and what to do next."""
    trainer = model.trainer
    folder = _short(trainer.save_dir)
    best = f"{folder}/weights/best.pt"
    pictures = sorted(trainer.save_dir.glob("val_batch*_pred.jpg"))
    print(f"\nresults      {folder}/results.csv, results.png")
    if pictures:
        print(f"predictions  {_short(pictures[0])}")
    print(f"weights      {best}\n\nnext:")
    print(f"  akyolo val {best}")
    print(f"  akyolo predict {best} source=YOUR.jpg")
    print(f"  akyolo train {model.trainer.args.model} data=YOUR.yaml epochs=100")


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
    ]
    return "\n".join(lines)
