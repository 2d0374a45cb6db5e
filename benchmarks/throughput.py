"""What a pretraining run gets out of a machine, and what one epoch of 10,000 hours of EEG would cost on it.

    python benchmarks/throughput.py --folder DIR [--sizes base,deep] [--micro-batch 64] [--steps 60] [--precision bf16]
        [--targets published]

Each size is trained by `dare pretrain` itself, on windows that benchmarks/stream.py makes in DIR. Rates are medians
of the second half of the steps but the last, after which a run validates; on a CPU they are windows per second of
processor time, of one core therefore. Memory is the most that torch had allocated. The arithmetic of a step is counted
by torch in a run of its own, and its share is of what the GPU's makers promise for dense bfloat16. An epoch of 10,000
hours in windows of 4 s takes 10,000 x 3,600 / 4 / (windows/s) seconds, of the GPU or of one core.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stream import cpu, make
from dare_eeg.data.shards import TrainingSet
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.pretrain import pretrain

PEAK_TFLOPS = {"A100": 312, "H100": 989, "H200": 989, "B200": 2250}
COUNTED_STEPS = 4
EPOCH_WINDOWS = 10_000 * 3600 // 4


def main() -> None:
    """Train each size and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folder", type=Path, required=True, help="where the windows are, or are to be made")
    arguments.add_argument("--windows", type=int, default=3000)
    arguments.add_argument("--sizes", default="base,deep")
    arguments.add_argument("--micro-batch", type=int, default=64)
    arguments.add_argument("--steps", type=int, default=60)
    arguments.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    arguments.add_argument("--targets", default="ours", choices=["ours", "published"], help="48 a window, or 538 or so")
    given = arguments.parse_args()
    sets = [make(given.folder, given.windows, 4)]
    on_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if on_gpu else cpu()
    peak = next((tflops for model, tflops in PEAK_TFLOPS.items() if on_gpu and model in name), None)
    unit, batch = ("GPU" if on_gpu else "core"), given.micro_batch
    print(f"{name}, torch {torch.__version__}, {given.precision}, targets {given.targets}, batches of {batch}")
    print(f"| size | windows/s a {unit} | data wait | peak memory | TFLOP a step | of peak | {unit}-hours an epoch |")
    print("|---|---|---|---|---|---|---|")
    for size in given.sizes.split(","):
        config = {"size": size, "precision": given.precision, "global_batch": batch, "micro_batch": batch}
        if given.targets == "published":
            config["targets"] = ()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        late = train(sets, given.steps, config)[given.steps // 2 : -1]
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if on_gpu else "–"
        seconds = statistics.median(batch / line["samples_per_s"] if on_gpu else line["processor_s"] for line in late)
        wait = statistics.median(line["data_wait_s"] * line["samples_per_s"] / batch for line in late)
        work = tflop(sets, config)
        share = f"{work / seconds / peak:.1%}" if peak else "–"
        hours = EPOCH_WINDOWS * seconds / batch / 3600
        print(
            f"| {size} | {batch / seconds:,.2f} | {wait:.1%} | {memory} | {work:.3f} | {share} | {hours:,.0f} |",
            flush=True,
        )


def train(sets: list[TrainingSet], steps: int, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Train some steps and return the metrics of each, with the seconds of processor since the one before."""
    lines: list[dict[str, Any]] = []
    last = time.process_time()

    def keep(_step: int, _total: int, metrics: dict[str, Any]) -> None:
        nonlocal last
        now = time.process_time()
        lines.append(metrics | {"processor_s": now - last})
        last = now

    with tempfile.TemporaryDirectory() as out:
        whole = {"shards": str(sets[0].train.folder), "out": f"{out}/run", "steps": steps, "checkpoint_every": steps}
        pretrain(PretrainConfig(**whole, **config), sets, keep)
    return lines


def tflop(sets: list[TrainingSet], config: dict[str, Any]) -> float:
    """Return 10^12 operations of a step: what a run does beyond one with fewer steps, which validates as often.

    It is counted in bfloat16: torch does not know what oneDNN does for it in float32.
    """
    counted = []
    for steps in (1, 1 + COUNTED_STEPS):
        with FlopCounterMode(display=False) as counter:
            train(sets, steps, config | {"precision": "bf16"})
        counted.append(counter.get_total_flops())
    return (counted[1] - counted[0]) / COUNTED_STEPS / 1e12


if __name__ == "__main__":
    main()
