"""Nothing is lost or mixed up when processes die, the disk refuses, files vanish or two runs meet in one folder."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from manifests import recipe as recipes
from pipelines import run, synth
from pipelines.plan import SetOptions
from pipelines.sources import open_source
from pipelines.workers import Workers
from tests.commands import contents, dare, manifest, preprocess, recordings, unusable
from tests.conftest import only_on
from tests.pipelines.processes import HOUSE, ONE_EACH, Running, committed, midway, receipts

pytestmark = pytest.mark.slow

FEW = ("--set", "electrodes=C3,CZ,C4")
FOUR = ("--limit", 4)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-five recordings of twenty-four subjects."""
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder, 24, 24.0, seed=3)
    return folder


@pytest.fixture(scope="module")
def whole(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an unbroken run leaves, a shard a recording."""
    return contents(preprocess("tuab", raw, tmp_path_factory.mktemp("whole"), *ONE_EACH, *FEW))


def command(raw: Path, out: Path, *options: object) -> tuple[object, ...]:
    return ("preprocess", "tuab", "--src", raw, "--out", out, *FEW, *options)


def no_complaint(err: str) -> bool:
    """Return whether stderr tells of progress alone."""
    return all(line.startswith(("scan: ", "build: ")) for line in err.splitlines())


# --- killed -----------------------------------------------------------------------------------------------------------

KILL_AT_RANDOM = """
import contextlib, json, os, random, signal, sys, time
from pathlib import Path
import psutil
import cli
from pipelines import run, workers
import distributed
from tests.conftest import only_on
from tests.pipelines.processes import committed

folder, *arguments = sys.argv[1:]
draw, told = random.Random(2025), []
for number in range(20):
    num_names, marks = draw.randint(1, 5), draw.choice(["settling", "building", "probe", "none"])
    seen = {path.name for path in Path(folder).rglob("*")}
    child = os.fork()
    if not child:
        sys.argv = ["dare", *arguments]
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
            cli.main()
        os._exit(0)
    names, over = set(), 0
    while not over and len(names) < num_names:
        found = {path.name for path in Path(folder).rglob("*")} - seen
        names |= {name for name in found if not name.startswith(("settling", "building", "probe"))}
        if any(name.startswith(marks) for name in found):
            break
        over, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.001)  # or the watching takes the core of a worker
    if not over:
        offspring = psutil.Process(child).children(recursive=True)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        psutil.wait_procs(offspring, timeout=30)
        assert not any(one.is_running() for one in offspring)
    told.append((os.WIFSIGNALED(status), committed(Path(folder))))
print(json.dumps(told))
"""
"""Runs a command twenty times, killed when a random sign of life or number of files has been seen in its folder."""


def test_killed_twenty_times_with_two_workers_loses_and_repeats_nothing(
    raw: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    folder = tmp_path / "tuab"
    again = command(raw, tmp_path, "--workers", 2, *ONE_EACH)
    killed = subprocess.run(
        [sys.executable, "-c", KILL_AT_RANDOM, *map(str, (folder, *again))],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(killed.stdout)
    assert sum(was_killed for was_killed, _ in told) >= 15
    assert dare(*again).status == 0
    assert contents(folder) == whole
    after = {name: list(written) for name, written in committed(folder).items()}
    for _, before in told:
        assert before.items() <= after.items()


HOOK = """
import os, signal, sys
tokens, victim = os.environ["TOKENS"], os.environ["VICTIM"]
def hook(event, args):
    if event == "open" and str(args[0]).endswith(victim) and "import cli" not in " ".join(sys.orig_argv):
        for name in os.listdir(tokens):
            os.unlink(os.path.join(tokens, name))
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
"""Kills a worker that opens the victim, as often as there are tokens."""


@pytest.fixture
def deadly(raw: Path, tmp_path: Path) -> Callable[..., tuple[Running, Path, str]]:
    """Start a run of some options in which opening a recording kills, so many times, and return it and the victim."""

    def begin(times: int, *options: object) -> tuple[Running, Path, str]:
        victim = sorted(raw.rglob("*_t000.edf"))[3]
        (tmp_path / "tokens").mkdir()
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(HOOK)
        for number in range(times):
            (tmp_path / "tokens" / str(number)).touch()
        variables = {
            "PYTHONPATH": f"{tmp_path / 'site'}:{HOUSE}",
            "TOKENS": str(tmp_path / "tokens"),
            "VICTIM": victim.name,
        }
        running = Running(*command(raw, tmp_path, "--workers", 2, *options), variables=variables)
        return running, tmp_path / "tuab", victim.relative_to(raw).as_posix()

    return begin


