"""Commands: ``dare merge``, ``verify``: each parses, calls one function, prints."""

from pathlib import Path

import click

from manifests.terminal import FOLDER, OK, SOME_FAILED, Command, answer, progress


@click.command(cls=Command)
@click.argument("sets", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=FOLDER, default=Path("shards/merged"), show_default=True, help="Folder of the merged set.")
@click.option("--weight", "weights", multiple=True, metavar="NAME=W", help="Multiply a set's share of training.")
@click.option("--exclude", multiple=True, metavar="SET[:SPLIT]", help="Leave out the subjects of this set.")
@click.option("--overwrite", is_flag=True, help="Replace another merged set that is there.")
def merge(
    sets: tuple[Path, ...], out: Path, weights: tuple[str, ...], exclude: tuple[str, ...], overwrite: bool
) -> None:
    """Make one training set of SETS by reference: nothing is copied, no subject is on two sides."""
    from manifests import merge as merging

    merged = merging.merge(list(sets), out, dict(_weight(text) for text in weights), exclude, overwrite)
    answer(merging.text(out, merged))


@click.command(cls=Command)
@click.argument("path", metavar="SET", type=FOLDER)
def verify(path: Path) -> int:
    """Check sizes, sha256, indexes and counts of SET against its manifest; name every fault."""
    from manifests.verify import verify as faults_of

    faults = faults_of(path, progress("verify", "shards"))
    for fault in faults:
        click.echo(fault, err=True)
    answer(f"{path}: {'whole' if not faults else f'{len(faults)} faults'}")
    return SOME_FAILED if faults else OK


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        weight = float(value)
    except ValueError:
        weight = 0.0
    if not weight > 0:
        raise click.UsageError(f"--weight {text}: give NAME=W with W above 0, as in tuab-pretrain=0.5")
    return name, weight
