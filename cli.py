"""The door: the ``dare`` command. Parses, calls one function, prints. Heavy imports only inside commands."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import click

from manifests import __version__

Folder = click.Path(file_okay=False, path_type=Path)
File = click.Path(dir_okay=False, path_type=Path)

OK, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="dare")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
@click.option("--local_rank", type=int, hidden=True, help="Set by the deepspeed launcher.")
def dare(verbose: bool, local_rank: int | None) -> None:
    """From raw EEG recordings to an encoder you can use: preprocess, pretrain, probe."""
    if local_rank is not None:
        os.environ.setdefault("LOCAL_RANK", str(local_rank))


def main() -> None:
    """Run the command line; an error a user can mend is one line on stderr and status 2."""
    from manifests.errors import DareError

    try:
        sys.exit(dare(standalone_mode=False) or OK)
    except click.exceptions.NoArgsIsHelpError as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except click.ClickException as problem:
        _fail(problem.format_message(), problem.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; what is finished is kept: run the same command again (pretrain with --resume)", INTERRUPTED)
    except BrokenPipeError:
        sys.exit(OK)
    except DareError as problem:
        _fail(str(problem), UNUSABLE)
    except OSError as problem:
        _fail(f"{problem.filename or 'the system'}: {problem.strerror or problem}", UNUSABLE)


@dare.command()
@click.argument("corpus")
@click.option("--out", type=Folder, required=True, help="Folder to write the raw tree into; must be empty.")
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
    click.echo(f"{out}: {len(paths)} files of {corpus}, {megabytes:.1f} MB")


@dare.command()
@click.argument("corpus")
@click.option("--src", type=Folder, required=True,
              help="Folder above the corpus's raw tree, or a set written with --format zarr or both.")  # fmt: skip
@click.option("--out", type=Folder, default=Path("shards"), show_default=True, help="The set lands in OUT/CORPUS.")
@click.option("--for", "purpose", type=click.Choice(["probe", "pretrain"]), help="Labelled windows, or the model's own"
              " unlabelled ones in OUT/CORPUS-pretrain.  [default: probe where there are classes]")  # fmt: skip
@click.option("--recipe", "file", type=File, help="A recipe of your own for CORPUS instead of the one it comes with.")
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
@click.option("--html", type=File, help="Write what --dry-run finds as a page, too.")
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
    from pipelines import corpora, run
    from pipelines.doctor import page, scan_quality
    from pipelines.plan import SetOptions
    from pipelines.sources import open_source

    if append and overwrite:
        raise click.UsageError("--append and --overwrite: one keeps what is there, the other does not; give one")
    if html and not dry_run:
        raise click.UsageError(f"--html {html}: goes with --dry-run")
    recipe = corpora.settled(recipes.load(corpus, purpose, settings, file))
    source = open_source(src)
    if dry_run:
        source.raw_folder("--dry-run")
    tree = source.scan(recipe, _progress("scan", "recordings"))
    tree = tree.only({name.strip() for name in subjects.split(",") if name.strip()}, limit)
    if dry_run:
        facts = scan_quality.scan_quality(tree, recipe, source, workers, _progress("sample", "recordings"))
        if html:
            page.write(html, facts)
        click.echo(json.dumps(facts, indent=1) if as_json else page.text(facts))
        return SOME_FAILED if strict and scan_quality.reasons(facts, "failed") else OK
    folder = out / recipe.set_name
    whole = run.preprocess(
        tree,
        recipe,
        source,
        folder,
        run.Workers(workers, scheduler, _part(part)),
        SetOptions(format, overwrite, append, retry_failed),
        _progress("build", "shards"),
    )
    if whole is None:
        click.echo(f"{folder}: part {part} is done; the manifest is written when the other parts are")
        return OK
    if as_json:
        click.echo(whole.model_dump_json(indent=1))
    else:
        click.echo(manifest.text(folder, whole))
        if tree.num_others:
            click.echo(
                f"  {tree.num_others} other raw files below {src} belong to no recording of {corpus}: left alone"
            )
    return SOME_FAILED if strict and whole.recordings["failed"] else OK


@dare.command()
@click.argument("sets", nargs=-1, required=True, type=Folder)
@click.option("--out", type=Folder, default=Path("shards/merged"), show_default=True, help="Folder of the merged set.")
@click.option("--weight", "weights", multiple=True, metavar="NAME=W", help="Multiply a set's share of training.")
@click.option("--exclude", multiple=True, metavar="SET[:SPLIT]", help="Leave out the subjects of this set.")
def merge(sets: tuple[Path, ...], out: Path, weights: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    """Make one training set of SETS by reference: nothing is copied, no subject is on two sides."""
    from manifests.merge import merge as merge_sets

    merged = merge_sets(list(sets), out, dict(_weight(text) for text in weights), exclude)
    click.echo(f"{out}: {', '.join(source.name for source in merged.sources)}")
    for note in merged.notes:
        click.echo(f"  {note}")


@dare.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(path: Path, as_json: bool) -> None:
    """Say what a raw recording, a raw tree or a shard set holds."""
    from manifests import manifest

    if path.is_dir() and (path / "manifest.json").exists():
        whole = manifest.load(path)
        if as_json or isinstance(whole, manifest.Merged):
            click.echo(whole.model_dump_json(indent=1))
        else:
            click.echo(manifest.text(path, whole))
        return
    from pipelines import inspect as raw

    facts = raw.tree(path) if path.is_dir() else raw.recording(path)
    click.echo(json.dumps(facts, indent=1, ensure_ascii=False) if as_json else raw.text(facts))


@dare.command()
@click.argument("path", metavar="SET", type=Folder)
def verify(path: Path) -> int:
    """Check sizes, sha256, indexes and counts of SET against its manifest; name every fault."""
    from manifests.verify import verify as faults_of

    faults = faults_of(path, _progress("verify", "shards"))
    for fault in faults:
        click.echo(fault, err=True)
    click.echo(f"{path}: {'whole' if not faults else f'{len(faults)} faults'}")
    return SOME_FAILED if faults else OK


@dare.command()
@click.option("--shards", type=Folder, help="A shard set or a merged one; needed unless --config names it.")
@click.option("--out", type=Folder, help="Folder of the run.  [default: runs/SET-SIZE]")
@click.option("--size", type=click.Choice(["nano", "light", "small", "base", "deep"]), help="[default: base]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the windows.  [default: 200]")
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps instead of epochs.")
@click.option("--stop-after", type=click.IntRange(1), default=None, help="Save and end after so many more steps.")
@click.option("--checkpoint-every", type=click.IntRange(1), help="Steps between checkpoints.  [default: a twentieth]")
@click.option("--global-batch", type=click.IntRange(1), help="Windows of a step.  [default: 64]")
@click.option("--micro-batch", type=click.IntRange(1), help="Windows of one pass.  [default: the largest divisor of the"
              " global batch up to 16, one that the processes can share if there is one]")  # fmt: skip
@click.option("--lr", type=float, help="Peak learning rate.  [default: 0.002 for nano, else 0.0005]")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="[default: bf16 on a GPU, else fp32]")
@click.option("--seed", type=int, help="Of weights, order, crops and masks.  [default: 2025]")
@click.option("--exclude", multiple=True, metavar="SET[:SPLIT]", help="Leave out the subjects of this set.")
@click.option("--case", type=click.IntRange(1, 5), help="Ablation: 1 no anchor, 2 raw targets, 3 reconstruct from the"
              " prediction, 4 no second view.  [default: 5, whole]")  # fmt: skip
@click.option("--masking", type=click.Choice(["published", "window", "fixed"]), help="One mask a micro-batch, one a"
              " window, or half of the time patches exactly.  [default: published]")  # fmt: skip
@click.option("--augment", is_flag=True, default=None, help="Spoil what the encoder sees, not what it must reach.")
@click.option("--gather-negatives", is_flag=True, default=None, help="Contrast with the windows of all ranks.")
@click.option("--as-published", is_flag=True, help="The published recipe, slips included.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other field of the config.")
@click.option("--config", "file", type=File, help="A config.toml, as every run leaves one; options override it.")
@click.option("--deepspeed", type=File, help="DeepSpeed JSON merged over the built-in config.")
@click.option("--log", multiple=True, type=click.Choice(["wandb", "mlflow"]), help="Send the metrics there, too.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def pretrain(file: Path | None, stop_after: int | None, resume: bool, as_json: bool, **given: Any) -> None:
    """Pretrain an encoder on --shards: masked reconstruction, anchor alignment, mask alignment."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch shows its own stack where a process is lost
    from dare_eeg.data.shards import training_sets
    from dare_eeg.running.engine import num_processes, one_voice
    from dare_eeg.running.progress import progress
    from dare_eeg.training import config as configs
    from dare_eeg.training import pretrain as training
    from dare_eeg.training.loader import outside_vocabulary

    given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    given = {name: value for name, value in given.items() if value is not None and value != ()}
    first = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    with one_voice():
        config = configs.load(file, given, num_processes())
        sets = training_sets(Path(config.shards), config.exclude)
        if first and (strange := outside_vocabulary(sets)):
            click.echo(f"left out, the network has no embedding for them: {', '.join(strange)}", err=True)
        with progress() as report:
            done = training.pretrain(config, sets, report, resume, stop_after or 0)
    if not first:
        return
    if as_json:
        click.echo(json.dumps(dict(vars(done)), default=str))
        return
    click.echo(f"{done.encoder}: {done.steps} of {done.planned} steps")
    if done.best_valid is not None:
        click.echo(f"  best valid loss {done.best_valid:.4f}")
    if done.steps < done.planned:
        click.echo(f"  go on with: dare pretrain --config {config.out}/config.toml --resume")


