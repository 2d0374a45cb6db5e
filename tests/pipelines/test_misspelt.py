"""What is misspelt is asked for, and the dry run says of every recording what the run says."""

import json
from pathlib import Path

import pytest

from tests.commands import dare, preprocess, recordings, unusable
from tests.pipelines.own_trees import BY_SUBJECT, CLASSES, TASKS, made, recipe, refused, write

LAYOUT = f'{BY_SUBJECT}labels = "annotations"\n'


def people(folder: Path, names: tuple[str, ...] = ("P1", "P2", "P3"), marked: bool = True) -> Path:
    for name in names:
        write(folder / name / "day1.edf", TASKS, TASKS if marked else ())
    return folder


def verdicts(src: Path, folder: Path, layout: str, more: str) -> dict[str, tuple[str, str]]:
    """Return the outcome and reason of each recording, which a dry run and a run must agree on."""
    own = recipe(folder, layout, more)
    dry = dare("preprocess", "mine", "--src", src, "--recipe", own, "--dry-run", "--json", "--workers", 1)
    foretold = {row["path"]: (row["outcome"], row["reason"]) for row in json.loads(dry.out)["recordings"]}
    rows = recordings(preprocess("mine", src, folder / "shards", "--recipe", own))
    assert {path: outcome for path, (outcome, _) in foretold.items()} == {p: row["outcome"] for p, row in rows.items()}
    for path, (outcome, reason) in foretold.items():
        assert outcome == "ok" or reason == rows[path]["reason"]
    return foretold


@pytest.mark.parametrize(
    ("name", "meant"), [("AFF3", "AF3"), ("CZZ", "CZ"), ("FCZ-C33", "C3"), ("XYZ99", "dare inspect lists")]
)
def test_electrode_that_nobody_knows_is_asked_for(tmp_path: Path, name: str, meant: str) -> None:
    people(tmp_path / "raw")
    own = recipe(tmp_path, LAYOUT, CLASSES)
    own.write_text(own.read_text().replace("'C3'", f"'C3', '{name}'"))
    for more in ((), ("--dry-run",)):
        answer = dare("preprocess", "mine", "--src", tmp_path / "raw", "--out", tmp_path, "--recipe", own, *more)
        unusable(answer, f"electrodes: no recording has {name.split('-')[-1]}", meant)


def test_electrode_of_the_scalp_or_of_a_file_may_be_lacking_elsewhere(tmp_path: Path) -> None:
    people(tmp_path / "raw")
    own = recipe(tmp_path, LAYOUT, CLASSES)
    own.write_text(own.read_text().replace("'C3'", "'C3', 'TP9', 'IZ', 'M1'"))
    assert preprocess("mine", tmp_path / "raw", tmp_path / "shards", "--recipe", own).exists()


def test_set_whose_recipe_names_such_an_electrode_still_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people(tmp_path / "raw")
    own = recipe(tmp_path, LAYOUT, CLASSES)
    own.write_text(own.read_text().replace("'C3'", "'C3', 'AFF3'"))
    with monkeypatch.context() as older:
        older.setattr("pipelines.scan.refuse_misspelt", lambda *_: None)
        preprocess("mine", tmp_path / "raw", tmp_path / "shards", "--recipe", own)
    people(tmp_path / "raw", ("P4",))
    out = preprocess("mine", tmp_path / "raw", tmp_path / "shards", "--recipe", own, "--append")
    assert recordings(out)["P4/day1.edf"]["outcome"] == "ok"


def test_class_that_no_label_gives_is_told_with_the_one_that_is_meant(tmp_path: Path) -> None:
    people(tmp_path / "raw")
    classes = CLASSES.replace('"loud"', '"lodu"')
    folder = made(tmp_path / "raw", tmp_path, LAYOUT, classes)
    told = dare("inspect", folder).out
    assert "  lodu: a class without a window" in told
    assert "    3: 'loud' is of no class and 'lodu' has no event: is one of them misspelt?" in told
    own = recipe(tmp_path, LAYOUT, classes)
    dry = dare("preprocess", "mine", "--src", tmp_path / "raw", "--recipe", own, "--dry-run").out
    assert "  lodu: no label stands for it" in dry
    assert "'loud' is of no class and 'lodu' has no event" in dry


