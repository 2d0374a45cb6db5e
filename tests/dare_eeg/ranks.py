"""A job of several processes: ``dare`` commands run by every rank one after another, under any launcher.

As a program it is one rank: it runs the commands of a file and leaves what each gave back beside it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch.distributed as dist

from dare_eeg import engine
from tests.commands import Answer, dare

HOUSE = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LAUNCHERS = {
    "torchrun": [BIN / "torchrun", "--standalone", "--nproc-per-node", 2],
    "deepspeed": [BIN / "deepspeed", "--num_gpus", 2, "--master_port", 0],
}


def run_commands(file: Path) -> None:
    """Run the commands of a file in this process, with one process group for all of them."""
    answers = []
    with pytest.MonkeyPatch.context() as patch:
        # A process cannot join a second group after it has left the first.
        patch.setattr(engine, "stop", lambda: dist.barrier())
        for command in json.loads(file.read_text()):
            answers.append(dare(*command))
    engine.stop()
    file.with_name(f"answers-{os.environ['RANK']}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    run_commands(Path(sys.argv[-1]))
