"""A set that grows: new recordings become new shards, the old ones stay byte for byte what they were."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manifests.errors import DareError
from pipelines import synth
from tests.commands import contents, dare, manifest, plan_of, preprocess_by_hand, recordings
from tests.judges import samples
from tests.pipelines.processes import HOUSE, committed

pytestmark = pytest.mark.slow

SETTINGS = ("shard_mb=0.05", "electrodes=C3,CZ,C4")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen recordings of twelve subjects, the first of whom has two."""
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder, 12, 24.0, seed=5)
    return folder


@pytest.fixture
def grown(raw: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Copy recordings into ``tmp_path/raw``, preprocess that tree into ``tmp_path/out`` and return the plan."""

    def grow(paths: list[Path], append: bool = True, out: str = "out", **options: Any) -> dict[str, Any]:
        src = tmp_path / "raw"
        for path in paths:
            (src / path.relative_to(raw)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, src / path.relative_to(raw))
        settings = options.pop("settings", SETTINGS)
        preprocess(src, tmp_path / out, settings, append=append, **options)
        return plan_of(tmp_path / out)

    return grow


def preprocess(src: Path, folder: Path, settings: tuple[str, ...] = SETTINGS, **options: Any) -> None:
    preprocess_by_hand("tuab", src, folder, settings, **options)


def paths_of(raw: Path) -> list[Path]:
    """Return the recordings, those of eval between those of train."""
    return sorted(raw.rglob("*.edf"), key=lambda path: path.name)


def known_windows(folder: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    return {key: (sample.counts.tobytes(), sample.fields) for key, sample in samples(folder).items()}


@pytest.mark.slow
@pytest.mark.parametrize("goes", [(1, 5, 9, 13), (12, 13), (4, 8, 12, 13)])
def test_appended_set_has_the_windows_and_splits_of_one_made_at_once(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]], goes: tuple[int, ...]
) -> None:
    out, paths = tmp_path / "out", paths_of(raw)
    for number in goes:
        before, sides = contents(out), {row["path"]: row["split"] for row in plan_rows(out)}
        files = committed(out)
        plan = grown(paths[:number])
        assert {row["path"]: row["split"] for row in plan["recordings"]}.items() >= sides.items()
        kept = {name: content for name, content in before.items() if name.partition("/")[2]}
        assert kept.items() <= contents(out).items()
        assert files.items() <= committed(out).items()
        assert dare("verify", out).status == 0
    preprocess(tmp_path / "raw", tmp_path / "once")
    assert known_windows(out) == known_windows(tmp_path / "once")
    subjects = {row["subject"]: row["split"] for row in recordings(out).values()}
    assert len(subjects) == 12
    assert {row["split"] for row in recordings(out).values() if "/eval/" in row["path"]} == {"test"}
    for name in ("electrodes", "corpus_version", "outcomes", "recipe_sha256"):
        assert manifest(out)[name] == manifest(tmp_path / "once")[name]
    for split, entry in manifest(out)["splits"].items():
        assert entry["subjects"] == sorted({one for one, side in subjects.items() if side == split})
        assert entry["samples"] == sum(shard["samples"] for shard in entry["shards"])


def plan_rows(folder: Path) -> list[dict[str, Any]]:
    return plan_of(folder)["recordings"] if (folder / "plan.json").exists() else []


def test_splits_of_the_hash_are_those_of_a_set_made_at_once(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]
) -> None:
    settings = (*SETTINGS, "valid_share=0.4")
    for number in (6, 13):
        grown(paths_of(raw)[:number], settings=settings)
    preprocess(tmp_path / "raw", tmp_path / "once", settings)
    assert not [note for note in manifest(tmp_path / "out")["notes"] if "empty" in note]
    assert recordings(tmp_path / "out") == recordings(tmp_path / "once")


def test_subject_that_filled_an_empty_valid_stays_there(raw: Path, grown: Callable[..., dict[str, Any]]) -> None:
    settings = (*SETTINGS, "valid_share=1e-9")
    paths = [path for path in paths_of(raw) if "/train/" in path.as_posix()]
    first = grown(paths[3:], settings=settings)
    (chosen,) = {row["subject"] for row in first["recordings"] if row["split"] == "valid"}
    second = grown(paths, settings=settings)
    assert {row["subject"] for row in second["recordings"] if row["split"] == "valid"} == {chosen}
    assert len([note for note in second["notes"] if "left valid empty" in note]) == 1


def test_lone_subject_is_joined_by_a_valid_one(raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]) -> None:
    settings = (*SETTINGS, "valid_share=1e-9")
    train = [path for path in paths_of(raw) if "/train/" in path.as_posix()]
    lone = [path for path in train if path.name.startswith(train[0].name[:8])]
    grown(lone, settings=settings)
    assert "is the only subject: valid is empty" in " ".join(manifest(tmp_path / "out")["notes"])
    plan = grown([*lone, train[-1]], settings=settings)
    assert {row["path"].rpartition("/")[2]: row["split"] for row in plan["recordings"]} == {
        **{path.name: "train" for path in lone},
        train[-1].name: "valid",
    }
    assert "only subject" not in " ".join(manifest(tmp_path / "out")["notes"])


def test_new_recordings_are_refused_unless_they_may_be_appended(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]
) -> None:
    grown(paths_of(raw)[:6])
    before = contents(tmp_path / "out")
    with pytest.raises(DareError, match=r"another plan \(2 recordings \(.* \.\.\.\) new\).*--overwrite.*--append"):
        grown(paths_of(raw)[:8], append=False)
    assert contents(tmp_path / "out") == before


def test_appended_set_is_gone_on_with_by_a_plain_run(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]
) -> None:
    grown(paths_of(raw)[:6])
    grown(paths_of(raw)[:9])
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    grown([], append=False)
    assert contents(tmp_path / "out") == before
    grown([], append=True)
    assert contents(tmp_path / "out") == before


def test_recordings_that_are_not_chosen_this_time_stay(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]
) -> None:
    grown(paths_of(raw)[:6])
    before = contents(tmp_path / "out")
    grown([], limit=2)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("harm", ["vanished", "changed"])
def test_recording_that_vanished_or_changed_is_named(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]], harm: str
) -> None:
    paths = paths_of(raw)
    grown(paths[:6])
    before = contents(tmp_path / "out")
    victim = tmp_path / "raw" / paths[2].relative_to(raw)
    if harm == "vanished":
        victim.unlink()
    else:
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    with pytest.raises(DareError, match=f"cannot be appended to: 1 recordings .*{victim.name}.* {harm} since"):
        grown(paths[6:8])
    assert contents(tmp_path / "out") == before


def test_shards_of_older_code_stay_as_it_read_them(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]
) -> None:
    first, *others = paths_of(raw)
    grown([first, *others[:4]], append=False)
    folder = tmp_path / "out"
    stored = json.loads((folder / "plan.json").read_text())
    for shard in stored["shards"].values():
        shard["code_version"] -= 1
    read_otherwise = stored["recordings"][0]["scanned"]
    read_otherwise["channel_map"].pop("CZ")
    (folder / "plan.json").write_text(json.dumps(stored))
    before = {name: content for name, content in contents(folder).items() if "/" in name}
    grown([], append=False)
    assert before.items() <= contents(folder).items(), "the same command finds it done"
    grown(others[4:6])
    assert before.items() < contents(folder).items()
    path = read_otherwise["raw"]["path"]
    note = f"1 recordings ({path}) of older shards are read otherwise today; --overwrite makes them so"
    assert note in manifest(folder)["notes"]
    with (tmp_path / "raw" / path).open("r+b") as file:
        file.write(b"1")
    with pytest.raises(DareError, match="changed"):
        grown(others[6:7])


def test_other_recipe_cannot_be_appended(raw: Path, grown: Callable[..., dict[str, Any]]) -> None:
    grown(paths_of(raw)[:6])
    with pytest.raises(DareError, match=r"cannot be appended to: made with another recipe: notch_hz 60\.0, now 50"):
        grown(paths_of(raw)[:8], settings=(*SETTINGS, "notch_hz=50"))


def test_recording_that_could_not_be_used_is_appended_when_it_is_mended(
    raw: Path, tmp_path: Path, grown: Callable[..., dict[str, Any]]
) -> None:
    paths = paths_of(raw)
    victim = tmp_path / "raw" / paths[1].relative_to(raw)
    victim.parent.mkdir(parents=True)
    victim.write_bytes(paths[1].read_bytes()[:300])
    grown([paths[0], *paths[2:6]])
    assert recordings(tmp_path / "out")[victim.relative_to(tmp_path / "raw").as_posix()]["outcome"] == "failed"
    files = committed(tmp_path / "out")
    grown(paths[:6])
    assert {row["outcome"] for row in recordings(tmp_path / "out").values()} == {"ok"}
    assert files.items() <= committed(tmp_path / "out").items()
    preprocess(tmp_path / "raw", tmp_path / "once")
    assert known_windows(tmp_path / "out") == known_windows(tmp_path / "once")


def test_balanced_subject_is_not_appended_to(raw: Path, grown: Callable[..., dict[str, Any]]) -> None:
    twice = [path for path in paths_of(raw) if path.name.startswith(paths_of(raw)[0].name[:8])]
    settings = (*SETTINGS, "balance=true")
    grown(twice[:1], settings=settings)
    with pytest.raises(DareError, match="of subjects whose windows are balanced already"):
        grown(twice, settings=settings)


DIE_AT_EACH_CHANGE = """
import os, signal, shutil, sys
from pathlib import Path
from tests.pipelines.test_append import preprocess

src, out, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
preprocess(src, out / "old", limit=1)
number, status = 0, signal.SIGKILL
while os.WIFSIGNALED(status):
    number += 1
    folder = shutil.copytree(out / "old", out / str(number))
    child = os.fork()
    if not child:
        left = number
        def hook(event, args):
            global left
            if event not in ("os.rename", "os.remove", "os.rmdir", "os.link"):
                return
            if str(folder) in str(args) or args[-1] != -1:  # or relative to an open folder, as where a tree is removed
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        preprocess(src, folder, limit=2, **{way: True})
        os._exit(0)
    _, status = os.waitpid(child, 0)
print(number)
"""
"""Changes a set's plan again and again, killed before its first, second ... change to the folder, until it lives."""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["append", "overwrite"])
def test_run_killed_at_any_change_leaves_the_old_set_or_the_new_one_unfinished(
    raw: Path, tmp_path: Path, way: str
) -> None:
    driven = subprocess.run(
        [sys.executable, "-c", DIE_AT_EACH_CHANGE, raw, tmp_path, way],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=True,
    )
    number = int(driven.stdout)
    assert number > 20
    old, unbroken = contents(tmp_path / "old"), contents(tmp_path / str(number))
    for death in range(1, number):
        folder = tmp_path / str(death)
        if death % 2:
            preprocess(raw, folder, limit=2, **{way: True})
            assert contents(folder) == unbroken
            continue
        num_planned = len(plan_rows(folder)) or 1  # without a plan, the old one is to be put back
        preprocess(raw, folder, limit=num_planned)
        assert contents(folder) == (old if num_planned == 1 else unbroken)
