"""A plan of seventy thousand recordings fits into memory, and its cost grows with their number alone."""

import json
import os
import subprocess
import sys

import pytest

from tests.pipelines.processes import HOUSE

pytestmark = pytest.mark.slow

COUNTED = """
import json, sys
from benchmarks.plan import simulate

num_calls = 0

def count(frame, event, argument):
    global num_calls
    num_calls += event in ("call", "c_call")

simulate(50)  # what is prepared only once
sys.setprofile(count if sys.argv[2] == "counted" else None)
told = simulate(int(sys.argv[1]))
sys.setprofile(None)
print(json.dumps(told | {"calls": num_calls}))
"""


def simulated(num_recordings: int, counted: str = "") -> dict[str, float]:
    """Plan, settle and fold so many recordings in a process of its own; return what benchmarks/plan.py tells."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(num_recordings), counted],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_ten_times_the_recordings_take_at_most_eleven_times_the_calls() -> None:
    fewer, more = simulated(700, "counted"), simulated(7_000, "counted")
    assert fewer["calls"] > 10_000
    assert more["calls"] <= 11 * fewer["calls"]


@pytest.mark.full
def test_seventy_thousand_recordings_take_less_than_two_gigabytes() -> None:
    told = simulated(70_000)
    assert told["shards"] > 2_000
    assert told["peak memory, MB"] < 2_000
