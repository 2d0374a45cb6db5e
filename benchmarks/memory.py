"""What `dare preprocess` needs at most for a recording of a whole day: seconds and resident memory of its process.

    python benchmarks/memory.py [--hours H] [--channels N] [--rate R] [--keep DIR]

The recording is an EDF of noise in TUEG's tree, of 2.8 GB with the defaults, and is written first; the command has one
worker and makes a set for pretraining. The sum over the shards tells whether two versions of the code agree.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from manifests import recipe as recipes
from pipelines.synth.edf_writer import Channel, write_edf

COMMAND = """
import atexit, cli
status = "/proc/self/status"
atexit.register(lambda: print(next(line for line in open(status) if line.startswith("VmHWM")), end=""))
cli.main()
"""
"""The command, which ends by telling its own peak: what the system tells of a child counts its parent's memory too."""

PLACE = "edf/000/aaaaaaaa/s001_2012/01_tcp_ar/aaaaaaaa_s001_t000.edf"
HEADER_BYTES = 256


def main() -> None:
    """Write the recording, preprocess it in a process of its own and print what that took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--hours", type=int, default=24)
    arguments.add_argument("--channels", type=int, default=32)
    arguments.add_argument("--rate", type=int, default=512)
    arguments.add_argument("--keep", type=Path, help="a folder for the recording, which is taken again if it is there")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        src, out = given.keep or Path(scratch) / "raw", Path(scratch) / "out"
        if not (src / PLACE).exists():
            write_recording(src / PLACE, given.hours, given.channels, given.rate)
        seconds, peak_mb = preprocessed(src, out)
        print(f"{(src / PLACE).stat().st_size / 1e6:,.0f} MB of EDF, {given.hours} h: {seconds:.1f} s, ", end="")
        print(f"{peak_mb:.0f} MB resident at most; sha256 of all tars {sum_of_tars(out)}")


def write_recording(path: Path, hours: int, num_channels: int, rate_hz: int) -> None:
    """Write an EDF of so many hours, each with other noise of some 30 µV, without ever holding more than one."""
    names = [*recipes.load("tueg").electrodes, *(f"{number}" for number in range(20, 20 + num_channels))]
    random = np.random.default_rng(0)
    steps = random.standard_normal((num_channels, 3600 * rate_hz), np.float32)
    noise_uv = np.cumsum(steps, axis=1)
    noise_uv -= np.linspace(noise_uv[:, :1], noise_uv[:, -1:], noise_uv.shape[1], axis=1)[..., 0]
    noise_uv *= np.float32(30) / noise_uv.std(axis=1, keepdims=True)
    write_edf(
        path, [Channel(f"EEG {name}-REF", rate_hz, np.zeros(rate_hz)) for name in names[:num_channels]], "X X X X"
    )
    with path.open("r+b") as file:
        header = bytearray(file.read(HEADER_BYTES * (1 + num_channels)))
        header[236:244] = f"{3600 * hours:<8}".encode()
        file.seek(0)
        file.write(header)
        for hour in range(hours):
            digital = np.rint(np.roll(noise_uv, hour * 1009, axis=1) * 10).astype("<i2")
            file.write(digital.reshape(num_channels, 3600, rate_hz).transpose(1, 0, 2).tobytes())
        file.truncate()


def preprocessed(src: Path, out: Path) -> tuple[float, float]:
    """Return the seconds and the most resident memory, MB, of the command."""
    options = ["--src", str(src), "--out", str(out), "--for", "pretrain", "--workers", "1"]
    command = [sys.executable, "-c", COMMAND, "preprocess", "tueg", *options]
    begun_s = time.perf_counter()
    done = subprocess.run(command, env={"OMP_NUM_THREADS": "1"} | os.environ, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - begun_s
    return seconds, int(done.stdout.split()[-2]) / 1e3


def sum_of_tars(out: Path) -> str:
    """Return one hash of all tars, in order."""
    digest = hashlib.sha256()
    for path in sorted(out.rglob("*.tar")):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()
