import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dare_eeg.network.masks import Masks, Rules, draw, visible_electrodes

DRAWS = 10_000


@pytest.fixture(scope="module")
def many() -> list[Masks]:
    return [draw(key, 16, 58, Rules(None)) for key in range(DRAWS)]


def overlaps(masks: Masks) -> np.ndarray:
    shared = (masks.mask_x[:, :, None] == masks.mask_x2[:, None, :]).any(axis=2).sum(axis=1)
    return shared / (2 * masks.mask_x.shape[1] - shared)


@pytest.mark.slow
def test_visible_patches_are_as_many_as_published(many):
    visible = np.array([len(masks.mask_x) for masks in many])
    assert visible.mean() == pytest.approx(8.01, abs=0.08)
    assert visible.std() == pytest.approx(2.02, abs=0.06)
    assert np.percentile(visible, [5, 25, 50, 75, 95]).tolist() == [5, 7, 8, 9, 11]
    assert (visible.mean() * 12) / 928 == pytest.approx(0.1036, abs=0.001)


def test_published_targets_are_as_many_as_published(many):
    targets = np.array([len(masks.mask_y) for masks in many])
    assert targets.mean() == pytest.approx(537, abs=4)
    assert targets.std() == pytest.approx(99, abs=3)
    assert np.percentile(targets, [5, 25, 50, 75, 95]) == pytest.approx([382, 479, 537, 595, 690], abs=8)


def test_views_overlap_as_intended(many):
    overlap = np.array([overlaps(masks)[0] for masks in many])
    assert overlap.mean() == pytest.approx(0.502, abs=0.007)
    assert overlap.std() == pytest.approx(0.178, abs=0.005)
    quantiles = np.percentile(overlap, [0, 5, 25, 50, 75, 95, 100])
    assert quantiles == pytest.approx([0.143, 0.2, 0.333, 0.5, 0.6, 0.846, 0.846], abs=5e-4)


def test_every_electrode_and_patch_is_drawn_alike(many):
    for tokens, share in (
        ([m.mask_x.ravel() for m in many], 0.1036),
        ([m.mask_x2.ravel() for m in many], 0.1036),
        ([m.mask_y for m in many], 0.579),
    ):
        rates = np.bincount(np.concatenate(tokens), minlength=928) / DRAWS
        deviation = np.sqrt(share * (1 - share) / DRAWS)
        assert rates.mean() == pytest.approx(share, abs=0.005)
        assert np.abs(rates - rates.mean()).max() < 5 * deviation


