"""Tables that README and documentation quote from records, between `<!-- runs/records/NAME -->` and `<!-- end -->`.

`python -m tests.helpers.readme_blocks` writes them anew, after new records in one of these folders.
"""

import re
from pathlib import Path

from akyolo.experiments.run.store import records
from akyolo.experiments.spec.rows import read_spec
from akyolo.experiments.table.report import counts_beside, rendered

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TEXTS = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- (runs/records/\S+) -->\n)(.*?)(<!-- end -->\n)", re.DOTALL)


def folders(text: str) -> list[Path]:
    """Whose tables are quoted."""
    return [ROOT / found[2] for found in BLOCK.finditer(text)]


def table(folder: Path) -> str:
    """The table of a series, made of its records once more."""
    spec = read_spec(folder / "spec.yaml")
    return rendered(folder, spec, records(folder, spec), counts_beside(spec))


def fresh(text: str) -> str:
    """The same text, its tables as the records are now."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{table(ROOT / found[2])}\n{found[4]}", text)


if __name__ == "__main__":
    for path in TEXTS:
        path.write_text(fresh(path.read_text(encoding="utf-8")), encoding="utf-8")
