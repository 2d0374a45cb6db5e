"""Continuous recordings: what a store holds by zarr itself, and sets cut from it against sets cut from raw files."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from manifests import recipe as recipes
from manifests.recipe import Recipe
from pipelines import corpora
from pipelines.conditioning import condition
from pipelines.quality import MEASURED
from pipelines.recording import Recording, Segment
from pipelines.sources.archive import SIGNAL_FIELDS
from tests.commands import contents, dare, manifest, preprocess, preprocess_by_hand, recordings, unusable
from tests.corpora_fixtures import SIZES
from tests.judges import noise_uv, samples, write_edf
from tests.pipelines.raw_bytes import EdfChannel, edf_bytes, noise, tals

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.corpora_fixtures"]

SCALP = [f"EEG {name}" for name in "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split()]


def options(text: str) -> list[str]:
    """Return ``--set`` before every field."""
    return [word for field in text.split() for word in ("--set", field)]


@pytest.fixture(scope="module")
def archives(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of the synthetic corpora, and no tars."""
    folder = tmp_path_factory.mktemp("archives")
    for corpus in SIZES:
        preprocess(corpus, raw / corpus, folder, "--format", "zarr")
    return folder


def stores(folder: Path) -> dict[str, zarr.Array]:
    """Return the stores of a set by the path of the recording."""
    found = [zarr.open_array(entry, mode="r") for entry in sorted((folder / "zarr").glob("*/*.zarr"))]
    return {str(store.attrs["recording"]): store for store in found}


# --- what a store holds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", SIZES)
def test_windows_are_slices_of_the_stores(archives: Path, shards: Path, corpus: str) -> None:
    held = stores(archives / corpus)
    for sample in samples(shards / corpus).values():
        store = held[sample.fields["recording"]]
        facts: Any = store.attrs.asdict()
        assert facts["electrodes"] == sample.fields["channels"]
        assert (facts["sfreq"], facts["unit"], facts["scale"]) == tuple(
            sample.fields[name] for name in ("sfreq", "unit", "scale")
        )
        stretch = [one for one in facts["stretches"] if one["onset_s"] <= sample.start_s][-1]
        start = stretch["start"] + round((sample.start_s - stretch["onset_s"]) * facts["sfreq"])
        assert start + sample.counts.shape[1] <= stretch["stop"] <= store.shape[1]
        np.testing.assert_array_equal(store[:, start : start + sample.counts.shape[1]], sample.counts)


