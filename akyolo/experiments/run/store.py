"""The folder of a table's runs.

It has spec.yaml, one folder a run, and the results so far.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from akyolo.errors import ConfigError
from akyolo.experiments.run.records import Record, read_record
from akyolo.experiments.run.runs import RECORD, check_model, lock_folder, run_folder
from akyolo.experiments.run.worker import SPEC
from akyolo.experiments.spec.differences import differences
from akyolo.experiments.spec.spec_file import read_table, table_text
from akyolo.experiments.spec.table_spec import TableSpec
from akyolo.files import AtomicPath, remove_partial
from akyolo.model_yaml import model_yaml_text


class TableFolder:
    """A folder, checked against a table.

    Args:
        folder: it need not exist.
        table: its row names must be different.
        models: the model YAML of each row, by its name.
    """

    def __init__(self, folder: Path, table: TableSpec, models: Mapping[str, Mapping[str, Any]]) -> None:
        """Check the folder; write nothing.

        Raises:
            ConfigError: two rows would share a folder, or the folder has runs of another table; added seeds, and rows
                added at the end, are allowed.
        """
        self.folder, self.table, self.models = folder, table, models
        self._text = table_text(table).encode()
        homes = [run_folder(folder, row.row, 0) for row in table.rows]
        if shared := [row.row for row, home in zip(table.rows, homes, strict=True) if homes.count(home) > 1]:
            raise ConfigError(f"{' and '.join(shared)} would share a folder", remedy="give one of them another name")
        self._accepted = self._check_stored()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Write spec.yaml and lock the folder.

        Other processes are kept from the table while the context is open.

        Raises:
            ConfigError: the folder cannot be written, has runs of another model, or another process runs the table.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", location=str(self.folder)) from None
        with lock_folder(self.folder, 0):
            remove_partial(self.folder)
            stored = self._stored()
            if stored not in (self._text, self._accepted):  # another process has written it since it was checked
                self._check_stored()
            if stored != self._text:
                (AtomicPath(self.folder) / SPEC).write_bytes(self._text)
            for row in self.table.rows:
                text = model_yaml_text(self.models[row.row])
                for seed in self.table.seeds:
                    check_model(run_folder(self.folder, row.row, seed), row, text)
            yield

    def _stored(self) -> bytes | None:
        file = self.folder / SPEC
        return file.read_bytes() if file.exists() else None

    def _check_stored(self) -> bytes | None:
        """Return the content of spec.yaml, checked.

        It is parsed only if it is not what would be written.
        """
        stored = self._stored()
        if stored is None and self.folder.is_dir() and any(self._visible_files()):
            raise ConfigError(f"is not empty and has no {SPEC}", location=str(self.folder), remedy="use another --name")
        if stored not in (None, self._text) and (different := differences(read_table(self.folder / SPEC), self.table)):
            what = f"has other runs: {'; '.join(different)}"
            raise ConfigError(what, location=str(self.folder), remedy="use another --name")
        return stored

    def _visible_files(self) -> Iterator[Path]:
        return (file for file in self.folder.iterdir() if not file.name.startswith("."))


def read_records(folder: Path, table: TableSpec) -> list[Record]:
    """Return the records of finished runs.

    Raises:
        ConfigError: a file is not a record.
    """
    files = (run_folder(folder, run.row.row, run.seed) / RECORD for run in table.runs())
    return [read_record(file) for file in files if file.exists()]
