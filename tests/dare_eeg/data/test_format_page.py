"""The page on the format: its examples run, and it tells of every field that lies on disk, and of every schema."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import zarr

import dare_eeg
from manifests import manifest, plan, store
from manifests.notes import Note
from manifests.records import Part, Record
from manifests.shard_format import Index
from manifests.store import StoreIndex
from tests import judges
from tests.commands import preprocess

PAGE = (Path(__file__).parents[3] / "docs" / "format.md").read_text()
RECORDS = (plan.Plan, manifest.Receipt, manifest.Manifest, manifest.Merged, store.StoredRecording)
PARTS = (
    *(plan.RawRecording, plan.ScannedRecording, plan.PlannedRecording, plan.PlannedShard, Note),
    *(manifest.RecordingRow, manifest.ChannelSums, manifest.StoreEntry, manifest.ShardEntry, manifest.SplitEntry),
    *(manifest.MergedSource, store.StoredRaw, store.StoredStretch),
)


def example(number: int, folder: Path) -> str:
    """Return one of the page's examples, about a set that there is."""
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[number]
    assert code.count('"shards/tuab"') == 1
    return code.replace('"shards/tuab"', repr(str(folder)))


def test_the_example_in_plain_python_prints_the_window_that_open_shards_has(
    tuab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = example(0, tuab)
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) == {
        "io",
        "json",
        "tarfile",
        "pathlib",
        "numpy",
    }
    exec(code, {})
    windows = dare_eeg.open_shards(tuab)
    x_uv, label = windows[0]
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert first == f"{windows.recordings[0]} at {windows.start_s[0]} s: {windows.classes[label]}"
    assert rows == [
        " ".join([electrode, *map(str, row[:5].round(2)), "... µV"])
        for electrode, row in zip(windows.electrodes, x_uv, strict=True)
    ]
    assert last == "the same by the index: True"


def test_the_example_with_a_loader_reads_every_window(tuab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(example(1, tuab), {})
    printed = capsys.readouterr().out.splitlines()
    sizes = [int(size) for line in printed for size in re.findall(r"^torch\.Size\(\[(\d+), 23, 2000\]\)", line)]
    assert len(sizes) == len(printed)
    assert sum(sizes) == len(dare_eeg.open_shards(tuab))


@pytest.mark.parametrize("kind", [*RECORDS, *PARTS], ids=lambda kind: kind.__name__)
def test_every_field_of_a_record_is_told(kind: type[Part]) -> None:
    written = [name for name, field in kind.model_fields.items() if not field.exclude]
    assert [name for name in written if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("kind", [Index, StoreIndex])
def test_every_column_of_an_index_is_told(kind: type[Index]) -> None:
    assert [column for column in sorted(kind.schema_of().known) if f"`{column}`" not in PAGE] == []


def test_the_fields_of_a_sidecar_are_told_and_no_others(tuab: Path) -> None:
    tar = next((tuab / "train").glob("*.tar"))
    (_, _), (_, sidecar), *_ = judges.members(tar)
    table = PAGE.partition("| field of `<key>.json` |")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(told) == sorted(json.loads(sidecar))


def test_the_schema_of_every_record_is_told() -> None:
    table = PAGE.partition("| record | schema now |")[2].partition("\n\n")[0]
    told = dict(re.findall(r"^\| ([a-z' ]+) \| (\d) \|$", table, re.MULTILINE))
    kinds: list[type[Record] | type[Index]] = [*RECORDS, Index, StoreIndex]
    assert told == {kind.KIND: str(kind.schema_of().version) for kind in kinds}


def test_a_store_is_read_as_the_page_says(tuab_raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", tuab_raw, tmp_path, "--format", "zarr")
    entry = json.loads((folder / "manifest.json").read_text())["splits"]["train"]["shards"][0]
    with np.load(folder / entry["path"], allow_pickle=False) as index:
        start, name, scale = index["offset"][0], index["stores"][index["store"][0]], index["scale"][0]
        num_samples = index["shape"][1]
    array = zarr.open_array(folder / str(name), mode="r")
    counts = np.asarray(array[:, start : start + num_samples])
    np.testing.assert_array_equal(counts * scale[:, None], dare_eeg.open_shards(folder)[0][0])
    assert array.attrs["scale"] == scale.tolist()
