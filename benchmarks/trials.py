"""What makes every part of pretraining learn: short runs on real recordings, each a choice or two from the default.

    python -m benchmarks.trials --real DIR --out DIR [NAME ...]

Four of ten subjects of eegmat are kept from training, and every network is measured on them with the same crops,
masks, targets and batches, whatever it was trained with. Each trial is a ``dare`` command as a user would give it; one
that OUT holds is not run again, one that was interrupted goes on. The table it prints is Markdown and has every trial.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.real_run import baselines, dare, make_shards
from dare_eeg.data.shards import TrainingSet, training_sets
from dare_eeg.network import losses
from dare_eeg.network.constants import PATCH
from dare_eeg.network.model import SIZES, Network, Outputs, cut_patches
from dare_eeg.running.engine import start_engine
from dare_eeg.running.ranks import Ranks
from dare_eeg.training import config
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import Loader, valid_batches
from dare_eeg.training.micro_batch import MicroBatch
from dare_eeg.training.pretrain import plan_order
from dare_eeg.training.resume import RunPlan, has_checkpoint, resume_run
from manifests.atomic_io import canonical_json, write_bytes

COMMON = "--size nano --steps 500 --global-batch 32 --micro-batch 32 --precision fp32"

PUBLISHED_RATE = "--lr 5e-4"

TRIALS: dict[str, str] = {
    "default": "",
    "default, seed 1": "--seed 1",
    "default, 1,000 steps": "--steps 1000",
    "default, 1,500 steps": "--steps 1500",
    "as published": "--as-published",
    "published rate": PUBLISHED_RATE,
    "published rate, seed 1": f"{PUBLISHED_RATE} --seed 1",
    "published rate, 1,000 steps": f"{PUBLISHED_RATE} --steps 1000",
    "lr 5e-3": "--lr 5e-3",
    "published targets": f"{PUBLISHED_RATE} --set targets=[]",
    "published init": f"{PUBLISHED_RATE} --set init=published",
    "published unit scale": f"{PUBLISHED_RATE} --set unit_scale=0.001",
    "three times the visible targets": f"{PUBLISHED_RATE} --set targets=[108,12]",
    "a mask a window": f"{PUBLISHED_RATE} --masking window",
    "masks of fixed shape": "--masking fixed",
    "no second view": f"{PUBLISHED_RATE} --case 4",
    "batches of 16": "--global-batch 16 --micro-batch 16 --steps 1000",
    "batches of 16, published rate": f"{PUBLISHED_RATE} --global-batch 16 --micro-batch 16 --steps 1000",
    "batches of 64": "--global-batch 64 --micro-batch 64",
    "batches of 64, 250 steps": "--global-batch 64 --micro-batch 64 --steps 250",
    "light, 250 steps": "--size light --steps 250",
    "light, lr 2e-3, 250 steps": "--size light --lr 2e-3 --steps 250",
    "small, 100 steps": "--size small --steps 100",
    "small, lr 2e-3, 100 steps": "--size small --lr 2e-3 --steps 100",
    "base, 60 steps": "--size base --steps 60",
    "base, lr 2e-3, 60 steps": "--size base --lr 2e-3 --steps 60",
}
"""What each trial says to ``dare pretrain`` beyond `COMMON`."""

JUDGED: dict[str, Any] = {
    "micro_batch": 32, "targets": (36, 12), "masking": "published", "second_view": "own_patch", "valid_draws": "new",
    "seed": 2025,
}  # fmt: skip
"""What every network is measured with."""

DRAWS = 8
"""How often each unseen segment is cropped and masked anew."""

COLUMNS = {
    "visible": "visible", "hidden": "hidden", "anchor": "anchor", "contrast": "contrast", "top_1": "top-1",
    "target_variance": "target variance", "effective_rank": "rank",
}  # fmt: skip


def main() -> None:
    """Run the trials that are not there yet and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {'; '.join(TRIALS)}")
    arguments.add_argument("--real", type=Path, default=os.environ.get("DARE_REAL_DATA"))
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    names = given.names or list(TRIALS)
    if given.real is None or not set(names) <= set(TRIALS):
        arguments.error("--real or DARE_REAL_DATA names the folder of real recordings, NAME a trial of the list")
    shards = given.out / "shards"
    if not (shards / "merged").exists():
        make_shards(given.real, shards, "--set", "valid_share=0.3")
    told = {name: trial(TRIALS[name], shards, given.out / name.replace(",", "").replace(" ", "-")) for name in names}
    print(table(told, shards, given.out))


