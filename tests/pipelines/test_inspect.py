"""What lies somewhere is told in lines a person reads, with the layout that would read it, and as JSON."""

import json
import re
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tests.commands import dare, recordings, unusable
from tests.pipelines.own_trees import TASKS, made, signal_uv, write


def test_bids_tree_is_told_with_its_events_and_tables(tmp_path: Path) -> None:
    for number in (1, 2):
        name = f"sub-0{number}"
        write(tmp_path / name / "eeg" / f"{name}_task-x_eeg.edf", TASKS)
        rows = "".join(f"{onset_s}\t{lasts_s}\t{what}\n" for onset_s, lasts_s, what in TASKS)
        (tmp_path / name / "eeg" / f"{name}_task-x_events.tsv").write_text(f"onset\tduration\ttrial_type\n{rows}")
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\nsub-01\told\nsub-02\tyoung\n")
    answer = dare("inspect", tmp_path)
    assert answer.status == 0
    for line in (
        "bids: yes",
        "recordings: 2",
        "rates: 128 Hz in 2",
        "electrodes: C3, CZ, C4, each in 2",
        "  events trial_type: loud 4, soft 2",
        "  participants.tsv: participant_id; group",
        "layout that would read it:",
        '  labels = "events"  # the column trial_type of *_events.tsv, in 2 of 2 looked into',
    ):
        assert line in answer.out.splitlines()
    assert not any(mark in answer.out for mark in ("{'", "['"))
    facts = json.loads(dare("inspect", tmp_path, "--json").out)
    assert (facts["bids"], facts["rates"], facts["electrodes"]["C3"]) == (True, {"128 Hz": 2}, 2)
    assert facts["labels"] == {"events trial_type": {"loud": 4, "soft": 2}}


def test_mat_of_arrays_is_told_and_its_layout_reads_it(tmp_path: Path) -> None:
    data_uv = signal_uv(TASKS, 40)
    (tmp_path / "raw").mkdir()
    names = np.array(["C3", "Cz", "C4"], object)
    savemat(tmp_path / "raw" / "P1.mat", {"eeg": data_uv.T, "srate": 128.0, "names": names, "whose": "P1"})
    answer = dare("inspect", tmp_path / "raw" / "P1.mat")
    assert (answer.status, "  eeg: 5120 × 3" in answer.out, "  whose: text 'P1'" in answer.out) == (0, True, True)
    layout = answer.out.partition("layout that would read it:\n")[2].partition("  [layout.arrays]\n")[2]
    made(tmp_path / "raw", tmp_path, f'files = "{{subject}}.mat"\n[layout.arrays]\n{layout}')
    assert recordings(tmp_path / "shards" / "mine-pretrain")["P1.mat"]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((40, 8, 512), "trial channel time"), ((8, 512, 40), "channel time trial"), ((512, 8, 40), "time channel trial")],
)
def test_axes_of_trials_are_guessed_and_said_to_be(tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape))
    out = dare("inspect", tmp_path / "a.npy").out
    assert f'axes = "{axes}"  # guessed from {" × ".join(map(str, shape))}: look that they are' in out
    assert 'variables = "array"' in out
    assert "sfreq_hz = 0  # the file does not say: state it" in out


def test_names_that_toml_or_a_regular_expression_would_misread_are_escaped(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"my-eeg.v1": np.ones((3, 100)), "names": np.array(["C3", 'C"4', "C\\z"])})
    layout = dare("inspect", tmp_path / "a.npz").out.partition("[layout.arrays]")[2]
    held = tomllib.loads(textwrap.dedent(layout))
    assert re.fullmatch(held["variables"], "my-eeg.v1")
    assert held["channels"] == ["C3", 'C"4', "C\\z"]


def test_file_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], object))
    answer = dare("inspect", tmp_path / "a.npy")
    assert (answer.status, "layout" in answer.out) == (2, False)


@pytest.mark.parametrize(("times", "more"), [("time", ""), ("ms", 'time_unit = "ms"')])
def test_table_with_a_row_a_sample_is_told_by_its_columns(tmp_path: Path, times: str, more: str) -> None:
    step = 1 / 128 if times == "time" else 1000 / 128
    rows = "\n".join(f"{number * step:.6f};{number % 7};{number % 5};x" for number in range(300))
    (tmp_path / "a.csv").write_text(f"{times};AF3;F7;mark\n{rows}\n")
    out = dare("inspect", tmp_path / "a.csv").out
    assert "rows: 300" in out
    assert 'columns = ["AF3", "F7"]' in out
    assert f'time = "{times}"' in out
    assert "sfreq_hz = 128  # by its times" in out
    assert more in out


def test_table_of_people_is_told_as_one_of_labels(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("subject,group\n" + "".join(f"P{n},{'ab'[n % 2]}\n" for n in range(8)))
    out = dare("inspect", tmp_path / "people.csv").out
    assert "  group: 2 different, such as a, b" in out
    assert 'recordings = { file = "people.csv", subject = "subject", label = "group" }' in out


def test_folder_of_arrays_is_told_by_one_of_each_kind(tmp_path: Path) -> None:
    for number in range(3):
        np.save(tmp_path / f"a{number}.npy", np.ones((3, 100 + number)))
    answer = dare("inspect", tmp_path)
    assert "a0.npy:" in answer.out.splitlines()
    assert "    array: 3 × 100" in answer.out.splitlines()


def test_damaged_mat_is_refused_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    unusable(dare("inspect", tmp_path / "a.mat"), tmp_path / "a.mat")


def test_files_that_cannot_be_read_are_told_of(tmp_path: Path) -> None:
    write(tmp_path / "a.edf", TASKS)
    (tmp_path / "b.edf").write_bytes(b"<html>")
    assert "  b.edf: is an HTML page, not a recording; download it again" in dare("inspect", tmp_path).out