def test_other_texts_of_annotations_are_not_told(tmp_path: Path) -> None:
    for name in ("P1", "P2"):
        write(tmp_path / "raw" / name / "day1.edf", TASKS, [*TASKS, (1.0, 0.0, "Jane Doe coughs"), (2.0, 0.0, "T1")])
    folder = made(tmp_path / "raw", tmp_path, LAYOUT, 'classes = ["soft", "T2"]\nwindow_s = 2\n')
    told = dare("inspect", folder).out
    assert "Jane" not in told
    assert "misspelt" not in told, "T1 and T2 are two names"


def test_label_of_a_name_that_is_nearly_a_class_is_told(tmp_path: Path) -> None:
    for name in ("P1_Control", "P2_Patient", "P3_Control"):
        write(tmp_path / "raw" / f"{name}.edf")
    layout = 'files = "{subject}_{label}.edf"\nlabels = "name"\n'
    folder = made(tmp_path / "raw", tmp_path, layout, 'classes = ["Contrl", "Patient"]\n')
    reasons = {row["reason"] for row in recordings(folder).values() if row["outcome"] == "skipped"}
    assert reasons == {"its label 'Control' stands for none of Contrl, Patient: is it 'Contrl' misspelt?"}


@pytest.mark.parametrize("bids", [True, False])
def test_recordings_without_events_are_skipped_and_told_in_the_dry_run_too(tmp_path: Path, bids: bool) -> None:
    rows = "".join(f"{onset_s}\t{lasts_s}\t{what}\n" for onset_s, lasts_s, what in TASKS)
    for number in range(5):
        name = f"sub-0{number}"
        stem = tmp_path / "raw" / name / "eeg" / f"{name}_task-x"
        write(stem.with_name(f"{stem.name}_eeg.edf"), TASKS, TASKS if number else ())
        if bids and number != 1:
            told = rows if number else ""
            stem.with_name(f"{stem.name}_events.tsv").write_text(f"onset\tduration\ttrial_type\n{told}")
    labels = "events" if bids else "annotations"
    found = verdicts(tmp_path / "raw", tmp_path, f'bids = true\nlabels = "{labels}"\n', CLASSES)
    first, second = (found[f"sub-0{number}/eeg/sub-0{number}_task-x_eeg.edf"] for number in (0, 1))
    table = "sub-00/eeg/sub-00_task-x_events.tsv"
    lacking = f"there is no event of it in {table}" if bids else "has no annotations"
    assert first == ("skipped", f"gives no window; {lacking}")
    if bids:
        assert second == ("skipped", "labels: there is no sub-01/eeg/sub-01_task-x_events.tsv")


def test_rate_too_low_is_told_once_with_what_to_set(tmp_path: Path) -> None:
    people(tmp_path / "raw", tuple(f"P{number}" for number in range(6)))
    own = recipe(tmp_path, LAYOUT, CLASSES)
    own.write_text(own.read_text().replace("[0.5, 40]", "[0.5, 75]").replace("sfreq_hz = 128", "sfreq_hz = 256"))
    said = "lower it with --set band_hz=0.5,60"
    command = ("preprocess", "mine", "--src", tmp_path / "raw", "--out", tmp_path, "--recipe", own)
    dry = dare(*command, "--dry-run").out
    assert dry.count(said) == 1
    assert "  6: sampled at 128 Hz" in dry
    assert dry.count("skipped: too slow, see below") == 6
    answer = dare(*command)
    unusable(answer, "no recording can be used (6 of 6: sampled at 128 Hz", said)
    assert dare(*command, "--set", "band_hz=0.5,60").status == 0


def test_fields_of_a_layout_are_those_that_are_told(tmp_path: Path) -> None:
    people(tmp_path / "raw")
    said = refused(tmp_path / "raw", tmp_path, f'{BY_SUBJECT}lables = "annotations"\n')
    assert "layout.lables: is no field; did you mean labels? fields of layout are arrays, bids, " in said
    assert "quantum_uv" not in said
