"""Keys, int16 windows, tar arithmetic and the index, against tarfile and numpy."""

import contextlib
import io
import re
import tarfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from manifests.errors import DamagedError, DareError
from manifests.shard_format import (
    KEY_LENGTH,
    NPY_HEADER,
    Index,
    Spans,
    member_size,
    npy_header,
    payload_offset,
    quantise,
    sample_key,
    slugs,
    tar_header,
    tar_size,
)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12, unique=True)
ARRAY_FIELDS = tuple(column.name for column in fields(Index) if column.name != "spans")

ONE_SPAN = Spans.of([[(-1.5, 4.0, 1)]])


def two_rows(spans: Spans | None) -> Index:
    return Index(
        offset=np.array([640, 3200, 10240], np.int64),
        recording=np.array([1, 0], np.int32),
        window=np.array([4, 7], np.int32),
        start_s=np.array([16.0, 28.5]),
        label=np.array([-1, 3], np.int32),
        scale=np.array([[0.03125, 0.0], [0.125, 0.03125]], np.float32),
        crc32=np.array([1, 2**32 - 1], np.uint32),
        recordings=np.array(["a/b.edf", "a/ü.edf"]),
        subjects=np.array(["tuh:a", "tuh:b"]),
        shape=np.array([2, 3]),
        spans=spans,
    )


@pytest.fixture
def index() -> Index:
    return two_rows(None)


@given(PATHS)
def test_keys_are_unique_short_and_plain_for_any_paths(paths: list[str]) -> None:
    keys = {sample_key("physionetmi", slug, 999_999) for slug in slugs("physionetmi", paths).values()}
    assert len(keys) == len(paths)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,92}", key) for key in keys)


@given(st.lists(st.sampled_from(["a/b", "a_b", "a b", "a+b", "a.b", "ab"]).map("{}.edf".format), unique=True))
def test_keys_tell_apart_names_that_differ_in_odd_characters_only(paths: list[str]) -> None:
    assert len(set(slugs("tuab", paths).values())) == len(paths)


def test_key_is_the_path_where_it_fits() -> None:
    path = "edf/train/normal/01_tcp_ar/aaaaaaaq_s004_t000.edf"
    assert slugs("tuab", [path]) == {path: "edf_train_normal_01_tcp_ar_aaaaaaaq_s004_t000"}
    assert sample_key("tuab", "aaaaaaaq_s004_t000", 12) == "tuab-aaaaaaaq_s004_t000-000012"


def test_two_recordings_that_differ_in_a_plus_sign_have_two_keys() -> None:
    paths = ["chb02/chb02_16.edf", "chb02/chb02_16+.edf"]
    assert len(set(slugs("chbmit", paths).values())) == 2


def test_equal_names_get_a_hash_of_their_paths_each() -> None:
    names = slugs("hgd", ["train/1.edf", "train_1.edf"])
    assert all(re.fullmatch(r"train_1-[0-9a-f]{8}", slug) for slug in names.values())
    assert len(set(names.values())) == 2


def test_key_of_a_recording_does_not_depend_on_the_order_of_paths() -> None:
    paths = ["a/1.edf", "a_1.edf", "b.edf"]
    assert slugs("x", paths) == slugs("x", paths[::-1])


def test_file_name_of_no_encoding_has_a_key() -> None:
    name = "b\udce9b\udce9" * 40 + ".edf"
    assert re.fullmatch(r"[A-Za-z0-9_-]+", slugs("eegmat", [name])[name])


@given(
    arrays.arrays(np.float32, (3, 7), elements=st.floats(-1000, 1000, width=32)),
    st.sampled_from([2.0**-5, 0.125, 0.1]),
)
def test_quantising_errs_by_half_a_quantum_at_most(x_uv: np.ndarray, quantum_uv: float) -> None:
    counts = np.empty(x_uv.shape, np.int16)
    clipped = quantise(x_uv / np.float32(quantum_uv), counts)
    assert clipped == 0
    np.testing.assert_allclose(counts * quantum_uv, x_uv, rtol=1e-6, atol=0.5 * quantum_uv)


def test_what_is_out_of_range_is_clipped_and_counted() -> None:
    x_uv = np.array([[1e6, -1e6, 32767, -32767, 32767.4, 32768]], np.float32)
    counts = np.empty(x_uv.shape, np.int16)
    clipped = quantise(x_uv, counts)
    assert counts.tolist() == [[32767, -32767, 32767, -32767, 32767, 32767]]
    assert clipped == 3


@given(arrays.arrays(np.int16, st.tuples(st.integers(1, 128), st.integers(1, 300))))
def test_window_is_a_version_1_array_behind_a_header_of_fixed_length(counts: np.ndarray) -> None:
    header = npy_header(counts.shape)
    assert len(header) == NPY_HEADER
    assert header[:8] == b"\x93NUMPY\x01\x00"
    np.testing.assert_array_equal(np.load(io.BytesIO(header + counts.tobytes()), allow_pickle=False), counts)


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30))
def test_sizes_and_offsets_are_those_of_a_tar(lengths: list[int]) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, length in enumerate(lengths):
            info = tarfile.TarInfo(str(number))
            info.size = length
            tar.addfile(info, io.BytesIO(bytes(length)))
    stream.seek(0)
    starts = np.cumsum([0, *map(member_size, lengths)])
    with tarfile.open(fileobj=stream) as tar:
        assert [info.offset for info in tar] == starts[:-1].tolist()
        assert [info.offset_data + NPY_HEADER for info in tar] == (starts[:-1] + payload_offset()).tolist()
    assert tar_size(int(starts[-1])) == len(stream.getvalue())