@dare.command()
@click.option("--encoder", type=click.Path(path_type=Path), required=True, help="A run or a file.")
@click.option("--to", type=click.Choice(["official", "safetensors"]), required=True, help="The form to write.")
@click.option("--out", type=File, required=True, help="The file to write.")
def export(encoder: Path, to: Literal["official", "safetensors"], out: Path) -> None:
    """Write an encoder in the published form, or a published one in ours, and check it to the bit."""
    from dare_eeg.encoders.published import export as write

    click.echo("\n  ".join([f"{out}: the encoder of {encoder}", *write(encoder, to, out)]))


@dare.command()
@click.argument("corpus")
@click.option("--shards", type=Folder, help="The labelled set.  [default: shards/CORPUS]")
@click.option("--encoder", default="", help="A run, a file, or scratch.  [default: the newest run]")
@click.option("--size", type=click.Choice(["nano", "light", "small", "base", "deep"]), default="base",
              show_default=True, help="Of a scratch encoder.")  # fmt: skip
@click.option("--mode", default="linear", show_default=True, help="conv-linear, linear, finetune; several by commas.")
@click.option("--protocol", type=click.Choice(["official", "kfold", "loso", "within"]), help="[default: the recipe's]")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many times, seeds from 0.")
@click.option("--epochs", type=click.IntRange(1), help="Of conv-linear and finetune.  [default: as published]")
@click.option("--resamples", type=click.IntRange(1), default=500, show_default=True, help="Draws of subjects behind"
              " each interval.")  # fmt: skip
