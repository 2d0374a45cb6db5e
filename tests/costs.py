"""What the tests cost: slow files are begun first, and a run ends by telling its core-seconds and slowest tests."""

import os
from collections import Counter
from collections.abc import Generator
from pathlib import PurePosixPath

import pytest

SLOWEST = 20
"""How many tests are named."""

_before = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin an account."""
    config.pluginmanager.register(_Costs())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with many slow tests first: xdist gives out whole files, and none that is long may be the last."""
    num_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -num_slow[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Begin to count."""
    item.stash[_before] = _used()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in its report what a phase of a test used; a report comes home from the workers of xdist too."""
    report = yield
    core_s = _used() - item.stash[_before]
    vars(report)["core_s"] = core_s
    item.stash[_before] += core_s
    return report


def _used() -> float:
    """Return the core-seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


class _Costs:
    """The account of one run, by test; the set-up of a fixture counts with the test that was first to ask for it."""

    def __init__(self) -> None:
        self.core_s: Counter[str] = Counter()
        self.clock_s: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the phases of a test."""
        self.core_s[report.nodeid] += getattr(report, "core_s", 0.0)  # a process that crashed reports none
        self.clock_s[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell what was counted."""
        by_room: Counter[str] = Counter()
        for test, seconds in self.core_s.items():
            by_room["/".join(PurePosixPath(test.partition("::")[0]).parent.parts[:2])] += seconds
        by_room["start and collection"] = _used() - by_room.total()
        terminalreporter.section("core-seconds by room")
        for room, seconds in [*by_room.most_common(), ("all", by_room.total())]:
            terminalreporter.line(f"{seconds:8.1f}  {room}")
        terminalreporter.section(f"the {SLOWEST} slowest tests: seconds, core-seconds")
        for test, seconds in self.clock_s.most_common(SLOWEST):
            terminalreporter.line(f"{seconds:8.2f} {self.core_s[test]:8.2f}  {test}")
