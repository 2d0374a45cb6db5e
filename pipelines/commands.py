"""Commands: ``dare synth``, ``recipe``, ``preprocess``, ``inspect``, ``drop``: each parses, calls one, prints."""

import json
import os
from pathlib import Path
from typing import Literal

import click

from manifests.terminal import FILE, FOLDER, OK, SOME_FAILED, Command, answer, progress


@click.command(cls=Command)
@click.argument("corpus")
@click.option("--out", type=FOLDER, required=True, help="Folder to write the raw tree into; must be empty.")
@click.option("--subjects", type=click.IntRange(1), default=8, show_default=True, help="How many subjects.")
@click.option(
    "--seconds", type=click.FloatRange(1, 86400), default=60.0, show_default=True, help="Length of a recording."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes.")
def synth(corpus: str, out: Path, subjects: int, seconds: float, seed: int) -> None:
    """Write a small synthetic CORPUS in its real tree and format, with classes that a probe can learn."""
    from pipelines import synth as synthesis

    paths = synthesis.write(corpus, out, subjects, seconds, seed)
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    answer(f"{out}: {len(paths)} files of {corpus}, {megabytes:.1f} MB")


@click.command(cls=Command)
@click.argument("corpus")
@click.option("--src", type=FOLDER, required=True,
              help="Folder above the corpus's raw tree, or a set written with --format zarr or both.")  # fmt: skip
@click.option("--out", type=FOLDER, default=Path("shards"), show_default=True, help="The set lands in OUT/CORPUS.")
@click.option("--for", "purpose", type=click.Choice(["probe", "pretrain"]), help="Labelled windows, or the model's own"
              " unlabelled ones in OUT/CORPUS-pretrain.  [default: probe where there are classes]")  # fmt: skip
@click.option("--recipe", "file", type=FILE, help="A recipe of your own for CORPUS instead of the one it comes with.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One recipe field; preset=published.")
@click.option("--format", type=click.Choice(["webdataset", "zarr", "both"]), default="webdataset", show_default=True,
              help="Windows in tars, continuous recordings in zarr stores, or both.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count(), show_default=True, help="Processes.")
@click.option("--scheduler", default="", help="A running dask scheduler: its address or scheduler file.")
@click.option("--part", default="1/1", show_default=True, help="I/N: build every N-th shard, for job arrays.")
@click.option("--subjects", default="", help="Only these subjects, by id, separated by commas.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many recordings.")
@click.option("--dry-run", is_flag=True, help="Read headers and samples, say what each recording is like and the plan.")
@click.option("--retry-failed", is_flag=True, help="Build again the shards in which a recording could not be read.")
@click.option("--strict", is_flag=True, help="Status 1 if any recording failed.")
@click.option("--overwrite", is_flag=True, help="Replace a set that another plan made.")
@click.option("--append", is_flag=True, help="Add recordings that are new to a set, as new shards.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, or the findings of --dry-run.")
@click.option("--html", type=FILE, help="Write what --dry-run finds as a page, too.")
def preprocess(
    corpus: str,
    src: Path,
    out: Path,
    purpose: Literal["probe", "pretrain"] | None,
    file: Path | None,
    settings: tuple[str, ...],
    format: Literal["webdataset", "zarr", "both"],
    workers: int,
    scheduler: str,
    part: str,
    subjects: str,
    limit: int | None,
    dry_run: bool,
    retry_failed: bool,
    strict: bool,
    overwrite: bool,
    append: bool,
    as_json: bool,
    html: Path | None,
) -> int:
    """Turn the raw recordings of CORPUS below --src into shards with a manifest."""
    from manifests import manifest
    from manifests import recipe as recipes
    from pipelines import corpora, run, scan
    from pipelines.adopt_plan import recipe_there
    from pipelines.doctor import page, scan_quality
    from pipelines.plan import SetOptions
    from pipelines.sources import open_source
    from pipelines.workers import Workers

    if append and overwrite:
        raise click.UsageError("--append and --overwrite: one keeps what is there, the other does not; give one")
    if html and not dry_run:
        raise click.UsageError(f"--html {html}: goes with --dry-run")
    recipe = recipes.load(corpus, purpose, settings, file)
    there = None if overwrite else recipe_there(out / recipe.set_name)
    if there:
        recipe = recipes.load(corpus, purpose, settings, file, there)
    recipe = corpora.settled(recipe)
    if purpose is None and recipe.layout and recipe.layout.labels != "none" and not recipe.classes:
        unread = f'labels = "{recipe.layout.labels}" is not read, as the recipe names no classes'
        click.echo(f"{corpus}: {unread}: windows without labels, as by --for pretrain", err=True)
    source = open_source(src)
    if dry_run:
        source.raw_folder("--dry-run")
    tree = source.scan(recipe, progress("scan", "recordings"))
    if there is None:
        scan.refuse_misspelt(tree, recipe)
    tree = tree.only({name.strip() for name in subjects.split(",") if name.strip()}, limit)
    tree = source.apart(tree, recipe)
    if dry_run:
        facts = scan_quality.scan_quality(tree, recipe, source, workers, progress("sample", "recordings"))
        if html:
            page.write(html, facts)
        answer(json.dumps(facts, indent=1) if as_json else page.text(facts))
        return SOME_FAILED if strict and scan_quality.reasons(facts, "failed") else OK
    folder = out / recipe.set_name
    whole = run.preprocess(
        tree,
        recipe,
        source,
        folder,
        Workers(workers, scheduler, _part(part)),
        SetOptions(format, overwrite, append, retry_failed),
        progress("build", "shards"),
    )
    if whole is None:
        answer(f"{folder}: part {part} is done; the manifest is written when the other parts are")
        return OK
    if as_json:
        answer(whole.model_dump_json(indent=1))
    else:
        answer(manifest.text(folder, whole))
        if tree.num_others:
            answer(f"  {tree.num_others} other raw files below {src} belong to no recording of {corpus}: left alone")
        if num_left := len(tree.recordings) - len(tree.without(whole.withdrawn).recordings):
            answer(f"  {num_left} recordings below {src} are of subjects who withdrew consent: left alone")
    return SOME_FAILED if strict and whole.recordings["failed"] else OK


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(path: Path, as_json: bool) -> None:
    """Say what a raw recording, a raw tree or a shard set holds."""
    from manifests import manifest, merge

    if path.is_dir() and (path / "manifest.json").exists():
        whole = manifest.load(path)
        if as_json:
            answer(whole.model_dump_json(indent=1))
        elif isinstance(whole, manifest.Merged):
            answer(merge.text(path, whole))
        else:
            answer(manifest.text(path, whole))
        return
    from pipelines import inspect as raw

    facts = raw.tree(path) if path.is_dir() else raw.recording(path)
    answer(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else raw.text(facts))


@click.command(cls=Command)
@click.option("--init", "src", required=True, metavar="SRC", type=click.Path(exists=True, path_type=Path),
              help="Folder of recordings, in BIDS or not, or one recording.")  # fmt: skip
def recipe(src: Path) -> None:
    """Write a first recipe for recordings of your own."""
    from pipelines.first_recipe import first_recipe

    answer(first_recipe(src).rstrip("\n"))


@click.command(cls=Command)
@click.argument("path", metavar="SET", type=FOLDER)
@click.option("--subject", "subjects", multiple=True, required=True, metavar="ID",
              help="Who withdrew consent: namespace:id, or the id alone.")  # fmt: skip
@click.option("--merged", multiple=True, type=FOLDER, metavar="DIR",
              help="A merged set elsewhere than beside SET, to be told where it is made of SET.")  # fmt: skip
@click.option("--runs", type=FOLDER, help="Folder whose encoders are looked through.  [default: runs]")
@click.option("--dry-run", is_flag=True, help="Say what would leave and what else holds it; change nothing.")
def drop(path: Path, subjects: tuple[str, ...], merged: tuple[Path, ...], runs: Path | None, dry_run: bool) -> None:
    """Take subjects who withdrew consent out of SET, and name the sets and encoders that hold them too."""
    from manifests import holders
    from pipelines import drop as dropping

    if runs and not runs.is_dir():
        raise click.UsageError(f"--runs {runs}: no such folder")
    left = dropping.drop(path, subjects, dry_run, progress("drop", "shards"))
    answer(left.text(path, dry_run))
    for line in holders.sets_beside(path, left.subjects, merged) + holders.encoders(
        runs or Path("runs"), left.subjects
    ):
        answer(f"  {line}")


def _part(text: str) -> tuple[int, int]:
    index, _, parts = text.partition("/")
    if not (index.isdigit() and parts.isdigit() and 1 <= int(index) <= int(parts)):
        raise click.UsageError(f"--part {text}: give I/N with 1 <= I <= N, as in 3/16")
    return int(index), int(parts)