@given(st.text("abcXYZ019_-", min_size=1, max_size=KEY_LENGTH), st.integers(0, 2**33 - 1))
def test_tar_header_is_that_of_a_plain_file_of_nobody(name: str, num_bytes: int) -> None:
    info = tarfile.TarInfo.frombuf(tar_header(f"{name}.eeg.npy", num_bytes), "utf-8", "strict")
    assert (info.name, info.size, info.isfile()) == (f"{name}.eeg.npy", num_bytes, True)
    assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")


def test_index_comes_back_as_it_was(tmp_path: Path, index: Index) -> None:
    (tmp_path / "a.idx.npz").write_bytes(index.to_bytes())
    back = Index.read(tmp_path / "a.idx.npz")
    assert len(back) == 2
    for name in ARRAY_FIELDS:
        np.testing.assert_array_equal(getattr(back, name), getattr(index, name))
        assert getattr(back, name).dtype == getattr(index, name).dtype


ROWS = st.lists(
    st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(0, 1e5), st.integers(0, 99)), max_size=3), min_size=2, max_size=2
)


@given(ROWS)
def test_spans_of_each_row_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "spans.idx.npz"
    path.write_bytes(two_rows(Spans.of(rows)).to_bytes())
    back = Index.read(path).spans
    assert back is not None
    assert [back.of_row(row) for row in range(2)] == rows
    assert [back.take(np.array([1])).of_row(0)] == rows[1:]
    with np.load(path) as columns:
        assert [columns[f"span_{name}"].dtype for name in ("stop", "onset_s", "duration_s", "label")] == [
            *(np.int64, np.float64, np.float64, np.int16)
        ]


def test_no_span_is_not_the_same_as_none_kept(tmp_path: Path) -> None:
    for name, spans in (("empty", Spans.of([[], []])), ("none", None)):
        (tmp_path / name).write_bytes(two_rows(spans).to_bytes())
    empty, none = (Index.read(tmp_path / name).spans for name in ("empty", "none"))
    assert empty is not None
    assert [empty.of_row(row) for row in range(2)] == [[], []]
    assert none is None


def test_index_without_spans_is_as_it_was_before_there_were_any(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(two_rows(None).to_bytes())
    with np.load(tmp_path / "a.npz") as columns:
        assert set(columns) == {*ARRAY_FIELDS, "schema_version", "written_by"}
        assert columns["schema_version"] == 1


@pytest.mark.parametrize("lacking", ["span_stop", "span_onset_s", "span_duration_s", "span_label"])
def test_spans_that_lack_a_column_are_refused(tmp_path: Path, lacking: str) -> None:
    (tmp_path / "a.npz").write_bytes(two_rows(Spans.of([[(0.0, 1.0, 1)], []])).to_bytes())
    with np.load(tmp_path / "a.npz") as columns:
        np.savez(tmp_path / "less.npz", **{name: array for name, array in columns.items() if name != lacking})
    with pytest.raises(DareError, match=r"less\.npz"):
        Index.read(tmp_path / "less.npz")


def test_index_has_the_same_bytes_for_the_same_arrays(index: Index) -> None:
    assert index.to_bytes() == Index(**vars(index)).to_bytes()


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_index_that_is_cut_short_is_refused_by_name(tmp_path: Path, index: Index, kept: int) -> None:
    path = tmp_path / "000000.idx.npz"
    path.write_bytes(index.to_bytes()[:kept])
    with pytest.raises(DareError, match=r"000000\.idx\.npz: .*dare preprocess"):
        Index.read(path)


def test_missing_index_and_missing_array_are_refused_by_name(tmp_path: Path, index: Index) -> None:
    with pytest.raises(DareError, match=r"none\.idx\.npz"):
        Index.read(tmp_path / "none.idx.npz")
    without = {name: getattr(index, name) for name in ARRAY_FIELDS if name != "crc32"}
    np.savez(tmp_path / "old.npz", **without)
    with pytest.raises(DareError, match=r"old\.npz.*crc32"):
        Index.read(tmp_path / "old.npz")


@given(data=st.data())
def test_index_with_any_changed_byte_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(replace(one_row(), spans=data.draw(st.sampled_from([None, ONE_SPAN]))).to_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.idx.npz"
    path.write_bytes(content)
    with contextlib.suppress(DareError):
        assert set(vars(Index.read(path))) == {*ARRAY_FIELDS, "spans"}


def one_row() -> Index:
    return Index(
        **{name: np.zeros(1, np.int32) for name in ARRAY_FIELDS if name not in ("recordings", "subjects")},
        recordings=np.array(["a"]),
        subjects=np.array(["b"]),
    )


@pytest.mark.parametrize("flag", [b"\x01", b"\x20", b"\x40"])
def test_index_whose_zip_asks_for_what_we_cannot_do_is_refused(tmp_path: Path, index: Index, flag: bytes) -> None:
    content = index.to_bytes()
    central = content.index(b"PK\x01\x02")
    path = tmp_path / "odd.idx.npz"
    path.write_bytes(content[: central + 8] + flag + content[central + 9 :])
    with pytest.raises(DareError, match=r"odd\.idx\.npz"):
        Index.read(path)


def test_folder_in_the_place_of_an_index_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(DamagedError) as refused:
        Index.read(tmp_path)
    assert (refused.value.path, refused.value.reason) == (str(tmp_path), "unreadable (is a directory)")