@given(
    key=st.integers(0, 2**64 - 1),
    patches=st.integers(1, 40),
    electrodes=st.integers(1, 62),
    targets=st.none() | st.tuples(st.integers(1, 60), st.integers(0, 30)),
)
def test_masks_of_any_shape_keep_their_promises(key, patches, electrodes, targets):
    masks = draw(key, patches, electrodes, Rules(targets))
    rows, seen = masks.mask_x.shape
    assert seen == visible_electrodes(electrodes)
    assert masks.mask_x2.shape == (rows, seen)
    assert all(mask.dtype == np.int64 for mask in (masks.mask_x, masks.mask_x2, masks.mask_y))

    patch = masks.mask_x[:, 0] // electrodes
    assert 1 <= rows <= patches
    assert (np.diff(patch) > 0).all()
    assert (masks.mask_x // electrodes == patch[:, None]).all()
    assert (masks.mask_x2 // electrodes == patch[:, None]).all()

    everything = (masks.mask_x, masks.mask_x2, masks.mask_y)
    for mask in everything:
        assert len(np.unique(mask)) == mask.size
        assert not mask.size or 0 <= mask.min() <= mask.max() < patches * electrodes
    assert not np.isin(masks.mask_y, masks.mask_x).any()

    from_visible = int(np.isin(masks.mask_y // electrodes, patch).sum())
    from_hidden = masks.mask_y.size - from_visible
    hidden = (patches - rows) * electrodes
    if electrodes > seen:
        assert from_visible >= 1
    else:
        assert rows < patches or patches == 1
    if targets is None:
        assert from_hidden == hidden
    else:
        assert from_visible == min(targets[0], rows * (electrodes - seen))
        assert from_hidden == min(targets[1], hidden)


@pytest.mark.slow
def test_the_published_slip_in_the_second_view_is_as_published():
    """Mean and sd of 10,000 draws of the published code; both sides are samples, hence twice their standard error."""
    drawn = [draw(key, 16, 58, Rules(None, second_view="row_number")) for key in range(DRAWS)]
    for masks, own in zip(drawn, (draw(key, 16, 58, Rules(None)) for key in range(DRAWS)), strict=False):
        assert np.array_equal(masks.mask_x, own.mask_x)
        assert np.array_equal(masks.mask_y, own.mask_y)
    told: dict[str, list[float]] = {
        "overlap": [],
        "wrong patch": [],
        "hidden in view 1": [],
        "targets": [],
        "repeats": [],
    }
    for masks in drawn:
        patch, first, second = masks.mask_x[:, :1] // 58, set(masks.mask_x.ravel()), set(masks.mask_x2.ravel())
        told["overlap"].append(len(first & second) / len(first | second))
        told["wrong patch"].append(float((masks.mask_x2 // 58 != patch).mean()))
        told["hidden in view 1"].append(float((~np.isin(masks.mask_x2 // 58, patch)).mean()))
        told["targets"].append(float(np.isin(masks.mask_x2, masks.mask_y).mean()))
        told["repeats"].append(masks.mask_x2.size - len(second))
    published = [(0.519, 0.173), (0.310, 0.156), (0.176, 0.108), (0.205, 0.112), (1.62, 1.60)]
    for (name, values), (mean, sd) in zip(told.items(), published, strict=True):
        error = sd * (2 / DRAWS) ** 0.5
        assert np.mean(values) == pytest.approx(mean, abs=2.5 * error + 5e-4), name
        assert np.std(values) == pytest.approx(sd, abs=2.5 * error), name


@given(
    key=st.integers(0, 2**64 - 1),
    patches=st.integers(1, 20),
    electrodes=st.integers(1, 62),
    targets=st.none() | st.tuples(st.integers(1, 60), st.integers(0, 30)),
    masking=st.sampled_from(["published", "window", "fixed"]),
)
def test_second_views_by_row_number_mistake_only_where_tokens_come_from(key, patches, electrodes, targets, masking):
    ours, theirs = (
        draw(key, patches, electrodes, Rules(targets, masking, view), windows=2) for view in ("own_patch", "row_number")
    )
    assert np.array_equal(ours.mask_x, theirs.mask_x)
    assert ours.mask_x2.shape == theirs.mask_x2.shape
    seen = visible_electrodes(electrodes)
    views = (mask.reshape(-1, mask.shape[-2], seen) for mask in (theirs.mask_x, theirs.mask_x2))
    for first, view in zip(*views, strict=True):
        for number, (row, again) in enumerate(zip(first, view, strict=True)):
            new = again[~np.isin(again, row)]
            assert (new // electrodes == number).all()
            assert len(set(again.tolist())) == seen


@given(
    key=st.integers(0, 2**64 - 1),
    patches=st.integers(1, 40),
    electrodes=st.integers(1, 62),
    targets=st.none() | st.tuples(st.integers(1, 60), st.integers(0, 30)),
    windows=st.integers(1, 4),
)
def test_masks_of_windows_stack_and_each_keeps_the_promises(key, patches, electrodes, targets, windows):
    masks = draw(key, patches, electrodes, Rules(targets, "window"), windows)
    shared = draw(key, patches, electrodes, Rules(targets))
    assert masks.mask_x.shape == masks.mask_x2.shape == (windows, *shared.mask_x.shape)
    for first, second, wanted in zip(masks.mask_x, masks.mask_x2, masks.mask_y, strict=True):
        patch = first[:, :1] // electrodes
        assert (np.diff(patch[:, 0]) > 0).all()
        assert (first // electrodes == patch).all()
        assert (second // electrodes == patch).all()
        for mask in (first, second, wanted):
            assert len(np.unique(mask)) == mask.size
        assert not np.isin(wanted, first).any()
    if targets is not None:
        assert masks.mask_y.shape[1] == len(shared.mask_y)


@pytest.mark.slow
def test_masks_of_windows_differ_and_are_as_many_as_published():
    drawn = [draw(key, 16, 58, Rules(None, "window"), windows=4) for key in range(1000)]
    assert all(len({one.tobytes() for one in masks.mask_x}) == 4 for masks in drawn)
    assert np.mean([masks.mask_x.shape[1] for masks in drawn]) == pytest.approx(8.01, abs=0.2)
    assert np.mean([masks.mask_y.shape[1] for masks in drawn]) == pytest.approx(537, abs=10)
    rates = np.bincount(np.concatenate([masks.mask_x.ravel() for masks in drawn]), minlength=928) / 4000
    assert np.abs(rates - 0.1036).max() < 5 * np.sqrt(0.1036 * 0.9 / 4000)


@pytest.mark.parametrize("targets", [None, (36, 12)])
def test_fixed_masks_have_one_shape(targets):
    shapes = {
        tuple(mask.shape for mask in vars(draw(key, 16, 58, Rules(targets, "fixed"))).values()) for key in range(100)
    }
    assert shapes == {((8, 12), (8, 12), (464 + 74 if targets is None else 48,))}
    assert len({draw(key, 16, 58, Rules(targets, "fixed")).mask_x.tobytes() for key in range(100)}) == 100


@given(key=st.integers(0, 2**64 - 1))
def test_the_overlap_of_the_views_is_the_same_in_every_row(key):
    assert len(set(overlaps(draw(key, 16, 58)).tolist())) == 1


def test_masks_are_a_function_of_the_key():
    same = [draw(7, 16, 19) for _ in range(2)]
    other = draw(8, 16, 19)
    np.random.seed(0)
    again = draw(7, 16, 19)
    for field in ("mask_x", "mask_x2", "mask_y"):
        assert np.array_equal(getattr(same[0], field), getattr(same[1], field))
        assert np.array_equal(getattr(same[0], field), getattr(again, field))
    assert not np.array_equal(same[0].mask_y, other.mask_y)


def test_one_electrode_is_seen_whole_and_twice_alike():
    masks = draw(0, 16, 1)
    assert np.array_equal(masks.mask_x, masks.mask_x2)
    assert draw(0, 1, 1).mask_y.size == 0


@pytest.mark.parametrize(("electrodes", "seen"), [(58, 12), (19, 4), (23, 5), (3, 1), (1, 1), (62, 13)])
def test_visible_electrodes_keep_their_share(electrodes, seen):
    assert visible_electrodes(electrodes) == seen


@pytest.mark.parametrize(
    ("patches", "electrodes", "targets"), [(0, 5, None), (5, 0, None), (5, 5, (0, 3)), (5, 5, (3, -1))]
)
def test_impossible_masks_are_refused(patches, electrodes, targets):
    with pytest.raises(ValueError, match=r"no masks|targets"):
        draw(0, patches, electrodes, Rules(targets))