@pytest.mark.parametrize("corpus", SIZES)
def test_store_tells_where_it_comes_from(archives: Path, corpus: str) -> None:
    rows = recordings(archives / corpus)
    held = stores(archives / corpus)
    assert sorted(held) == sorted(path for path, row in rows.items() if row["windows"])
    for path, store in held.items():
        facts: Any = store.attrs.asdict()
        for name in ("subject", "session", "split", "duration_s", "channel_map"):
            assert facts[name] == rows[path][name]
        assert (facts["raw"]["bytes"], facts["raw"]["sha256"]) == (rows[path]["bytes"], rows[path]["sha256"])
        assert store.dtype == np.int16
        assert store.shards == (len(facts["electrodes"]), 4096 * -(-store.shape[1] // 4096))


def test_manifest_lists_the_stores_and_no_tar(archives: Path) -> None:
    folder = archives / "tuab"
    whole = manifest(folder)
    assert whole["format"] == "zarr"
    there = sorted(path.relative_to(folder).as_posix() for path in (folder / "zarr").glob("*/*.zarr"))
    assert sorted(entry["path"] for entry in whole["stores"]) == there
    for entry in whole["stores"]:
        files = [path for path in (folder / entry["path"]).rglob("*") if path.is_file()]
        assert entry["bytes"] == sum(path.stat().st_size for path in files)
    assert not list(folder.rglob("*.tar"))
    assert all(one["path"].endswith(".idx.npz") for split in whole["splits"].values() for one in split["shards"])


def test_both_formats_together_are_what_each_is_alone(archives: Path, shards: Path, raw: Path, tmp_path: Path) -> None:
    both = contents(preprocess("tuev", raw / "tuev", tmp_path, "--format", "both"))
    for alone, mine in ((shards, (".tar", ".idx.npz")), (archives, ("zarr.json", "/0", "recordings.jsonl"))):
        for name, content in contents(alone / "tuev").items():
            if name.endswith(mine):
                assert both[name] == content, name


@pytest.mark.slow
def test_workers_and_parts_write_the_same_bytes(archives: Path, raw: Path, tmp_path: Path) -> None:
    small = ("--set", "shard_mb=0.05", "--format", "both")
    one = contents(preprocess("tuab", raw / "tuab", tmp_path / "one", *small))
    assert {name: one[name] for name in one if name.startswith("zarr/")} == {
        name: content for name, content in contents(archives / "tuab").items() if name.startswith("zarr/")
    }
    command = ("preprocess", "tuab", "--src", raw / "tuab", *small, "--out")
    assert dare(*command, tmp_path / "two", "--workers", 2).status == 0
    for part in ("2/2", "1/2"):
        assert dare(*command, tmp_path / "parts", "--workers", 1, "--part", part).status == 0
    assert contents(tmp_path / "two" / "tuab") == contents(tmp_path / "parts" / "tuab") == one


def test_what_was_half_written_is_written_again(archives: Path, raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, "--format", "zarr")
    store, *_ = sorted((folder / "zarr").glob("*/*.zarr"))
    shutil.copytree(store, store.with_name(f"{store.name}.partial-host-1-12345678"))
    next(store.glob("c/0/*")).unlink()
    for receipt in (folder / store.parent.name).glob("*.json"):
        receipt.unlink()
    (folder / "manifest.json").unlink()
    preprocess("tuab", raw / "tuab", tmp_path, "--format", "zarr")
    assert contents(folder) == contents(archives / "tuab")


def test_free_text_of_events_stays_in_the_raw_file(tmp_path: Path) -> None:
    events = [(0.0, 4.0, "T0"), (4.0, 4.0, "T1"), (5.0, None, "Jane Doe moved"), (9.0, 4.0, "T2")]
    labels = ["Fc5.", "C3..", "Cz..", "C4..", "O1.."]
    write_edf(tmp_path / "raw" / "S001R04.edf", noise_uv(labels, 20, 160), 160, events)
    folder = preprocess("physionetmi", tmp_path / "raw", tmp_path / "out", "--format", "both")
    (store,) = stores(folder).values()
    assert [event[2] for event in store.attrs.asdict()["events"]] == ["T0", "T1", "T2"]  # type: ignore[union-attr]
    assert not [name for name, content in contents(folder).items() if b"Jane" in content]


@pytest.mark.parametrize("corpus", ["tuab", "tuev", "eegmat", "sleepedf"])
def test_no_event_is_understood_where_none_tells_a_class(corpus: str) -> None:
    assert not corpora.CORPORA[corpus].is_label_event("T1")


# --- sets cut from an archive -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", SIZES)
def test_set_cut_from_an_archive_is_the_one_cut_from_raw(
    archives: Path, shards: Path, corpus: str, tmp_path: Path
) -> None:
    assert contents(preprocess(corpus, archives / corpus, tmp_path)) == contents(shards / corpus)


@pytest.mark.parametrize(
    ("corpus", "fields"),
    [
        ("tuab", "window_s=4 stride_s=2 valid_share=0.5 split_seed=3 shard_mb=0.2"),
        ("tuab", "classes=[] window_s=3 stride_s=3"),
        ("tuev", "window_s=1 stride_s=1 offset_s=0 events=rows reject_uv=60"),
        ("tuev", "edges=wrap"),
        ("bcic2b", "window_s=2 stride_s=2 offset_s=0.5 edges=pad"),
        ("physionetmi", "runs=[6] window_s=2 stride_s=2"),
    ],
)
def test_other_windows_are_those_cut_from_raw(
    archives: Path, raw: Path, corpus: str, fields: str, tmp_path: Path
) -> None:
    from_raw = preprocess(corpus, raw / corpus, tmp_path / "raw", *options(fields))
    from_archive = preprocess(corpus, archives / corpus, tmp_path / "archive", *options(fields))
    assert contents(from_archive) == contents(from_raw)


def test_archive_of_an_archive_is_the_same(archives: Path, tmp_path: Path) -> None:
    again = preprocess("tuev", archives / "tuev", tmp_path, "--format", "zarr")
    assert contents(again) == contents(archives / "tuev")


def test_some_of_the_subjects_can_be_cut(archives: Path, raw: Path, tmp_path: Path) -> None:
    few = ("--subjects", "aaaaaaaq,aaaaaaar")
    from_archive = preprocess("tuab", archives / "tuab", tmp_path / "archive", *few)
    assert contents(from_archive) == contents(preprocess("tuab", raw / "tuab", tmp_path / "raw", *few))


def test_signal_shorter_than_the_archive_s_windows_is_kept(tmp_path: Path) -> None:
    """Between two gaps lie 6 s, too short for a window of 10 s and long enough for one of 4 s."""
    onsets_s = [*range(12), *range(100, 106), *range(200, 222)]
    channels = [EdfChannel(label, noise(seed, len(onsets_s), 500)) for seed, label in enumerate(SCALP)]
    path = tmp_path / "raw" / "Subject91_1.edf"
    path.parent.mkdir()
    path.write_bytes(edf_bytes([*channels, tals(*(f"+{onset_s}||;" for onset_s in onsets_s))], reserved="EDF+D"))
    archive = preprocess("eegmat", tmp_path / "raw", tmp_path / "a", "--for", "pretrain", "--format", "zarr")
    (store,) = stores(archive).values()
    stretches: Any = store.attrs.asdict()["stretches"]
    assert [(one["onset_s"], one["stop"] - one["start"]) for one in stretches] == [
        (0.0, 12 * 256),
        (100.0, 6 * 256),
        (200.0, 22 * 256),
    ]
    short = ("--for", "pretrain", "--set", "window_s=4", "--set", "stride_s=4")
    from_archive = preprocess("eegmat", archive, tmp_path / "b", *short)
    assert contents(from_archive) == contents(preprocess("eegmat", tmp_path / "raw", tmp_path / "c", *short))
    starts_s = [sample.start_s for sample in samples(from_archive).values()]
    assert starts_s == [0, 4, 8, 100, 200, 204, 208, 212, 216]


@pytest.mark.slow
def test_long_recordings_are_archived_in_pieces(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_edf(raw / "Subject91_1.edf", noise_uv(SCALP, 173, 500), 500)
    write_edf(raw / "Subject92_1.edf", noise_uv(SCALP, 30, 500, seed=1), 500)

    def made(src: Path, name: str, *settings: str, format: str = "webdataset") -> Path:
        in_pieces = {"piece_samples": len(SCALP) * 500 * 47, "piece_grid_s": 20.0}
        folder = tmp_path / name
        preprocess_by_hand("eegmat", src, folder, settings, purpose="pretrain", format=format, **in_pieces)
        return folder

    archive = made(raw, "archive", format="zarr")
    names = sorted(path.name for path in (archive / "zarr").glob("*/*.zarr"))
    assert names == [*(f"Subject91_1.{piece:03d}.zarr" for piece in range(4)), "Subject92_1.zarr"]
    for settings in (("stride_s=10",), ("window_s=5", "stride_s=20"), ("window_s=4", "stride_s=4")):
        from_raw = made(raw, f"raw {settings}", *settings)
        assert contents(made(archive, f"{settings}", *settings)) == contents(from_raw)
    other = made(archive, "other", "stride_s=15")
    row = recordings(other)["Subject91_1.edf"]
    assert row["outcome"] == "failed"
    assert "was archived in pieces of 40 s" in row["reason"]
    assert recordings(other)["Subject92_1.edf"]["outcome"] == "ok"


def test_what_could_not_be_read_is_told_again(raw: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(raw / "tuab", tmp_path / "raw")
    flat, short, *_ = sorted(copied.rglob("*.edf"))
    content = flat.read_bytes()
    num_bytes = int(content[184:192])
    flat.write_bytes(content[:num_bytes] + bytes(len(content) - num_bytes))
    write_edf(short, noise_uv(["EEG FP1-REF"], 5, 250), 250)
    archive = preprocess("tuab", copied, tmp_path / "archive", "--format", "zarr")
    from_raw = preprocess("tuab", copied, tmp_path / "out")
    assert [row["outcome"] for row in recordings(from_raw).values()].count("failed") == 1
    assert contents(preprocess("tuab", archive, tmp_path / "again")) == contents(from_raw)
    lasting = preprocess("tuab", archive, tmp_path / "shorter", *options("window_s=4 stride_s=4"))
    row = recordings(lasting)[short.relative_to(copied).as_posix()]
    assert row["reason"] == "not in the archive: lasts 5 s, shorter than a window of 10 s"


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("electrodes", "C3,CZ,C4", "FP1,FP2,F3"),
        ("missing", "interpolate", "mask"),
        ("reference", "average", "as recorded"),
        ("sfreq_hz", "250", "200"),
        ("band_hz", "1,40", "0.1,75"),
        ("notch_hz", "50", "60"),
        ("quantum_uv", "0.125", "0.03125"),
    ],
)
def test_another_signal_than_the_archive_s_is_refused(
    archives: Path, tmp_path: Path, field: str, value: str, told: str
) -> None:
    command = ("preprocess", "tuab", "--src", archives / "tuab", "--out", tmp_path, "--set", f"{field}={value}")
    unusable(dare(*command), archives / "tuab", f"made with {field} {told}", value, "raw recordings")
    assert not (tmp_path / "tuab").exists()


def test_archive_is_no_raw_tree_to_look_at(archives: Path) -> None:
    said = "is a set; name the raw tree that it was made of by --src"
    unusable(dare("preprocess", "tuab", "--src", archives / "tuab", "--dry-run"), said)


def test_sets_that_are_no_archive_of_the_corpus_are_refused(archives: Path, shards: Path, tmp_path: Path) -> None:
    command = ("preprocess", "tuab", "--out", tmp_path / "out", "--src")
    unusable(dare(*command, shards / "tuab"), shards / "tuab", "without an archive", "--format zarr")
    unusable(dare(*command, archives / "tuev"), archives / "tuev", "archive of tuev, not of tuab")
    unfinished = shutil.copytree(archives / "tuab", tmp_path / "unfinished")
    (unfinished / "manifest.json").unlink()
    unusable(dare(*command, unfinished), unfinished, "running dare preprocess again")


@pytest.mark.parametrize("edges", ["pad", "wrap"])
def test_windows_that_no_recording_holds_need_a_tar(raw: Path, tmp_path: Path, edges: str) -> None:
    command = ("preprocess", "tuev", "--src", raw / "tuev", "--out", tmp_path, *options(f"edges={edges}"))
    unusable(dare(*command, "--format", "zarr"), f"edges={edges}", "--format both")


def test_another_format_is_another_plan(archives: Path, raw: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(archives / "tuab", tmp_path / "tuab")
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--format", "both")
    unusable(dare(*command), folder, "format zarr, now both", "--overwrite")


@pytest.mark.parametrize("damage", ["flipped", "gone", "facts", "missing"])
def test_damaged_store_fails_and_the_others_are_cut(archives: Path, tmp_path: Path, damage: str) -> None:
    archive = shutil.copytree(archives / "tuab", tmp_path / "archive")
    store, *_ = sorted((archive / "zarr" / "train").glob("*.zarr"))
    spoilt = json.loads((store / "zarr.json").read_text())["attributes"]["recording"]
    match damage:
        case "flipped":
            content = bytearray((store / "c" / "0" / "0").read_bytes())
            content[1000] ^= 1
            (store / "c" / "0" / "0").write_bytes(content)
        case "gone":
            (store / "c" / "0" / "0").unlink()
        case "facts":
            content = bytearray((store / "zarr.json").read_bytes().replace(b'"onset_s": 0.0', b'"onset_s": 9.0'))
            (store / "zarr.json").write_bytes(content)
        case "missing":
            shutil.rmtree(store)
    rows = recordings(preprocess("tuab", archive, tmp_path / "out"))
    assert {path for path, row in rows.items() if row["outcome"] != "ok"} == {spoilt}
    assert store.name in rows[spoilt]["reason"]
    assert "dare verify" in rows[spoilt]["reason"]


OTHER_VALUES = {
    "electrodes": ("C3", "C4"), "missing": "interpolate", "reference": "average", "sfreq_hz": 100.0,
    "band_hz": (1.0, 30.0), "notch_hz": 50.0, "quantum_uv": 0.125, "namespace": "other", "corpus": "tuev",
    "purpose": "pretrain", "classes": (), "window_s": 4.0, "stride_s": 2.0, "offset_s": 1.0, "edges": "pad",
    "events": "merged", "reject_uv": 90.0, "quality": "none", "sd_range_uv": (1.0, 2.0),
    "max_clipped_share": 0.1, "max_dead_share": 0.1, "bad_channels": "lof", "balance": True,
    "valid_share": 0.5, "test_share": 0.2, "split_seed": 3,
    "protocol": "loso", "split": "rank", "split_by": "session", "shard_mb": 1.0, "options": {"runs": [4]},
    "layout": None,
}  # fmt: skip


def test_archive_refuses_whatever_shapes_its_signal() -> None:
    labels = ["FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "A1", "A2"]
    recipe = recipes.load("tuab")
    assert OTHER_VALUES.keys() == Recipe.model_fields.keys() - recipes.FACTS
    signal_uv = np.stack(list(noise_uv(labels, 20, 250).values())).astype(np.float32)
    recording = Recording(tuple(labels), signal_uv, 250.0, (), (Segment(0, signal_uv.shape[1], 0.0),), ())

    def conditioned(recipe: Recipe) -> tuple[bytes, ...]:
        found = condition(recording, recipe)
        parts = [segment.counts for segment in found.segments]
        return (*(part.tobytes() for part in parts), str([part.shape for part in parts]).encode(), bytes(found.present))

    shaping = {
        name
        for name, value in OTHER_VALUES.items()
        if conditioned(recipe.model_copy(update={name: value})) != conditioned(recipe)
    }
    # The namespace is no part of the signal, but of the subjects that an archive names; what is measured before the
    # signal is conditioned can only be asked of the raw file.
    assert shaping | {"namespace", *MEASURED} == set(SIGNAL_FIELDS)
