"""A recording that is too long to be read at once needs no more memory than a piece of it and the shard."""

from pathlib import Path

import pytest

from benchmarks.memory import PLACE, preprocessed, write_recording

pytestmark = pytest.mark.slow

IDLE_MB, PIECE_MB, ROOM_MB = 100, 140, 80
"""The command with all that it imports; 128 MB as float32 and what lies around; counts, transforms and the rest."""


def test_hour_of_many_channels_is_read_in_little_memory(tmp_path: Path) -> None:
    write_recording(tmp_path / "raw" / PLACE, hours=1, num_channels=32, rate_hz=512)
    _, peak_mb = preprocessed(tmp_path / "raw", tmp_path / "out")
    assert peak_mb < IDLE_MB + PIECE_MB + ROOM_MB
