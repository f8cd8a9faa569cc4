"""Resolve training arguments, each with its source.

Settings are merged in this order; later ones override earlier ones: the defaults of Ultralytics; what the checkpoint
records; the recipe of the model (`recipe:` in its YAML); the recipe of the embedded data set, if the user names neither
data nor recipe; the recipes that the user names (`recipe=`); the user's file of arguments (`cfg=`); the user's words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from torch import nn
from ultralytics.utils import DEFAULT_CFG_DICT, LOGGER, YAML
from ultralytics.utils.checks import check_yaml

from akyolo.errors import ConfigError, first_line
from akyolo.upstream.arguments.hyperparameters import ANCHOR_HEAD_ARGUMENTS, check_hyperparameters
from akyolo.upstream.arguments.recipes import join_recipes, read_recipe, recipe_names
from akyolo.upstream.arguments.used_by import has_anchors, offset_parameters
from akyolo.upstream.weights.checkpoint import WEIGHT_ARGUMENTS, check_loadable

# The trained model, its task and the mode: no file of arguments changes them.
FIXED = ("model", "task", "mode")


class Source(StrEnum):
    """Who states a training argument.

    Later sources override earlier ones.
    """

    DEFAULT = "default"
    CHECKPOINT = "checkpoint"
    MODEL_RECIPE = "model recipe"
    DATA_RECIPE = "data recipe"
    RECIPE = "recipe"
    CFG_FILE = "cfg file"
    USER = "user"


RECIPES = (Source.MODEL_RECIPE, Source.DATA_RECIPE, Source.RECIPE)


@dataclass(frozen=True)
class Layer:
    """The training arguments that one source states.

    Args:
        source: who states them.
        values: the arguments.
        name: of the recipe or the file they were read from.
    """

    source: Source
    values: Mapping[str, Any]
    name: str = ""


@dataclass(frozen=True)
class TrainingArguments:
    """The arguments of a training, with sources.

    Args:
        layers: what the sources state; later ones override earlier ones.

    Example:
        >>> arguments = TrainingArguments.read({"epochs": 3, "recipe": "yolov5"})
        >>> arguments["epochs"], arguments.source_of("epochs").value
        (3, 'user')
        >>> arguments["optimizer"], arguments.source_of("optimizer").value
        ('SGD', 'recipe')
        >>> arguments["imgsz"], arguments.source_of("imgsz").value
        (640, 'default')
    """

    layers: tuple[Layer, ...]

    @classmethod
    def read(
        cls, words: Mapping[str, Any], check: Callable[[Mapping[str, Any]], None] | None = None
    ) -> "TrainingArguments":
        """Read and check the user's arguments.

        The files of `cfg=` and `recipe=` are opened here, and nowhere else.

        Args:
            words: the user's arguments.
            check: raises for a wrong value among the words and the contents of the `cfg=` file; the check of akyolo's
                own arguments when left out.

        Raises:
            CheckpointError: weights that cannot be read safely.
            ConfigError: a value, the `cfg=` file or a recipe that cannot be used.
        """
        in_file = {key: value for key, value in _read_cfg_file(words.get("cfg")).items() if key != "mode"}
        stated = {**in_file, **words}
        (check or check_hyperparameters)(stated)
        for key in WEIGHT_ARGUMENTS:
            if isinstance(stated.get(key), str | Path):
                check_loadable(stated[key])
        recipes = (Layer(Source.RECIPE, read_recipe(name), name) for name in recipe_names(stated.get("recipe")))
        return cls(
            (*recipes, Layer(Source.CFG_FILE, in_file, str(words.get("cfg") or "")), Layer(Source.USER, dict(words)))
        )

    @classmethod
    def of_trainer(cls, values: Mapping[str, Any]) -> "TrainingArguments":
        """Check the arguments of a bare trainer.

        It is used without `akyolo.YOLO`.

        Raises:
            ConfigError: a value that no training can use.
        """
        check_hyperparameters(values)
        return cls((Layer(Source.USER, dict(values)),))

    def __getitem__(self, key: str) -> Any:
        """Return an argument, or its default."""
        values = self.values
        return values[key] if key in values else DEFAULT_CFG_DICT[key]

    def source_of(self, key: str) -> Source:
        """Return who states the value of an argument.

        Raises:
            KeyError: there is no such argument.
        """
        for layer in reversed(self.layers):
            if key in layer.values:
                return layer.source
        if key not in DEFAULT_CFG_DICT:
            raise KeyError(key)
        return Source.DEFAULT

    @property
    def values(self) -> dict[str, Any]:
        """Return every argument that a source states."""
        return {key: value for layer in self.layers for key, value in layer.values.items()}

    @property
    def words(self) -> dict[str, Any]:
        """Return the words of the user."""
        return self._of(Source.USER)

    @property
    def stated(self) -> dict[str, Any]:
        """Return words and `cfg=` file together."""
        return self._of(Source.CFG_FILE, Source.USER)

    @property
    def overrides(self) -> dict[str, Any]:
        """Return the arguments for upstream's `train`.

        Upstream reads the `cfg=` file itself, so its values are left out.
        """
        given: dict[str, Any] = {}
        for layer in self.layers:
            if layer.source is Source.CFG_FILE and layer.name:
                given = {key: value for key, value in given.items() if key not in layer.values}
            else:
                given |= layer.values
        return given

    def without(self, *keys: str) -> "TrainingArguments":
        """Return the arguments without those of these names."""
        layers = (
            Layer(layer.source, {key: value for key, value in layer.values.items() if key not in keys}, layer.name)
            for layer in self.layers
        )
        return TrainingArguments(tuple(layers))

    def with_values(self, **values: Any) -> "TrainingArguments":
        """Replace values; their sources stay."""
        return TrainingArguments((*self.layers, *(Layer(self.source_of(key), {key: values[key]}) for key in values)))

    def resumed(self, values: Mapping[str, Any]) -> "TrainingArguments":
        """Return the arguments of a resumed training.

        Its checkpoint states them.

        Args:
            values: the arguments that upstream uses; it accepts few of the user's.
        """
        accepted = {key: value for key, value in self.stated.items() if key in values and values[key] == value}
        return TrainingArguments((Layer(Source.CHECKPOINT, dict(values)), Layer(Source.USER, accepted)))

    def for_model(
        self, model: nn.Module, data_recipe: str | None, checkpoint: Mapping[str, Any]
    ) -> "TrainingArguments":
        """Add the recipes of model and data.

        A line of the log names the recipes that apply, and their values.

        Args:
            model: the network that is trained. What none of its layers reads is left out of the recipes.
            data_recipe: the recipe of the data set.
            checkpoint: the arguments that the model's checkpoint records.

        Raises:
            ConfigError: there is no such recipe, or it holds an argument that no recipe may have.
        """
        recipe_of = {
            Source.MODEL_RECIPE: getattr(model, "yaml", {}).get("recipe"),
            Source.DATA_RECIPE: data_recipe,
            Source.RECIPE: self.stated.get("recipe"),
        }
        recipe = join_recipes(*recipe_of.values())
        base = Layer(Source.CHECKPOINT, dict(checkpoint))
        if not recipe:
            return TrainingArguments((base, *self.layers))
        sources = {name: source for source, names in recipe_of.items() for name in recipe_names(names)}
        given = {layer.name: layer for layer in self.layers if layer.source is Source.RECIPE}
        recipes = [given.get(name) or Layer(sources[name], read_recipe(name), name) for name in recipe_names(recipe)]
        recipes = [Layer(layer.source, _read_by(model, layer.values), layer.name) for layer in recipes]
        rest = [layer for layer in self.layers if layer.source is not Source.RECIPE]
        arguments = TrainingArguments((base, *recipes, *rest, Layer(recipes[-1].source, {"recipe": recipe})))
        applied = {key: value for key, value in arguments._of(*RECIPES).items() if key not in {*self.stated, "recipe"}}
        LOGGER.info(f"akyolo: recipe {recipe}: {', '.join(f'{key}={value}' for key, value in applied.items())}")
        return arguments

    def _of(self, *sources: Source) -> dict[str, Any]:
        """Return what these sources state."""
        return TrainingArguments(tuple(layer for layer in self.layers if layer.source in sources)).values


def _read_by(model: nn.Module, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the model reads."""
    without_effect = {
        *([] if offset_parameters(model) else ["offset_lr"]),
        *([] if has_anchors(model) else ANCHOR_HEAD_ARGUMENTS),
    }
    return {key: value for key, value in recipe.items() if key not in without_effect}


def _read_cfg_file(name: Any) -> dict[str, Any]:
    """Read the file of `cfg=`, if any.

    Raises:
        ConfigError: there is no such file, or it is not a mapping of arguments.
    """
    if not name:
        return {}
    file = check_yaml(str(name), hard=False)
    if not file:
        raise ConfigError(
            f"there is no file {str(name)!r} for cfg=",
            remedy="name a YAML file of training arguments",
        )
    try:
        return dict(YAML.load(file))
    except ValueError as error:
        raise ConfigError(f"not a mapping of training arguments: {first_line(error)}", location=str(file)) from None
