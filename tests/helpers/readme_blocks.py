"""Tables that README and documentation quote from records, between `<!-- runs/records/NAME -->` and `<!-- end -->`.

`python -m tests.helpers.readme_blocks` writes them again, for example after new records in one of these folders.
"""

import re
from pathlib import Path

from akyolo.experiments.run.store import read_records
from akyolo.experiments.spec.row_models import read_models
from akyolo.experiments.spec.spec_file import read_table
from akyolo.experiments.table.counts import count_printed_rows
from akyolo.experiments.table.report import render

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TEXTS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- (runs/records/\S+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)


def folders(text: str) -> list[Path]:
    """Return the folders whose tables are quoted."""
    return [ROOT / block[2] for block in BLOCK.finditer(text)]


def table(folder: Path) -> str:
    """Return the table of a folder, from its records."""
    spec = read_table(folder / "spec.yaml")
    return render(folder, spec, read_records(folder, spec), count_printed_rows(spec, read_models(spec.rows)))


def fresh(text: str) -> str:
    """Return the text with its tables as the records are now."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{table(ROOT / block[2])}\n{block[4]}", text)


if __name__ == "__main__":
    for path in TEXTS:
        path.write_text(fresh(path.read_text(encoding="utf-8")), encoding="utf-8")
