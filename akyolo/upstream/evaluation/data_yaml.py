"""Open the data YAML of an evaluation once."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ultralytics.data import utils
from ultralytics.engine import validator

from akyolo.datasets.shapes import store
from akyolo.errors import DatasetError, first_line
from akyolo.upstream.arguments.check import find_data_yaml
from akyolo.upstream.arguments.data import check_runs_nothing, is_upstream_file, resolves_to_embedded
from akyolo.upstream.patches.replacing import replaced


@dataclass(frozen=True)
class OpenData:
    """A data set with the content of its YAML.

    Args:
        name: value of `data=`; for the embedded set, the path of its YAML.
        content: the YAML with all paths resolved, as `check_det_dataset` of upstream returns it; None where upstream
            itself looks for the YAML: in a folder, an archive, an NDJSON file, or at an address.
    """

    name: Any
    content: Mapping[str, Any] | None


def open_data(name: Any, split: str, task: str | None = "detect", download: bool = False) -> OpenData:
    """Open the data set that `data=` names.

    Args:
        name: value of `data=`.
        split: name of the split that is evaluated; its images must exist.
        task: task of the model.
        download: download upstream's own data sets if their images are missing.

    Raises:
        DatasetError: it does not exist, holds a program, or lacks images.
    """
    if resolves_to_embedded(name):
        name = str(store.prepare())
    file = find_data_yaml(name) if name is not None and task != "classify" else None
    if file is None:
        check_runs_nothing(name, task)
        return OpenData(name, None)
    from_upstream = is_upstream_file(file)
    if not from_upstream:
        check_runs_nothing(file)
    try:
        # Upstream takes every file for an archive at first, and opens it four times to find that it is none.
        with replaced(utils, is_tarfile=lambda _: False):
            return OpenData(name, utils.check_det_dataset(file, autodownload=download and from_upstream, split=split))
    except Exception as error:  # upstream raises whatever it meets first
        raise DatasetError(first_line(error), location=str(name)) from None


@contextmanager
def handed_to_upstream(data: OpenData) -> Iterator[None]:
    """Let upstream's validator use the opened content.

    Args:
        data: the data set; without content, upstream reads it.
    """
    if data.content is None:
        yield
        return
    # It gets a copy, since it may add to it.
    with replaced(validator, check_det_dataset=lambda *_, **__: copy.deepcopy(data.content)):
        yield
