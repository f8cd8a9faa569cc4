"""Compare runs with what their table states.

A shortened training is no reproduction, and the table must say so.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from akyolo.experiments.run.records import Record
from akyolo.experiments.spec.table_spec import TableSpec

# Training arguments that change results by chance only.
OF_THE_MACHINE = {"device", "workers", "cache", "plots", "verbose", "save", "save_period", "profile"}

# A smaller value of these is a shorter training; each with its value where nothing is stated.
SHORTER = dict.fromkeys(("epochs", "imgsz", "batch", "train images", "val images")) | {
    "fraction": 1.0,
    "time": math.inf,
}


class Deviation(NamedTuple):
    """A difference between a run and its table.

    Args:
        what: the difference in words.
        less: whether the run did less than stated.
    """

    what: str
    less: bool


def find_deviations(table: TableSpec, records: Sequence[Record]) -> list[Deviation]:
    """Return what is other than stated.

    Args:
        table: with what it states.
        records: of its runs; they show what ended early and which images there were.
    """
    deviations = [
        _deviation(*argument) for argument in overridden_arguments(table) if argument[0] not in OF_THE_MACHINE
    ]
    recipe = table.stated.get("recipe", table.recipe)
    if recipe != table.recipe:
        deviations.append(_deviation("recipe", table.recipe, recipe))
    return list(dict.fromkeys([*deviations, *_of_records(table, records)]))


def overridden_arguments(table: TableSpec) -> Iterator[tuple[str, Any, Any]]:
    """Yield the arguments that are not as stated.

    Yields:
        The name, the value used and the value stated; None where nothing is stated.
    """
    for part in ("settings", "evaluation"):
        used, stated = getattr(table, part), table.stated.get(part, getattr(table, part))
        yield from ((key, value, stated.get(key)) for key, value in used.items() if value != stated.get(key))


def describe_deviations(deviations: Sequence[Deviation]) -> str:
    """Describe deviations in one line.

    Example:
        >>> from akyolo.experiments.run.deviations import Deviation, describe_deviations
        >>> describe_deviations([Deviation("epochs 2 of 300", less=True)])
        'Shortened, not as the table states it: epochs 2 of 300'
    """
    if not deviations:
        return ""
    verb = "Shortened" if any(deviation.less for deviation in deviations) else "Changed"
    return f"{verb}, not as the table states it: {', '.join(deviation.what for deviation in deviations)}"


def _of_records(table: TableSpec, records: Sequence[Record]) -> Iterator[Deviation]:
    """Yield deviations that show in records only.

    Patience may end the epochs early, upstream halves the batch when CUDA runs out of memory, and the data set may have
    other images.
    """
    if early := [len(record.curve) for record in records if len(record.curve) < record.settings["epochs"]]:
        first = f"the first after epoch {min(early)}"
        yield Deviation(f"{len(early)} of {len(records)} runs ended before their last epoch, {first}", True)
    expected_images = table.data_set.images if table.data_set else {}
    for record in records:
        if record.batch < (batch := table.settings.get("batch", record.batch)):
            yield _deviation("batch", record.batch, batch)
        for split, stated in expected_images.items():
            if (used := record.images.get(split, 0)) != stated:
                yield _deviation(f"{split} images", used, stated)


def _deviation(key: str, used: Any, stated: Any) -> Deviation:
    less = key in SHORTER and _is_less(key, used, SHORTER[key] if stated is None else stated)
    if stated is None:
        return Deviation(f"{key} {used} (not stated)", less)
    return Deviation(f"{key} {used} {'of' if less else 'instead of'} {stated}", less)


def _is_less(key: str, used: Any, stated: Any) -> bool:
    """Return whether a run used less than stated.

    A batch below 1 means as much as fits. An image size may be a list, which is not compared.
    """
    if not all(isinstance(value, int | float) for value in (used, stated)):
        return False
    return bool(used < stated) and not (key == "batch" and used < 1)
