"""The pages are true: their commands, Python and recipes are run from top to bottom, and what they show comes out."""

import ast
import re
import shlex
import shutil
import subprocess
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

import cli
from tests import python_page
from tests.commands import Answer, dare
from tests.pages import HOUSE, PAGES, Block, Command, blocks, commands, not_printed, text_of
from tests.pipelines.own_trees import signal_uv, write
from tests.test_house import sources

ONLY_PARSED = {"cluster": 4, "gpu": 3, "network": 1, "pandas": 1}
"""How many blocks of all pages are parsed and not run, by what they need."""

ONLY_SHOWN = 5
"""How many are neither: trees of files, a picture, a list of names, and a line of code."""

SHORTER = (
    (r"^dare synth .*", r"\g<0> --subjects 12 --seconds 24"),
    (r"^dare synth physionetmi .*", r"\g<0> --subjects 4 --seconds 20"),
    (r"^dare preprocess .*", r"\g<0> --workers 1"),
    (r"--size (light|small|base|deep)", "--size nano"),
    (r"^(dare pretrain .*)--epochs \d+", r"\1"),
    (r"^dare pretrain .*", r"\g<0> --steps 2"),
    (r"^dare pretrain (?!.*--resume).*", r"\g<0> --size nano --global-batch 4 --micro-batch 4"),
    (r"^dare probe .*", r"\g<0> --resamples 5 --seeds 1"),
    (r"^dare probe .*(conv-linear|finetune).*", r"\g<0> --epochs 1"),
)
"""What makes a command quick, one after the other. Of an option that is there twice the last counts."""

_NAMED = r"# (\w+\.(?:toml|py))\n"
"""The first line of a block that is a file."""

SHELL = {"cp", "head", "ls", "rm", "tail"}
"""What else is run."""

READY = (
    "dare synth tuab --out raw/tuab",
    "dare synth tueg --out raw/tueg",
    "dare synth physionetmi --out raw/physionetmi",
    "cp raw/tuab/edf/eval/normal/01_tcp_ar/aaaaaaba_s001_t000.edf anything.edf",
    "dare preprocess tuab --src raw",
    "dare preprocess tuab --src raw --for pretrain",
    "dare merge shards/tuab-pretrain",
    "dare pretrain --shards shards/tuab-pretrain --out runs/base",
)
"""What the reader of a page may have, made once."""

NEEDS = {
    "README.md": ["raw"],
    "docs/encoders.md": ["shards", "runs"],
    "docs/format.md": ["shards"],
    "docs/own_corpus.md": ["bids", "mat", "csv", "npz"],
    "docs/pretraining.md": ["shards"],
    "docs/probing.md": ["shards", "runs", "anything.edf"],
    "docs/python.md": ["shards", "runs", "anything.edf"],
    "docs/sets.md": ["raw"],
    "docs/troubleshooting.md": ["raw"],
}
"""What of it a page takes for granted."""


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that a page may take for granted."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for text in READY:
            assert ran(Command(text, [])).status == 0, text
    _write_bids(folder / "bids")
    _write_mat(folder / "mat")
    _write_csv(folder / "csv")
    _write_npz(folder / "npz")
    return folder


def _write_bids(root: Path) -> None:
    tasks = [(2.0, 10.0, "loud"), (14.0, 10.0, "soft"), (26.0, 10.0, "loud")]
    people = {f"sub-0{number}": "eval" if number > 4 else "train" for number in range(1, 7)}
    for name in people:
        write(root / name / "eeg" / f"{name}_task-listen_eeg.edf", tasks)
        rows = "".join(f"{onset_s}\t{duration_s}\t{what}\n" for onset_s, duration_s, what in tasks)
        (root / name / "eeg" / f"{name}_task-listen_events.tsv").write_text(f"onset\tduration\ttrial_type\n{rows}")
    table = "".join(f"{name}\t{part}\n" for name, part in people.items())
    (root / "participants.tsv").write_text(f"participant_id\tset\n{table}")


