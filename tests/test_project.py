"""What a project that others join has: a changelog, a citation, issue forms, one version everywhere."""

import datetime
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import akyolo

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
SECTIONS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
ARXIV = re.compile(r"arXiv:?\s(\d{4}\.\d{4,5})")


def test_one_version():
    assert PROJECT["version"] == akyolo.__version__ == CITATION["version"]
    assert re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)[0] == akyolo.__version__


def test_the_changelog_has_the_form_of_keep_a_changelog():
    _, *versions = re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)
    numbers = []
    for text in versions:
        heading, _, rest = text.partition("\n")
        number, date = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (.+)", heading).groups()
        assert date == "unreleased" or datetime.date.fromisoformat(date)
        numbers.append(tuple(map(int, number.split("."))))
        before, *sections = re.split(r"^### ", rest, flags=re.MULTILINE)
        names = [section.partition("\n")[0] for section in sections]
        assert not before.strip() and names and names == [name for name in SECTIONS if name in names]
        assert all(section.partition("\n")[2].strip().startswith("- ") for section in sections)
    assert numbers == sorted(set(numbers), reverse=True)


def test_the_citation_is_of_this_project():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software" and CITATION["message"]
    assert (CITATION["title"], CITATION["license"]) == (PROJECT["name"], PROJECT["license"])
    assert CITATION["abstract"] == PROJECT["description"] and CITATION["keywords"] == PROJECT["keywords"]
    assert CITATION["authors"] == [{"name": "The akyolo developers"}]


def test_every_reference_is_whole():
    titles = [reference["title"] for reference in CITATION["references"]]
    assert len(titles) == len(set(titles))
    for reference in CITATION["references"]:
        assert reference["type"] in {"article", "conference-paper"} and 1990 < reference["year"] < 2100
        assert ("collection-title" in reference) == (reference["type"] == "conference-paper")
        assert all(author.keys() == {"family-names", "given-names"} for author in reference["authors"])
        [identifier] = reference["identifiers"]
        assert identifier["type"] == "other" and re.fullmatch(r"arXiv:\d{4}\.\d{5}", identifier["value"])


def papers():
    """Yield the arXiv numbers that files name in the paragraph `Paper:` of their header."""
    for path in (ROOT / "akyolo").rglob("*.py"):
        for paragraph in path.read_text(encoding="utf-8").partition("\n\n")[2].split("\n\n"):
            if paragraph.startswith("Paper:"):
                yield from ARXIV.findall(paragraph)


def test_every_paper_that_is_implemented_is_cited():
    cited = {reference["identifiers"][0]["value"].removeprefix("arXiv:") for reference in CITATION["references"]}
    named = set(papers())
    assert len(named) >= 9 and named <= cited
    everywhere = {number for path in (ROOT / "akyolo").rglob("*.py") for number in ARXIV.findall(path.read_text())}
    assert cited <= everywhere


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_whole(path):
    form = yaml.safe_load(path.read_text())
    if path.name == "config.yml":
        assert form == {"blank_issues_enabled": False}
        return
    assert form.keys() == {"name", "description", "title", "labels", "body"}
    ids = [field["id"] for field in form["body"]]
    labels = [field["attributes"]["label"] for field in form["body"]]
    assert len(set(ids)) == len(ids) and len(set(labels)) == len(labels)
    assert {field["type"] for field in form["body"]} <= FIELDS
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_there_are_forms_for_bugs_operators_and_questions():
    assert [path.stem for path in FORMS] == ["bug", "config", "operator", "question"]
    assert (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text().count("- [ ] ") >= 3


def test_no_address_is_invented():
    """The project has no home on the network yet; what it links to belongs to others."""
    files = [*FORMS, ROOT / "CITATION.cff", ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md", ROOT / "CHANGELOG.md"]
    known = {"https://keepachangelog.com/en/1.1.0/", "https://semver.org/spec/v2.0.0.html"}
    for path in files:
        text = path.read_text()
        assert set(re.findall(r"https?://[^\s)>\"]+", text)) <= known and not re.search(r"\w@\w", text)