@click.option(
    "--as-published", is_flag=True, help="Feed, train and choose as the published scripts do, slips included."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other field of the practice.")
@click.option("--out", type=Folder, help="Folder of the results.  [default: probes/CORPUS-ENCODER-MODE]")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def probe(
    corpus: str,
    shards: Path | None,
    encoder: str,
    size: str,
    mode: str,
    protocol: Any,
    seeds: int,
    epochs: int | None,
    resamples: int,
    as_published: bool,
    settings: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure what an encoder's features are worth on the labelled set of CORPUS."""
    modes = mode.split(",")
    if strange := [name for name in modes if name not in ("conv-linear", "linear", "finetune")]:
        raise click.UsageError(f"--mode {strange[0]}: choose among conv-linear, linear, finetune")
    from dare_eeg.encoders.weights import ENCODER_FILE
    from dare_eeg.probing import probe as probing
    from dare_eeg.probing import report
    from dare_eeg.probing.options import practice

    encoder = encoder or probing.newest_run(Path("runs"))
    path = Path(encoder).resolve()
    run = path.parent.name if path.name == ENCODER_FILE else path.name
    name = f"scratch-{size}" if encoder == probing.SCRATCH else run
    for one in modes:
        folder = out if out and len(modes) == 1 else (out or Path("probes")) / f"{corpus}-{name}-{one}"
        asked = probing.Question(
            corpus,
            shards or Path("shards") / corpus,
            encoder,
            cast(Any, one),
            protocol,
            seeds,
            folder,
            size,
            epochs or 0,
            practice(cast(Any, one), as_published, settings),
            resamples,
        )
        results = probing.probe(asked, _progress(f"probe {one}", "fits"))
        if as_json:
            click.echo(json.dumps(results.model_dump(mode="json")))
        else:
            click.echo(report.text(folder, results))


def _fail(message: str, status: int) -> None:
    if {"-v", "--verbose"} & set(sys.argv):
        traceback.print_exc()
    click.echo(f"dare: {' '.join(message.split())}", err=True)
    sys.exit(status)


def _part(text: str) -> tuple[int, int]:
    index, _, parts = text.partition("/")
    if not (index.isdigit() and parts.isdigit() and 1 <= int(index) <= int(parts)):
        raise click.UsageError(f"--part {text}: give I/N with 1 <= I <= N, as in 3/16")
    return int(index), int(parts)


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        weight = float(value)
    except ValueError:
        weight = 0.0
    if not weight > 0:
        raise click.UsageError(f"--weight {text}: give NAME=W with W above 0, as in tuab-pretrain=0.5")
    return name, weight


def _progress(verb: str, things: str) -> Callable[[int, int], None]:
    """Return what to call with (done, total): a bar on a terminal, a line every tenth elsewhere, all on stderr."""
    from tqdm import tqdm

    bar: Any = None
    last = -1

    def step(done: int, total: int) -> None:
        nonlocal bar, last
        if sys.stderr.isatty():
            bar = bar or tqdm(total=total, desc=verb, unit=f" {things}", file=sys.stderr)
            bar.update(done - bar.n)
            if done == total:
                bar.close()
        elif done * 10 // max(total, 1) != last:
            last = done * 10 // max(total, 1)
            click.echo(f"{verb}: {done} of {total} {things}", err=True)

    return step
