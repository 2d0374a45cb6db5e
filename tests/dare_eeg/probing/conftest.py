"""Forests have few trees here: what is tested of a hundred is the same of ten, and 31 are fitted for a fold."""

from collections.abc import Iterator

import pytest

from dare_eeg.probing.classifiers import forest


@pytest.fixture(autouse=True, scope="package")
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest, "TREES", 10)
        yield
