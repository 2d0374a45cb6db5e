"""Commands: ``dare pretrain``, ``export``, ``probe``, ``predict``, ``compare``: each parses, calls, prints."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from manifests.errors import DareError
from manifests.terminal import FILE, FOLDER, INTERRUPTED, OK, SOME_FAILED, Command, answer, progress

ALL = "all"


@click.command(cls=Command)
@click.option("--shards", type=FOLDER, help="A shard set or a merged one; needed unless --config names it.")
@click.option("--out", type=FOLDER, help="Folder of the run.  [default: runs/SET-SIZE]")
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
@click.option("--config", "file", type=FILE, help="A config.toml, as every run leaves one; options override it.")
@click.option("--deepspeed", type=FILE, help="DeepSpeed JSON merged over the built-in config.")
@click.option("--log", multiple=True, type=click.Choice(["wandb", "mlflow"]), help="Send the metrics there, too.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint; --out RUN is enough to say of what.")
@click.option("--yes", is_flag=True, help="Train though --exclude leaves few subjects, or none to validate on.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and time, memory and disk; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def pretrain(
    file: Path | None, stop_after: int | None, resume: bool, yes: bool, dry_run: bool, as_json: bool, **given: Any
) -> int:
    """Pretrain an encoder on --shards: masked reconstruction, anchor alignment, mask alignment."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch shows its own stack where a process is lost
    from dare_eeg.data.shards import training_sets
    from dare_eeg.running.job import num_processes, report_once
    from dare_eeg.running.progress import progress as progress_of_steps
    from dare_eeg.training import config as configs
    from dare_eeg.training import forecast as forecasting
    from dare_eeg.training import pretrain as training
    from dare_eeg.training.left_out import refuse_too_few

    given = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    given = {name: value for name, value in given.items() if value is not None and value != ()}
    first = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    with report_once():
        if resume and not file and "shards" not in given:
            file = configs.of_run(given.get("out"))
        config = configs.load(file, given, num_processes())
        sets = training_sets(Path(config.shards), config.exclude)
        if not (resume or yes):
            refuse_too_few(sets, config.exclude)
        if dry_run:
            told = forecasting.forecast(config, sets, resume)
            if first:
                answer(json.dumps(told) if as_json else forecasting.text(told))
            return OK
        with progress_of_steps() as report:
            done = training.pretrain(config, sets, report, resume, stop_after or 0)
    status = INTERRUPTED if done.interrupted else OK
    if not first:
        return status
    if as_json:
        answer(json.dumps(dict(vars(done)), default=str))
        return status
    answer(f"{done.encoder}: {done.steps} of {done.planned} steps")
    if done.best_valid is not None:
        answer(f"  best valid loss {done.best_valid:.4f}")
    if done.steps < done.planned:
        answer(f"  go on with: dare pretrain --out {config.out} --resume")
    answer(f"  {done.reading}")
    return status


@click.command(cls=Command)
@click.option("--encoder", type=click.Path(path_type=Path), required=True, help="A run or a file.")
@click.option("--to", type=click.Choice(["official", "safetensors"]), required=True, help="The form to write.")
@click.option("--out", type=FILE, required=True, help="The file to write.")
def export(encoder: Path, to: Literal["official", "safetensors"], out: Path) -> None:
    """Write an encoder in the published form, or a published one in ours, and check it to the bit."""
    from dare_eeg.encoders.published import export as write

    answer("\n  ".join([f"{out}: the encoder of {encoder}", *write(encoder, to, out)]))


@click.command(cls=Command)
@click.argument("corpus")
@click.option("--shards", type=FOLDER, help="The labelled set.  [default: shards/CORPUS]")
@click.option("--encoder", default="", help="A run, a file, scratch, py:FILE.py:FUNCTION, or"
              " braindecode:NAME[@FOLDER]; several by commas.  [default: the newest run]")  # fmt: skip
@click.option("--baselines", is_flag=False, flag_value=ALL, help="Classical methods on the same folds: all, or some by"
              " name and comma.")  # fmt: skip
@click.option("--size", type=click.Choice(["nano", "light", "small", "base", "deep"]),
              help="Of a scratch encoder.  [default: base]")  # fmt: skip
@click.option(
    "--mode",
    "modes",
    default="linear",
    show_default=True,
    help="conv-linear, linear, lora, finetune; several by commas.",
)
@click.option("--protocol", type=click.Choice(["official", "kfold", "loso", "within", "stratified", "fixed"]),
              help="[default: the recipe's]")  # fmt: skip
