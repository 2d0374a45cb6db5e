"""The pages on pretraining and probing tell of every choice there is, with its default and its published value."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic_core import PydanticUndefined

import cli
from dare_eeg.probing import options
from dare_eeg.training import config
from manifests.records import Part

DOCS = Path(__file__).parents[2] / "docs"


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables by the name in their first column, the other columns as text."""
    lines = [line for line in (DOCS / page).read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    names = [first.strip("` ") for first, *_ in cells]
    assert len(set(names)) == len(names)
    return {name: rest for name, (_, *rest) in zip(names, cells, strict=True)}


def defaults(kind: type[Part]) -> dict[str, str]:
    """Return the default of each field that has a plain one, as the pages write it."""
    plain = {name: field.default for name, field in kind.model_fields.items() if field.default is not PydanticUndefined}
    return {name: written(value) for name, value in plain.items()}


def written(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def test_every_field_of_pretraining_is_told_with_its_default_and_its_published_value() -> None:
    told = rows("pretraining.md")
    assert told.keys() == config.PretrainConfig.model_fields.keys()
    plain = defaults(config.PretrainConfig)
    assert {name: told[name][3] for name in plain} == plain
    published = {name: columns[4] for name, columns in told.items() if columns[4] != "="}
    assert published == {name: written(value) for name, value in config.PUBLISHED.items()}


def test_every_option_of_a_probe_is_told_with_its_default_and_its_published_values() -> None:
    told = {name: columns for name, columns in rows("probing.md").items() if not name.startswith("--")}
    assert told.keys() == options.ProbeOptions.model_fields.keys()
    plain = defaults(options.ProbeOptions)
    assert {name: columns[2] for name, columns in told.items()} == plain
    for column, mode, corpus in ((3, "conv-linear", "bcic2b"), (4, "finetune", "tuab"), (5, "finetune", "tuev")):
        published = options.options_of(mode, True, corpus=corpus)
        fields = {name: written(value) for name, value in published.model_dump().items()}
        wanted = {name: "=" if fields[name] == plain[name] else fields[name] for name in fields}
        assert {name: columns[column] for name, columns in told.items()} == wanted


@pytest.mark.parametrize(("command", "page"), [("pretrain", "pretraining.md"), ("probe", "probing.md")])
def test_every_option_is_told(command: str, page: str) -> None:
    text = (DOCS / page).read_text()
    options = [one for one in cli.command(command).params if isinstance(one, click.Option)]
    assert len(options) > 10
    assert [one.opts[0] for one in options if f"`{one.opts[0]}" not in text] == []


def test_every_mode_is_told() -> None:
    (option,) = (one for one in cli.command("probe").params if one.name == "modes")
    assert isinstance(option, click.Option)
    for mode in options.MODES:
        assert mode in (option.help or "")
        assert f"| {mode} |" in (DOCS / "probing.md").read_text()


def test_every_baseline_is_told() -> None:
    page = (DOCS / "probing.md").read_text()
    listed = {name for line in page.splitlines() if line.startswith("| ") for name in line.split("|")[1].split(", ")}
    assert {name.strip() for name in listed} >= set(options.BASELINES)


def test_the_option_that_a_field_has_is_named_beside_it() -> None:
    options = {one.name: one.opts[0] for one in cli.command("pretrain").params}
    for name, columns in rows("pretraining.md").items():
        assert columns[1] == f"`{options.get(name, '--set')}`", name
