"""A page needs no other file, and nothing that it shows is taken for markup."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from manifests.page import render

TEMPLATE = """{% extends "base.html" %}
{% block title %}{{ title }}{% endblock %}
{% block style %}.good { color: green; }
{% endblock %}
{% block body %}<h1>{{ title }}</h1>
{% endblock %}
"""


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a template into a package of its own and return the package's name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "with_a_page", raising=False)

    def write(template: str) -> str:
        folder = tmp_path / "with_a_page" / "templates"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / "page.html").write_text(template)
        return "with_a_page"

    return write


def test_template_fills_the_blocks_of_the_base(packaged: Callable[[str], str]) -> None:
    page = render(packaged(TEMPLATE), "page.html", title="Sets")
    assert page.startswith('<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n')
    assert "<title>Sets</title>" in page
    assert re.search(r"<style>[^<]*th, td {[^<]*\n\.good { color: green; }\n</style>\n<h1>Sets</h1>\n</html>\n$", page)


def test_page_names_no_other_file() -> None:
    assert not re.search(r"https?:|@import|url\(|<link|<script|src=", render("manifests", "base.html"))


def test_value_is_no_markup(packaged: Callable[[str], str]) -> None:
    page = render(packaged(TEMPLATE), "page.html", title="""<b class="a">'&amp;'""")
    assert page.count("&lt;b class=&#34;a&#34;&gt;&#39;&amp;amp;&#39;") == 2


def test_value_that_nobody_gave_is_missed(packaged: Callable[[str], str]) -> None:
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render(packaged(TEMPLATE), "page.html")
    with pytest.raises(TemplateNotFound):
        render("with_a_page", "other.html")