def trial(options: str, shards: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Train, measure and probe one trial, unless that was done, and return what was found."""
    found = out / "trial.json"
    if not found.exists():
        resume = ["--resume"] if has_checkpoint(out) else []
        dare("pretrain", "--shards", shards / "merged", *COMMON.split(), *options.split(), "--out", out, *resume)
        measured = measure(out, training_sets(shards / "merged", ()))
        write_bytes(found, canonical_json({"measured": measured, "probed": probe(str(out), shards, out / "probe")}))
    return json.loads(found.read_text())


def probe(encoder: str, shards: Path, out: Path, seeds: int = 1) -> dict[str, Any]:
    """Return the metrics of rest against arithmetic, each of the ten subjects left out in turn."""
    if not (out / "results.json").exists():
        dare(
            "probe", "eegmat", "--shards", shards / "eegmat", "--encoder", encoder, "--size", "nano",
            "--protocol", "loso", "--seeds", seeds, "--out", out,
        )  # fmt: skip
    return json.loads((out / "results.json").read_text())["metrics"]["window"]


@torch.no_grad()
def measure(run: Path, sets: list[TrainingSet]) -> dict[str, float]:
    """Return each part on the unseen subjects, of the network that a run ended with.

    Reconstruction is a share of the targets' power, apart for visible and hidden time patches, and the anchor a share
    of the target features' variance: 1 is nothing learned.
    """
    trained = config.load(run / "config.toml", {})
    network = Network(SIZES[trained.size], trained.init, trained.objective)
    # As it is in the checkpoint's optimizer.
    network.loss_mc.requires_grad_(trained.train_head and trained.objective.second_view)
    order = plan_order(trained, [one for one in sets if len(one.train)])
    engine = start_engine(network, trained.engine)
    resume_run(run, engine, Ranks.of(engine), RunPlan.of(trained, order, engine))
    judged = trained.model_copy(update=JUDGED)
    batches = [batch for draw in range(DRAWS) for batch in valid_batches(sets, judged, draw)]
    passes = [(batch, _forward(network, batch, trained)) for batch in batches]
    parts = [_parts(batch, outputs) for batch, outputs in passes]
    means = {name: torch.cat([part[name] for part in parts]).mean(dim=0) for name in parts[0]}
    h, h_raw = (torch.cat([getattr(outputs, name) for _, outputs in passes]) for name in ("h", "h_raw"))
    found = {
        "visible": means["visible"][0] / means["visible"][1],
        "hidden": means["hidden"][0] / means["hidden"][1],
        "anchor": means["anchor"] / losses.target_variance(h),
        "contrast": means["contrast"],
        "top_1": means["top_1"],
        "target_variance": losses.target_variance(h_raw),
        "effective_rank": losses.effective_rank(h_raw),
    }
    return {name: round(value.item(), 4) for name, value in found.items()}


def _forward(network: Network, batch: MicroBatch, trained: PretrainConfig) -> Outputs:
    """Return what the network makes of the windows of a batch, padding left out."""
    x_BCT, ids_C, _, weight_B = batch.tensors(torch.device("cpu"), trained.unit_scale)
    return network(x_BCT[weight_B > 0], ids_C, batch.masks)


def _parts(batch: MicroBatch, outputs: Outputs) -> dict[str, Tensor]:
    """Return each part by window (B,), reconstruction as (B, 2): mean squared error and mean power."""
    visible = _among_visible(batch)
    both_BY2 = torch.stack(((outputs.recon - outputs.y).square().mean(-1), outputs.y.square().mean(-1)), dim=-1)
    proj1, proj2 = (F.normalize(views, dim=-1) for views in (outputs.proj1, outputs.proj2))
    itself = torch.arange(len(proj1))
    return {
        "visible": both_BY2[:, visible].mean(dim=1),
        "hidden": both_BY2[:, ~visible].mean(dim=1),
        "anchor": (outputs.pred - outputs.h).square().flatten(1).mean(dim=1),
        "contrast": losses.contrast(proj1, proj2, torch.tensor(0.1)).expand(len(itself)),
        "top_1": ((proj1 @ proj2.mT).argmax(dim=1) == itself).float(),
    }


def _among_visible(batch: MicroBatch) -> Tensor:
    """Return which targets (Y,) lie in time patches of which some electrodes are seen."""
    electrodes = len(batch.ids)
    return torch.from_numpy(np.isin(batch.masks.mask_y // electrodes, batch.masks.mask_x[:, 0] // electrodes))


def interpolation(sets: list[TrainingSet]) -> float:
    """Return what is left of visible targets by the best linear guess from the electrodes seen in the same patch.

    Its weights follow from the covariance of electrodes over one epoch of the training subjects' patches.
    """
    eegmat = [one for one in sets if len(one.valid)]
    steps = len(eegmat[0].train) // JUDGED["micro_batch"]
    plain = PretrainConfig(shards="", out="", steps=steps, global_batch=JUDGED["micro_batch"], **JUDGED)
    covariance = torch.zeros(())
    for batch in Loader(plan_order(plain, eegmat), eegmat, plain):
        y_BNCP = _patches(batch)
        covariance = covariance + torch.einsum("bncp,bndp->cd", y_BNCP, y_BNCP) / (y_BNCP[:, :, 0].numel() * steps)
    error, power = [], []
    for batch in (batch for draw in range(DRAWS) for batch in valid_batches(eegmat, plain, draw)):
        y_BNCP, electrodes = _patches(batch), len(batch.ids)
        seen = {int(row[0]) // electrodes: torch.from_numpy(row % electrodes) for row in batch.masks.mask_x}
        for token in batch.masks.mask_y[_among_visible(batch).numpy()].tolist():
            patch, electrode = divmod(token, electrodes)
            known = seen[patch]
            weights = torch.linalg.lstsq(covariance[known][:, known], covariance[known, electrode]).solution
            guess = torch.einsum("k,bkp->bp", weights, y_BNCP[:, patch, known])
            error.append((guess - y_BNCP[:, patch, electrode]).square().mean(dim=1))
            power.append(y_BNCP[:, patch, electrode].square().mean(dim=1))
    return (torch.cat(error).mean() / torch.cat(power).mean()).item()


def _patches(batch: MicroBatch) -> Tensor:
    """Return the normalised patches (B, N, C, P) of a batch, padding left out."""
    x_BCT, _, _, weight_B = batch.tensors(torch.device("cpu"), 0.01)
    return F.layer_norm(cut_patches(x_BCT[weight_B > 0]), (PATCH,))


def table(told: dict[str, dict[str, Any]], shards: Path, out: Path) -> str:
    """Return the trials and what they must beat, a row each."""
    lines = [
        f"| trial | options | {' | '.join(COLUMNS.values())} | bal. acc. | AUROC |",
        f"|---|---|{'---|' * (len(COLUMNS) + 2)}",
    ]
    for name, found in told.items():
        parts = " | ".join(f"{found['measured'][column]:.3f}" for column in COLUMNS)
        lines.append(
            f"| {name} | {f'`{TRIALS[name]}`' if TRIALS[name] else ''} | {parts} | {_probed(found['probed'])} |"
        )
    others = {"scratch": probe("scratch", shards, out / "scratch", seeds=3)}
    others |= {name: levels["window"] for name, levels in baselines(shards / "eegmat").items()}
    lines.append(f"| linear interpolation | | {interpolation(training_sets(shards / 'merged', ())):.3f} |{' |' * 8}")
    lines += [f"| {name} | |{' |' * len(COLUMNS)} {_probed(metrics)} |" for name, metrics in others.items()]
    return "\n".join(lines)


def _probed(metrics: dict[str, Any]) -> str:
    cells = [(metrics[name]["mean"], *metrics[name]["ci95"]) for name in ("balanced_accuracy", "auroc")]
    return " | ".join("{:.3f} ({:.2f}–{:.2f})".format(*cell) for cell in cells)


if __name__ == "__main__":
    main()
