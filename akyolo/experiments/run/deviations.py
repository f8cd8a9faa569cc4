"""What a run has other than its table states: a shortened training is no reproduction, and has to say so."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from akyolo.experiments.run.records import Record
from akyolo.experiments.spec.rows import TableRow

# training arguments that change no number but by chance
OF_THE_MACHINE = {"device", "workers", "cache", "plots", "verbose", "save", "save_period", "profile"}

# of which less is a shorter training, and what they are where nothing is stated
SHORTER = dict.fromkeys(("epochs", "imgsz", "batch", "train images", "val images")) | {
    "fraction": 1.0,
    "time": math.inf,
}


class Change(NamedTuple):
    """In words, and whether it is less than stated."""

    what: str
    less: bool


def changes(row: TableRow, records: Sequence[Record]) -> list[Change]:
    """What is other than stated, in the spec of a run and in its records.

    Args:
        row: any of the table.
        records: of the table.
    """
    asked = [_change(*argument) for argument in other_arguments(row) if argument[0] not in OF_THE_MACHINE]
    recipe = row.stated.get("recipe", row.recipe)
    asked += [_change("recipe", row.recipe, recipe)] if recipe != row.recipe else []
    return list(dict.fromkeys([*asked, *_found(row, records)]))


def other_arguments(row: TableRow) -> Iterator[tuple[str, Any, Any]]:
    """Arguments of training and evaluation that are not as stated: name, what is used, what is stated."""
    for part in ("settings", "evaluation"):
        used, stated = getattr(row, part), row.stated.get(part, getattr(row, part))
        yield from ((key, value, stated.get(key)) for key, value in used.items() if value != stated.get(key))


def words(found: Sequence[Change]) -> str:
    """One line for the reader of a table; nothing where all is as stated."""
    if not found:
        return ""
    kind = "Shortened" if any(change.less for change in found) else "Changed"
    return f"{kind}, not as the table states it: {', '.join(change.what for change in found)}"


def _found(row: TableRow, records: Sequence[Record]) -> Iterator[Change]:
    """The epochs, which patience may end; the batch, which upstream halves out of CUDA memory; and the images."""
    if early := [len(record.curve) for record in records if len(record.curve) < record.settings["epochs"]]:
        first = f"the first after epoch {min(early)}"
        yield Change(f"{len(early)} of {len(records)} runs ended before their last epoch, {first}", True)
    for record in records:
        if record.batch < (batch := row.settings.get("batch", record.batch)):
            yield _change("batch", record.batch, batch)
        for split, stated in row.images.items():
            if (used := record.images.get(split, 0)) != stated:
                yield _change(f"{split} images", used, stated)


def _change(key: str, used: Any, stated: Any) -> Change:
    less = key in SHORTER and _is_less(key, used, SHORTER[key] if stated is None else stated)
    if stated is None:
        return Change(f"{key} {used} (not stated)", less)
    return Change(f"{key} {used} {'of' if less else 'instead of'} {stated}", less)


def _is_less(key: str, used: Any, stated: Any) -> bool:
    """Of two numbers; a batch below 1 is as much as fits, an image has one side or two."""
    if not all(isinstance(value, int | float) for value in (used, stated)):
        return False
    return bool(used < stated) and not (key == "batch" and used < 1)