@pytest.mark.parametrize("times", [1, 2])
def test_task_whose_worker_is_killed_is_built_alone(
    deadly: Callable[..., tuple[Running, Path, str]], tmp_path: Path, whole: dict[str, bytes], times: int
) -> None:
    running, folder, _ = deadly(times, *ONE_EACH)
    answer = running.answer()
    assert answer.status == 0, answer.err
    assert no_complaint(answer.err)
    assert contents(folder) == whole
    assert list((tmp_path / "tokens").iterdir()) == []


def test_recording_that_always_kills_fails_and_its_shard_keeps_the_others(
    deadly: Callable[..., tuple[Running, Path, str]], raw: Path, tmp_path: Path
) -> None:
    running, folder, victim = deadly(99, *FOUR)
    answer = running.answer()
    assert answer.status == 0, answer.err
    assert no_complaint(answer.err)
    rows = recordings(folder)
    assert (rows[victim]["outcome"], rows[victim]["windows"]) == ("failed", 0)
    assert "killed the worker" in rows[victim]["reason"]
    unbroken = recordings(preprocess("tuab", raw, tmp_path / "unbroken", *FEW, *FOUR))
    assert {path: row for path, row in rows.items() if path != victim} == {
        path: row for path, row in unbroken.items() if path != victim
    }
    assert not [name for name in contents(folder) if "partial" in name]
    assert dare("verify", folder).status == 0
    assert dare(*command(raw, tmp_path, "--workers", 1, "--retry-failed", *FOUR)).status == 0
    assert contents(folder) == contents(tmp_path / "unbroken" / "tuab")


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_stopped_run_ends_its_workers_and_says_so_in_one_line(
    raw: Path, tmp_path: Path, whole: dict[str, bytes], number: signal.Signals, to_all: bool
) -> None:
    running = midway(tmp_path / "tuab", *command(raw, tmp_path, "--workers", 2, *ONE_EACH))
    (os.killpg if to_all else os.kill)(running.process.pid, number)
    running.go_on()
    answer = running.answer()
    assert answer.status == 130
    *rest, last = answer.err.splitlines()
    assert last.startswith("dare: interrupted; what is finished is kept")
    assert no_complaint("\n".join(filter(None, rest)))
    assert running.leaves_nobody()
    assert not list((tmp_path / "tuab").glob("*ing.partial*"))
    assert dare(*command(raw, tmp_path, "--workers", 1, *ONE_EACH)).status == 0
    assert contents(tmp_path / "tuab") == whole


def test_run_stopped_while_its_workers_start_ends_without_a_word_of_theirs(raw: Path, tmp_path: Path) -> None:
    running = Running(*command(raw, tmp_path, "--workers", 2, *ONE_EACH))
    process = psutil.Process(running.process.pid)
    running.until(process.children)
    running.process.terminate()
    answer = running.answer()
    assert answer.status == 130
    assert answer.err.splitlines()[-1].startswith("dare: interrupted; what is finished is kept")
    assert "Traceback" not in answer.err
    assert running.leaves_nobody()


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_file_that_the_disk_refuses_is_one_line_and_the_run_gets_on_later(
    raw: Path, tmp_path: Path, whole: dict[str, bytes], workers: int
) -> None:
    largest = max(len(content) for name, content in whole.items() if name.endswith(".tar"))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, largest - 1))

    again = command(raw, tmp_path, "--workers", workers, *ONE_EACH)
    answer = Running(*again, prepare=limit).answer()
    unusable(answer, ".tar", "file too large", "run the same command again")
    assert not [name for name in contents(tmp_path / "tuab") if "partial" in name]
    before = committed(tmp_path / "tuab")
    assert dare(*again).status == 0
    assert contents(tmp_path / "tuab") == whole
    assert before.items() <= committed(tmp_path / "tuab").items()


@only_on("Linux, where nobody, not even root, can write into /sys", Path("/sys/kernel").is_dir())
def test_output_that_cannot_be_written_is_one_line(raw: Path) -> None:
    unusable(dare(*command(raw, Path("/sys/kernel"), "--workers", 1)), "/sys/kernel/tuab", "choose a folder that can")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [Path.unlink, truncate])
