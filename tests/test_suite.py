"""The suite itself: what it makes of a test that is skipped, and the account that it gives of its costs."""

import re

import pytest

pytest_plugins = ["pytester"]

SKIPPING = """
import pytest
from tests.conftest import only_on

def test_that_runs():
    pass

def test_of_data(more):
    pass

def test_of_an_extra():
    pytest.importorskip("no_such_package")

@only_on("another system", False)
def test_of_another_system():
    pass
"""

WORKING = """
import time
import pytest

@pytest.fixture(scope="module")
def work():
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass

def test_that_is_first(work):
    pass

def test_that_is_second(work):
    pass
"""


def run(pytester: pytest.Pytester, content: str) -> pytest.RunResult:
    """Run a file of tests with the plugins of this suite."""
    pytester.makepyfile(content)
    return pytester.runpytest_inprocess("-p", "tests.conftest", "-p", "no:xdist", "-rs")


@pytest.mark.parametrize(("ci", "outcomes"), [("", {"skipped": 3}), ("true", {"skipped": 1, "failed": 1, "errors": 1})])
def test_skip_for_want_of_something_is_a_failure_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.delenv("DARE_MORE_DATA", raising=False)
    told = run(pytester, SKIPPING)
    told.assert_outcomes(passed=1, **outcomes)
    told.stdout.fnmatch_lines(["*DARE_MORE_DATA is not set*"])


def test_file_that_is_skipped_whole_is_a_failure_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    told = run(pytester, 'import pytest\npytest.importorskip("no_such_package")\n')
    told.assert_outcomes(errors=1)


def test_run_ends_with_the_core_seconds_of_every_test_and_of_its_fixtures(pytester: pytest.Pytester) -> None:
    told = run(pytester, WORKING)
    told.stdout.fnmatch_lines(["*core-seconds by room*", "*  start and collection", "*  all"])
    core_s = {name: float(seconds) for seconds, name in re.findall(r"(\S+)  \S+::(test_\w+)$", told.stdout.str(), re.M)}
    assert core_s["test_that_is_first"] >= 0.2 > core_s["test_that_is_second"]
