"""What a pretraining run gets out of a machine: windows a second, waiting for data, memory, share of the peak.

    python benchmarks/throughput.py --folder DIR [--sizes base,deep] [--micro-batch 64] [--steps 60]

Each size is trained by `dare_eeg.pretrain` itself, on windows that benchmarks/stream.py makes in DIR. Rates are medians
of the second half of the steps; memory is the most that torch had allocated. The arithmetic of a step is counted by
torch in a run of its own, and its share is of what the GPU's makers promise for dense bfloat16.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stream import cpu, make
from dare_eeg.config import PretrainConfig
from dare_eeg.pretrain import pretrain
from dare_eeg.shards import TrainingSet

PEAK_TFLOPS = {"A100": 312, "H100": 989, "H200": 989, "B200": 2250}
COUNTED_STEPS = 8


def main() -> None:
    """Train each size and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folder", type=Path, required=True, help="where the windows are, or are to be made")
    arguments.add_argument("--windows", type=int, default=3000)
    arguments.add_argument("--sizes", default="base,deep")
    arguments.add_argument("--micro-batch", type=int, default=64)
    arguments.add_argument("--steps", type=int, default=60)
    given = arguments.parse_args()
    sets = [make(given.folder, given.windows, 4)]
    on_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if on_gpu else cpu()
    peak = next((tflops for model, tflops in PEAK_TFLOPS.items() if on_gpu and model in name), None)
    print(f"{name}, torch {torch.__version__}, bfloat16 autocast, batches of {given.micro_batch}, median of steps")
    print("| size | windows/s | data wait | peak memory | TFLOP a step | share of peak |\n|---|---|---|---|---|---|")
    for size in given.sizes.split(","):
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        late = train(sets, size, given.micro_batch, given.steps)[given.steps // 2 :]
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if on_gpu else "–"
        rate = statistics.median(line["samples_per_s"] for line in late)
        wait = statistics.median(line["data_wait_s"] * line["samples_per_s"] / given.micro_batch for line in late)
        work = tflop(sets, size, given.micro_batch)
        share = f"{work * rate / given.micro_batch / peak:.1%}" if peak else "–"
        print(f"| {size} | {rate:,.0f} | {wait:.1%} | {memory} | {work:.3f} | {share} |", flush=True)


def train(sets: list[TrainingSet], size: Any, micro_batch: int, steps: int) -> list[dict[str, Any]]:
    """Train some steps and return the metrics of each."""
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as out:
        config = PretrainConfig(
            shards=str(sets[0].train.folder), out=f"{out}/run", size=size, steps=steps, checkpoint_every=steps,
            global_batch=micro_batch, micro_batch=micro_batch, precision="bf16",
        )  # fmt: skip
        pretrain(config, sets, lambda step, total, metrics: lines.append(metrics))
    return lines


def tflop(sets: list[TrainingSet], size: Any, micro_batch: int) -> float:
    """Return 10^12 operations of a step: what a run does beyond one with fewer steps, which validates as often."""
    counted = []
    for steps in (1, 1 + COUNTED_STEPS):
        with FlopCounterMode(display=False) as counter:
            train(sets, size, micro_batch, steps)
        counted.append(counter.get_total_flops())
    return (counted[1] - counted[0]) / COUNTED_STEPS / 1e12


if __name__ == "__main__":
    main()
