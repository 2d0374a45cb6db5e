"""What is written for those who carry this on is true: paths and commands exist, versions and imports are today's."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import cli
from manifests import __version__
from tests.test_house import HOUSE, ROOMS, rooms_imported

PAPERS = ("CONTRIBUTING.md", "docs/architecture.md")
SUFFIXES = {".cff", ".json", ".md", ".py", ".toml", ".tsv", ".txt"}


def told_as_code(paper: str) -> list[str]:
    """Return what a paper has in backticks."""
    found = re.findall(r"`([^`\n]+)`", (HOUSE / paper).read_text())
    assert len(found) > 50
    return found


@pytest.mark.parametrize("paper", PAPERS)
def test_every_path_that_is_named_exists(paper: str) -> None:
    words = {word for code in told_as_code(paper) if not code.startswith("dare ") for word in code.split()}
    paths = {word for word in words if "/" in word or Path(word).suffix in SUFFIXES}
    named = {path for path in paths if not path.startswith(".venv/")}
    assert len(named) > 30
    places = [HOUSE, *(HOUSE / room for room in ROOMS)]
    assert [path for path in sorted(named) if not any((place / path).exists() for place in places)] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_command_that_is_named_exists(paper: str) -> None:
    targets = re.findall(r"^(\w+):", (HOUSE / "Makefile").read_text(), re.MULTILINE)
    for words in (code.split() for code in told_as_code(paper)):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets
        if words[0] == "dare" and len(words) > 1:
            assert words[1] in cli.COMMANDS
        if "-m" in words and (module := words[words.index("-m") + 1]) != "pytest":
            assert (HOUSE / module.replace(".", "/")).with_suffix(".py").exists()


@pytest.mark.parametrize("wing", ROOMS)
def test_rooms_are_listed_in_the_order_in_which_they_import_each_other(wing: str) -> None:
    _, _, rest = (HOUSE / "docs" / "architecture.md").read_text().partition(f"\n`{wing}/`\n")
    listed = re.findall(r"`(\w+)(?:\.py|/)`", re.split(r"\n`|\n#", rest)[0])
    imported = rooms_imported(wing)
    assert sorted(listed) == sorted(imported)
    assert [room for place, room in enumerate(listed) if not imported[room] <= set(listed[:place])] == []


def test_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((HOUSE / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == __version__
    assert citation["license"] == tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]["license"]


def test_changelog_tells_of_this_version() -> None:
    assert f"## {__version__}" in (HOUSE / "CHANGELOG.md").read_text().splitlines()