@click.option("--repeats", type=click.IntRange(1), help="How often, with other folds.  [default: 1, or the preset's]")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How often, with other weights and"
              " orders, where the mode draws any.")  # fmt: skip
@click.option("--shots", type=click.IntRange(1), help="Windows a class to train on.  [default: all]")
@click.option("--calibrate", type=click.IntRange(1), help="The first windows a class of each tested subject that are"
              " trained on, not tested.  [default: none]")  # fmt: skip
@click.option("--permuted", is_flag=True, help="A control: fit on labels permuted within each subject.")
@click.option("--epochs", type=click.IntRange(1), help="Short for --set epochs=N, of what trains a network."
              "  [default: its own]")  # fmt: skip
@click.option("--pool", type=click.Choice(["mean", "mean+std", "flatten"]), help="Short for --set pool=..., of linear:"
              " what becomes of a window's moments.  [default: mean]")  # fmt: skip
@click.option("--centre", type=click.Choice(["none", "subject"]), help="Short for --set centre=...: take away what each"
              " subject's windows have in common, without labels.  [default: none]")  # fmt: skip
@click.option("--resamples", type=click.IntRange(1), default=500, show_default=True, help="Draws of subjects behind"
              " each interval.")  # fmt: skip
@click.option(
    "--as-published", is_flag=True, help="Feed, train and choose as the published scripts do, slips included."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other field of the practice.")
@click.option("--out", type=FOLDER, help="Folder of the results; of several, each in a folder of its own below."
              "  [default: probes/CORPUS]")  # fmt: skip
@click.option("--robustness", is_flag=True, help="Ask each row of spoiled windows, too: without electrodes, without"
              " moments, with noise.")  # fmt: skip
@click.option("--clear-cache", is_flag=True, help="First remove the frozen features that are kept beside the results.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def probe(
    corpus: str,
    shards: Path | None,
    encoder: str,
    baselines: str | None,
    size: str | None,
    modes: str,
    protocol: Any,
    repeats: int | None,
    seeds: int,
    shots: int | None,
    calibrate: int | None,
    permuted: bool,
    epochs: int | None,
    pool: str | None,
    centre: str | None,
    resamples: int,
    as_published: bool,
    settings: tuple[str, ...],
    out: Path | None,
    robustness: bool,
    clear_cache: bool,
    as_json: bool,
) -> None:
    """Measure what an encoder's features are worth on the labelled set of CORPUS."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch shows its own stack where a process is lost
    from dare_eeg.encoders.named import SCRATCH, newest_run
    from dare_eeg.probing import presets, report
    from dare_eeg.probing.classifiers.cache import FeatureCache
    from dare_eeg.probing.fitting import labelled_set
    from dare_eeg.probing.probe import answered
    from dare_eeg.probing.request import ProbeRequest
    from dare_eeg.probing.rows import requests, rows, told_of_scripts, with_short_forms
    from dare_eeg.probing.supervision import Supervision
    from dare_eeg.probing.tables import ladder
    from dare_eeg.probing.tables import robustness as spoiled
    from dare_eeg.running.job import has_joined, num_processes, report_once, watch_peers
    from dare_eeg.running.ranks import ALONE, Ranks
    from dare_eeg.running.stop import last_words

    again = "see what it said, then ask again"
    with last_words(num_processes()), report_once(again):
        if size and SCRATCH not in _names(encoder):
            reason = f"--size {size}: is of a scratch encoder alone; add --encoder scratch, or leave it out"
            raise click.UsageError(reason)
        preset = presets.applied(settings, protocol, repeats)
        root = out or Path("probes") / corpus
        cache = FeatureCache(root / "features", partial(click.echo, err=True))
        common = ProbeRequest(
            corpus,
            shards or Path("shards") / corpus,
            preset.protocol,
            preset.repeats,
            seeds,
            root,
            size=size or "base",
            resamples=resamples,
            supervision=Supervision(shots=shots or 0, calibrate=calibrate or 0, permuted=permuted),
            cache=cache,
        )
        labelled_set(common)
        encoders = _names(encoder) or ([] if baselines is not None else [newest_run(Path("runs"))])
        found = rows(encoders, _names(modes), _names(baselines or ""))
        short = {"epochs": epochs, "pool": pool, "centre": centre}
        fields = with_short_forms(found, preset.settings, short)
        asked = requests(found, common, as_published, fields, out is not None)
        leave, ranks = not has_joined(), Ranks.joined()
        tell = partial(click.echo, err=True) if ranks.is_first else _nothing
        done, whole = [], None
        with watch_peers(leave, again):
            if clear_cache and ranks.is_first:
                tell(f"{cache.folder}: {cache.clear() / 1e6:.1f} MB of features removed")
            for line in told_of_scripts(found, corpus) if as_published else ():
                tell(line)
            for request in (replace(one, ranks=ranks) for one in asked):
                results = answered(request, progress(f"probe {request.name}", "fits"), tell)
                if robustness:
                    levels = progress(f"spoil {request.name}", "levels")
                    ranks.first_does(partial(spoiled.measure, replace(request, ranks=ALONE), levels, tell))
                if results is None or not ranks.is_first:
                    continue
                done.append(results)
                if not as_json:
                    answer(report.text(request.out, results))
                if request.out.parent == root and len(list(root.glob("*/results.json"))) > 1:
                    whole = ladder.write(root, results)
            spoilt: Mapping[str, Any] | None = None
            if robustness:
                levels = progress("spoil the best baseline", "levels")
                spoilt = ranks.first_does(lambda: spoiled.written(root, asked[0], done[0], levels, tell))
            if not ranks.is_first:
                return
            if as_json:
                told = [results.model_dump(mode="json") for results in done]
                answer(json.dumps(told if len(told) > 1 else told[0]))
                return
            if whole is not None:
                answer(f"{root / 'ladder.md'}:\n{ladder.markdown(whole)}")
            if spoilt:
                answer(f"robustness (balanced accuracy):\n{spoiled.markdown(spoilt)}")


def _nothing(_line: str) -> None:
    """Tell nothing: the first process of a job tells all."""


@click.command(cls=Command)
@click.argument("row", type=FOLDER, metavar="PROBE")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--out", type=FILE, required=True, help="The CSV to write: a row a window, and one a recording.")
@click.option("--encoder", default="", help="Where the encoder lies now.  [default: where it lay when it was probed]")
@click.option("--strict", is_flag=True, help="Status 1 if any recording could not be labelled.")
@click.option("--json", "as_json", is_flag=True, help="Print what is said of each recording as JSON.")
@click.pass_obj
def predict(
    raw_files: Callable[[], Any],
    row: Path,
    files: tuple[Path, ...],
    out: Path,
    encoder: str,
    strict: bool,
    as_json: bool,
) -> int:
    """Label raw recordings, whatever their montage, by what the fits of PROBE, the folder of a row, learnt."""
    from dare_eeg.probing import predict as predicting
    from manifests.atomic_io import require_writable, write_bytes

    predicting.refuse_other_than_labels(out)
    require_writable(out.parent)
    kept, raw = predicting.KeptProbe(row, encoder), raw_files()
    labelled, problems = [], []
    report = progress("predict", "recordings")
    for number, path in enumerate(files, start=1):
        try:
            labelled.append(kept.label(path, raw))
        except (DareError, OSError) as problem:
            problems.append(problem)
        report(number, len(files))
    for fault in problems if labelled else problems[:-1]:
        click.echo(f"not labelled: {fault}", err=True)
    if not labelled:
        raise problems[-1]
    classes = kept.results.classes
    click.echo(predicting.worth(kept.results), err=True)
    write_bytes(out, predicting.as_csv(labelled, classes))
    if as_json:
        answer(json.dumps([predicting.as_json(one, classes) for one in labelled]))
    else:
        answer("\n".join([*(predicting.text(one, classes) for one in labelled), str(out)]))
    return SOME_FAILED if strict and problems else OK


@click.command(cls=Command)
@click.argument("probes", nargs=-1, required=True, type=FOLDER, metavar="PROBE...")
@click.option("--published", "with_published", is_flag=True, help="Put them beside published rows instead, and say in"
              " what each was had otherwise.")  # fmt: skip
@click.option("--out", type=FILE, help="A file to write it to, too: .md, .csv or .json.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def compare(probes: tuple[Path, ...], with_published: bool, out: Path | None, as_json: bool) -> None:
    """Put the rows in the folders of ladders or rows side by side, of one corpus or many."""
    from dare_eeg.probing.tables import compare, published
    from manifests.atomic_io import canonical_json, write_bytes
    from manifests.records import Record

    if out and out.suffix not in (".md", ".csv", ".json"):
        raise click.UsageError(f"--out {out}: name a file that ends in .md, .csv or .json")
    found: Record
    if with_published:
        beside = found = published.beside(probes)
        text, lines = published.markdown(beside), published.as_csv(beside)
    else:
        compared = found = compare.compare(probes)
        text, lines = compare.markdown(compared), compare.as_csv(compared)
    if out:
        content = {".md": text.encode(), ".csv": lines, ".json": canonical_json(found.as_json())}
        write_bytes(out, content[out.suffix])
    answer(json.dumps(found.as_json()) if as_json else text)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