def test_recording_that_is_harmed_during_the_run_is_named_and_the_others_go_on(
    raw: Path, tmp_path: Path, whole: dict[str, bytes], harm: Callable[[Path], None]
) -> None:
    src = tmp_path / "raw"
    for path in sorted(raw.rglob("*.edf")):
        target = src / path.relative_to(raw)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    recipe = recipes.load("tuab", settings=(ONE_EACH[1], FEW[1]))
    victim = sorted(src.rglob("*.edf"))[0]

    def progress(done: int, _total: int) -> None:
        if done == 1:
            harm(victim)

    source = open_source(src)
    tree = source.scan(recipe, lambda *_: None)
    found = run.preprocess(tree, recipe, source, tmp_path / "tuab", Workers(1), SetOptions(), progress)
    assert found is not None
    rows = recordings(tmp_path / "tuab")
    name = victim.relative_to(src).as_posix()
    assert rows[name]["reason"]
    assert rows[name]["outcome"] == "failed"
    assert {row["outcome"] for path, row in rows.items() if path != name} == {"ok"}
    victim.write_bytes((raw / name).read_bytes())
    assert dare(*command(src, tmp_path, "--workers", 1, *ONE_EACH, "--retry-failed")).status == 0
    assert contents(tmp_path / "tuab") == whole


# --- two runs in one folder -------------------------------------------------------------------------------------------


def test_equal_runs_at_once_share_the_work(raw: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    runs = [Running(*command(raw, tmp_path, "--workers", workers, *ONE_EACH)) for workers in (1, 2, 1)]
    answers = [one.answer() for one in runs]
    assert [answer.status for answer in answers] == [0, 0, 0], answers
    assert contents(tmp_path / "tuab") == whole


def test_of_runs_of_two_plans_at_once_one_is_refused(raw: Path, tmp_path: Path) -> None:
    choices = [(*ONE_EACH, "--limit", 20), ("--limit", 21)]
    runs = [Running(*command(raw, tmp_path, "--workers", 1, *options)) for options in choices]
    answers = [one.answer() for one in runs]
    assert sorted(answer.status for answer in answers) == [0, 2], answers
    (lost,) = [answer for answer in answers if answer.status]
    unusable(lost, tmp_path / "tuab", "another plan", "--overwrite")
    (options,) = [options for options, answer in zip(choices, answers, strict=True) if not answer.status]
    assert contents(tmp_path / "tuab") == contents(preprocess("tuab", raw, tmp_path / "alone", *options, *FEW))


def test_overwrite_is_refused_while_another_run_builds(raw: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    running = midway(tmp_path / "tuab", *command(raw, tmp_path, "--workers", 1, *ONE_EACH))
    other = command(raw, tmp_path, "--workers", 1, "--limit", 4, "--overwrite")
    unusable(dare(*other), tmp_path / "tuab", f"another run is at work in it (process {running.process.pid} on ")
    running.go_on()
    assert running.answer().status == 0
    assert contents(tmp_path / "tuab") == whole
    assert dare(*other).status == 0
    assert sum(manifest(tmp_path / "tuab")["outcomes"]["ok"].values()) == 4


def test_overwrite_of_what_a_killed_run_left_needs_no_waiting(raw: Path, tmp_path: Path) -> None:
    running = Running(*command(raw, tmp_path, "--workers", 2, *ONE_EACH))
    running.until(lambda: receipts(tmp_path / "tuab"))
    running.process.kill()
    running.answer()
    assert running.leaves_nobody()
    assert dare(*command(raw, tmp_path, "--workers", 1, "--limit", 4, "--overwrite")).status == 0
    assert contents(tmp_path / "tuab") == contents(preprocess("tuab", raw, tmp_path / "alone", *FEW, "--limit", 4))


def test_parts_that_overwrite_at_once_agree_on_who_empties(raw: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    preprocess("tuab", raw, tmp_path, *FEW, "--limit", 4)
    options = ("--workers", 1, *ONE_EACH, "--overwrite")
    runs = [Running(*command(raw, tmp_path, *options, "--part", f"{part}/3")) for part in (1, 2, 3)]
    answers = [one.answer() for one in runs]
    assert [answer.status for answer in answers] == [0, 0, 0], answers
    assert contents(tmp_path / "tuab") == whole