def _write_mat(root: Path) -> None:
    root.mkdir()
    rows = [(person, day) for person in ("p1", "p2", "p3", "p4") for day in (1, 2)]
    for person, day in rows:
        savemat(root / f"{person}_day{day}.mat", {"eeg": signal_uv([], 40).T, "whose": f"{person} {day}"})
    table = "".join(f"{person}_day{day}.mat,{person},{('water', 'coffee')[day - 1]}\n" for person, day in rows)
    (root / "days.csv").write_text(f"file,person,drug\n{table}")


def _write_csv(root: Path) -> None:
    root.mkdir()
    tasks = [(2.0, 16.0, "loud"), (20.0, 16.0, "soft")]
    times = np.arange(40 * 128) / 128
    task = np.select([(times >= onset_s) & (times < onset_s + long_s) for onset_s, long_s, _ in tasks], [1, 2], 0)
    for person in ("p1", "p2", "p3", "p4"):
        rows = np.column_stack([times, 1e-3 * signal_uv(tasks, 40).T, task])
        header = f"of {person}\ntime,C3,Cz,C4,task"
        np.savetxt(root / f"{person}_day1.csv.gz", rows, "%.6f", ",", header=header, comments="# ")


def _write_npz(root: Path) -> None:
    root.mkdir()
    for person in ("p1", "p2", "p3", "p4"):
        trials = np.stack([signal_uv([(0, 4, what)], 4) for what in ("loud", "soft") * 6])
        np.savez(root / f"{person}.npz", X=trials, y=np.array(["l", "s"] * 6), who=np.array(person))


# --- what is run ------------------------------------------------------------------------------------------------------


def to_run(page: str) -> list[Block]:
    """Return the blocks of a page that are run."""
    return [block for block in blocks(page) if block.kind != "text" and not block.needs]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)])
