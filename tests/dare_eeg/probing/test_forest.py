"""A forest says what scikit-learn's says, and says it again when all that is left of it are its numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from dare_eeg.probing.classifiers import forest
from dare_eeg.probing.classifiers.forest import Forest


@given(
    st.integers(0, 2**32 - 1), st.integers(6, 60), st.integers(1, 5), st.integers(2, 4), st.sampled_from((1, 2, 8, 32))
)
@settings(max_examples=25)
def test_it_is_scikit_learns(seed: int, count: int, columns: int, num_classes: int, leaf: int) -> None:
    draw = np.random.default_rng(seed)
    # Few values, so that many rows lie on a threshold, and labels that need not hold every class.
    table = draw.integers(-3, 4, (count + 50, columns)).astype(np.float32) / np.float32(3)
    labels = draw.integers(0, num_classes, count) * 2
    ours = Forest(leaf).fit(table[:count], labels)
    theirs = RandomForestClassifier(forest.TREES, min_samples_leaf=leaf, class_weight="balanced", random_state=0)
    expected = theirs.fit(table[:count], labels).predict_proba(table)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.predict_proba(table), expected, rtol=0, atol=1e-12)
    again = Forest()
    vars(again).update({name: value.copy() for name, value in vars(ours).items() if isinstance(value, np.ndarray)})
    np.testing.assert_array_equal(again.predict_proba(table), ours.predict_proba(table))
    assert ours.predict_proba(table[:0]).shape == (0, len(ours.classes_))
