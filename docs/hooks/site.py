"""What the documentation makes while it is built: operators' pages, plots of records, the language of a page."""

from pathlib import Path

import operator_pages
import rooms
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OPERATORS = operator_pages.described()
FIGURES = {
    "figure: overview": operator_pages.overview,
    "figure: rooms": rooms.rooms_figure,
    "figure: flows": rooms.flows_figure,
    "table: rooms": rooms.rooms_table,
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put one page for each operator into the navigation; there is no list to edit."""
    entries = [{facts["name"]: f"operators/{page}.md"} for page, (_, facts) in OPERATORS.items()]
    for section in config.nav or []:
        if "Operators" in section:
            section["Operators"] = ["operators/index.md", *entries]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the operators, and the plots of the records that pages quote."""
    files.append(File.generated(config, "operators/index.md", content=operator_pages.index(OPERATORS)))
    for name, (spec, facts) in OPERATORS.items():
        files.append(File.generated(config, f"operators/{name}.md", content=operator_pages.page(spec, facts)))
    for plot in sorted((ROOT / "runs" / "records").glob("*/plot.png")):
        files.append(File.generated(config, f"records/{plot.parent.name}/plot.png", abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the figures that pages name, find plots that they name as they lie in the repository, keep ± in its line."""
    for name, drawn in FIGURES.items():
        markdown = markdown.replace(f"<!-- {name} -->", drawn())
    return markdown.replace("](../runs/records/", "](records/").replace(" ± ", "&nbsp;±&nbsp;")


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Say which language the Chinese page is in."""
    return output.replace('<html lang="en"', '<html lang="zh"', 1) if page.file.src_uri.startswith("zh/") else output
