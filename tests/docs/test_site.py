"""The site is built strictly, is whole, and asks nobody else for anything."""

import re

import pytest

import akyolo
from akyolo.registry import operators

pytestmark = pytest.mark.slow


def test_every_operator_has_a_page_with_its_taps(site):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (site / "operators").glob("*.html")}
    assert pages.keys() - {"index"} == {spec.module.__name__.lower() for spec in operators()}
    for name in pages.keys() - {"index"}:
        assert 'class="taps"' in pages[name] and "<svg" in pages[name], name
        assert all(f'id="{part}"' in pages[name] for part in ("definition", "in-python", "parameters", "paper")), name


def test_every_public_name_has_its_reference(site):
    text = (site / "api.html").read_text(encoding="utf-8")
    second_names = {"LDConv"}  # on the page of AKConv
    assert not [name for name in {*akyolo.__all__} - second_names if f'id="akyolo.{name}"' not in text]
    assert "&gt;&gt;&gt;" in text and "c1*c2*num_param + 2*c2" in text


def test_nothing_comes_from_elsewhere(site):
    """Styles, scripts, fonts, images: links that a reader follows may lead away, what a browser loads may not."""
    foreign = [
        f"{path.relative_to(site)}: {found}"
        for path in site.rglob("*.html")
        for found in re.findall(
            r"<(?:script|img|iframe|source)[^>]+src=[\"']?(?:https?:)?//[^>]*|<link(?![^>]*rel=[\"']?canonical)[^>]+href=[\"']?(?:https?:)?//[^>]*",
            path.read_text(encoding="utf-8"),
        )
    ]
    assert not foreign


def test_the_chinese_page_says_that_it_is_chinese(site):
    assert '<html lang="zh"' in (site / "zh" / "index.html").read_text(encoding="utf-8")
    assert '<html lang="en"' in (site / "index.html").read_text(encoding="utf-8")


def test_pictures_that_pages_show_are_there(site):
    for path in site.rglob("*.html"):
        for name in re.findall(r"<img[^>]+src=\"([^\":]+)\"", path.read_text(encoding="utf-8")):
            assert (path.parent / name).is_file(), f"{path.name}: {name}"