def test_a_page_runs_from_top_to_bottom(
    page: str, ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NEEDS.get(page, []):
        copy: Callable[..., Any] = shutil.copytree if (ready / name).is_dir() else shutil.copy
        copy(ready / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    program: dict[str, Any] = {}
    for block in to_run(page):
        if re.match(_NAMED, block.text):
            write_named(page, block)
        elif block.kind == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the pages tell of what our own code warns of
                for kind in (FutureWarning, DeprecationWarning):  # of what braindecode will have to change
                    warnings.simplefilter("ignore", kind)
                exec(compile("\n" * block.above + block.text, page, "exec"), program)
        else:
            assert block.kind == "console", f"{page}:{block.above}: a block of {block.kind}; say what it needs"
            follow(f"{page}:{block.above}", commands(block))


def follow(place: str, listed: list[Command]) -> None:
    """Run commands one after the other and compare how they end, and what they print, with what is shown."""
    answer = Answer(0, "", "")
    for command, after in zip(listed, [*listed[1:], None], strict=True):
        if command.text == "echo $?":
            assert command.shown == [str(answer.status)], place
            continue
        answer = ran(command)
        printed = [*answer.err.splitlines(), *answer.out.splitlines()]
        told = f"{place}: {command.text}\n{answer.err}{answer.out}"
        if after is None or after.text != "echo $?":
            assert bool(answer.status) == any(line.startswith("dare: ") for line in command.shown), told
        assert not_printed(command.shown, printed) == "", told


def ran(command: Command) -> Answer:
    """Run a command of a page, made shorter; of make only the target is looked for."""
    text = command.text
    for pattern, replacement in SHORTER:
        text = re.sub(pattern, replacement, text)
    words = shlex.split(text)
    if words[0] == "dare":
        if words[-2] != ">":
            return dare(*words[1:])
        answer = dare(*words[1:-2])
        Path(words[-1]).write_text(answer.out, encoding="utf-8")
        return Answer(answer.status, "", answer.err)
    if words[0] == "make":
        known = re.search(rf"^{words[1]}:", (HOUSE / "Makefile").read_text(), re.MULTILINE)
        return Answer(0 if known else 2, "", "")
    assert words[0] in SHELL, f"{text}: not run by this test"
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def write_named(page: str, block: Block) -> None:
    """Write a block as the file that its first line names, which something below must use."""
    name = re.match(_NAMED, block.text)
    assert name
    assert name[1] in text_of(page).partition(block.text)[2], f"{page}: nothing uses {name[1]}"
    Path(name[1]).write_text(block.text, encoding="utf-8")


# --- what is not run --------------------------------------------------------------------------------------------------


def test_blocks_that_are_not_run_are_parsed_and_counted() -> None:
    found = [block for page in PAGES for block in blocks(page)]
    assert Counter(block.needs for block in found if block.needs) == ONLY_PARSED
    assert len([block for block in found if block.kind == "text"]) == ONLY_SHOWN
    for block in (block for block in found if block.needs):
        if block.kind == "python":
            ast.parse(block.text)
        elif block.kind == "toml":
            tomllib.loads(block.text)
        else:
            assert block.kind in ("bash", "console")
            lines = [block.text] if block.kind == "bash" else [command.text for command in commands(block)]
            subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=True)


def told_commands(page: str) -> list[str]:
    """Return all that a page says of the dare command, in its text and in its blocks, each in one line."""
    prose = re.sub(r"^```.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    found = [" ".join(code.split()) for code in re.findall(r"`(dare\s[^`]+)`", prose)]
    for block in blocks(page):
        if block.kind in ("bash", "console"):
            text = re.sub(r"(^|\s)#.*$|\\\n", "", block.text, flags=re.MULTILINE)
            found += re.findall(r"(?<![\w./-])dare [^\n]+", text)
    return [code for code in found if not code.startswith("dare: ")]


def test_every_command_and_option_that_is_told_exists() -> None:
    group = {"-h", "--help"} | {option for one in cli.dare.params for option in one.opts}
    told = [(page, code) for page in PAGES for code in told_commands(page)]
    assert len(told) > 100
    for page, code in told:
        name = next((word for word in code.split()[1:] if re.fullmatch(r"[a-z]+", word)), "")
        if not name:  # such as `dare -v COMMAND`
            continue
        assert name in cli.COMMANDS, f"{page}: {code}"
        known = group | {option for one in cli.command(name).params for option in one.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z][\w-]*", code)) <= known, f"{page}: {code}"


def test_every_link_leads_to_a_file() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text_of(page))]
    assert len(links) > 40
    near = [(page, link) for page, link in links if "://" not in link]
    assert [(page, link) for page, link in near if not ((HOUSE / page).parent / link).exists()] == []


def test_every_page_is_named_in_the_readme() -> None:
    assert [page for page in PAGES[1:] if f"]({page})" not in text_of("README.md")] == []


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def texts_of_the_code() -> list[str]:
    """Return every text in the code, {} where a value stands."""
    found = []
    for node in (node for path in sources() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.JoinedStr):
            parts = [str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values]
            found.append("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_every_line_of_trouble_is_one_that_the_code_says() -> None:
    told = re.findall(r"^\| `([^`]+)` \|", text_of("docs/troubleshooting.md"), re.MULTILINE)
    assert len(told) > 40
    said = texts_of_the_code()
    for line in told:
        for said_apart in re.split("; |: ", line):  # what it is about, the reason and the way out
            pattern = re.compile(".*".join(re.escape(part.strip()) for part in said_apart.split("...")), re.DOTALL)
            assert any(pattern.search(text) for text in said), line


@pytest.mark.slow
def test_the_page_on_python_is_that_of_the_docstrings() -> None:
    page = python_page.PAGE.read_text(encoding="utf-8")
    assert python_page.page(page) == page, "make it anew with python -m tests.python_page"


def test_output_that_does_not_come_out_is_noticed() -> None:
    printed = ["shards/tuab: tuab 3, 23 electrodes", "  train      66 windows", "  ok: 25 recordings"]
    assert not_printed(["shards/tuab: tuab 2, ... electrodes", "...", "  ok: 1 recordings"], printed) == ""
    assert not_printed(["  ok: 1 recordings", "  train 1 windows"], printed) == "  train 1 windows"
    assert not_printed(["  train 66"], printed) == "  train 66"
