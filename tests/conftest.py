"""Fixtures of all rooms. Reference data lie outside the repository; tests that need them are skipped without.

In CI nothing is to be missing: there a skip is a failure, unless `only_on` made it.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import torch

pytest_plugins = ("tests.costs",)
pytest.register_assert_rewrite("tests.commands", "tests.judges")  # so that their asserts tell what they compared
settings.register_profile("house", deadline=None)  # a busy machine is no failure
settings.load_profile("house")

Report = pytest.TestReport | pytest.CollectReport
ONLY_ON = "only on"


def only_on(system: str, is_here: bool) -> pytest.MarkDecorator:
    """Return the mark of a test that fits one kind of system alone; its skip elsewhere is no failure in CI either."""
    return pytest.mark.skipif(not is_here, reason=f"{ONLY_ON} {system}")


def _fail_if_skipped_in_ci(report: Report) -> None:
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(ONLY_ON):
            report.outcome, report.longrepr = "failed", f"skipped in CI, where nothing is to be missing: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Report, Report]:
    """Judge the skip of a test."""
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Report, Report]:
    """Judge the skip of a whole file."""
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


def _folder(variable: str, holds: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it names the folder of {holds}")
    folder = Path(value)
    assert folder.is_dir(), f"{variable}={value} is no folder"
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Weights, inputs and outputs of the published code."""
    return _folder("DARE_GOLDEN", "weights, inputs and outputs of the published code")


@pytest.fixture(scope="session")
def real() -> Path:
    """Recordings of real people and real layouts."""
    return _folder("DARE_REAL_DATA", "openly licensed recordings")


@pytest.fixture(scope="session")
def more() -> Path:
    """More recordings of real people, enough to learn from."""
    return _folder("DARE_MORE_DATA", "more openly licensed recordings")


def relative_error(got: "torch.Tensor", want: ArrayLike) -> float:
    """Return |got - want| / |want| by the Euclidean norm; the shapes must agree."""
    expected = np.asarray(want, dtype=np.float64)
    assert tuple(got.shape) == expected.shape
    return float(np.linalg.norm(got.detach().double().numpy() - expected) / np.linalg.norm(expected))
