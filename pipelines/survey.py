"""Survey: what the files below a folder are, whosever they are: all headers, and what stretches of some show."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from statistics import median

from manifests.electrodes import derivation, is_site
from manifests.errors import DareError
from pipelines import scan
from pipelines.contents import BARE, TABLES, table_columns
from pipelines.corpora import bids, tables
from pipelines.doctor.scan_quality import spans
from pipelines.doctor.signal_quality import DIPS_DB, MAINS_HZ, STANDS_OUT_DB, Measures, signal_quality
from pipelines.formats import readers, triggers
from pipelines.formats.packed import without_suffix
from pipelines.recording import Event, Header

_MOST_READ = 12
"""Recordings of which stretches are read, spread over the tree; of the others the header alone."""

_MOST_HEADERS = 1000
"""Files whose headers are read, spread over the tree."""

_THREADS = 8
OF_EVENTS = ("-eve.fif", "_eve.fif")
"""Endings of the files in which MNE keeps the events of a recording."""

_OF_BIDS = ("_events.tsv", "_channels.tsv", "_scans.tsv", "_electrodes.tsv", "_sessions.tsv")
"""Endings of tables of a BIDS tree that are not about the whole."""

_LABEL_COLUMNS = ("trial_type", "value", "event", "label", "code", "stimulus")
_DOUBT = ("ref", "gnd", "cms", "drl")


@dataclass
class Labels:
    """Texts of events of one kind: how often each is, in how many recordings, and how long events last, in s.

    ``where`` is what a layout calls the place: ``annotations``, ``trigger`` or ``events``; ``column`` that of a table.
    ``num_looked`` counts the recordings that were looked into, ``gaps_s`` from one event to the next.
    """

    where: str
    column: str = ""
    texts: Counter[str] = field(default_factory=Counter)
    recordings: Counter[str] = field(default_factory=Counter)
    durations_s: list[float] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    num_looked: int = 0

    def add(self, events: Sequence[Event]) -> None:
        """Count the events of one recording."""
        self.num_looked += 1
        self.texts.update(event.text for event in events)
        self.recordings.update({event.text for event in events})
        self.durations_s += [event.duration_s for event in events if event.duration_s > 0]
        onsets_s = sorted(event.onset_s for event in events)
        self.gaps_s += [later - one for one, later in pairwise(onsets_s) if later > one]

    @property
    def lasts_s(self) -> float:
        """The median duration where most events have one, else 0."""
        return median(self.durations_s) if 2 * len(self.durations_s) > self.texts.total() else 0.0


@dataclass(frozen=True)
class Survey:
    """What lies below a folder: recordings by path with their headers, what no format reads, tables by their columns.

    ``num_likely`` counts the files that have the ending of a recording; of many, the headers of some are read.
    ``measures`` are of those recordings of which stretches were read.
    """

    folder: Path
    paths: list[str]
    num_likely: int
    recordings: dict[str, Header]
    faults: dict[str, str]
    tables: dict[str, list[str]]
    measures: list[Measures]
    labels: list[Labels]

    @property
    def is_bids(self) -> bool:
        """Whether most recordings lie as BIDS has them."""
        return 2 * sum(bids.match(path) is not None for path in self.recordings) > len(self.recordings)

    @property
    def unknown(self) -> list[str]:
        """Files that may hold bare numbers, which a layout must tell of."""
        likely = (path for path in self.paths if without_suffix(path).lower().endswith((*TABLES, *BARE)))
        return [path for path in likely if path not in self.recordings]

    @property
    def rates(self) -> Counter[float]:
        """In how many recordings most electrodes have which rate, in Hz."""
        return Counter(_rate(header) for header in self.recordings.values() if header.channels)

    @property
    def electrodes(self) -> Counter[str]:
        """In how many recordings each channel is that may be an electrode, in the order of the files."""
        return Counter(name for header in self.recordings.values() for name in dict.fromkeys(_usable(header)))

    def mains(self, threshold: Callable[[float], bool]) -> Counter[int]:
        """Return in how many of the recordings that were read the level of each mains frequency is so, in dB."""
        levels = [(line, one.mains_db[line]) for one in self.measures for line in MAINS_HZ]
        return Counter(line for line, level in levels if level is not None and threshold(level))

    @property
    def loud_mains(self) -> Counter[int]:
        """In how many of the recordings that were read each mains frequency stands out."""
        return self.mains(lambda level: level >= STANDS_OUT_DB)

    @property
    def notched(self) -> Counter[int]:
        """In how many of them it has been notched before."""
        return self.mains(lambda level: level <= DIPS_DB)


def survey(folder: Path, only: str = "") -> Survey:
    """Return what lies below a folder, or what one file of it is; DareError where the folder is missing or empty."""
    paths = [only] if only else scan.list_files(folder)
    raw = [
        path
        for path in paths
        if scan.is_raw(path) and not PurePosixPath(path).name.startswith("._") and not path.endswith(OF_EVENTS)
    ]
    texts = [path for path in paths if without_suffix(path).lower().endswith(TABLES) and not path.endswith(_OF_BIDS)]
    likely = paths if only else list(dict.fromkeys([*_some(raw), *_some(texts)]))
    with ThreadPoolExecutor(_THREADS) as threads:
        found = dict(zip(likely, threads.map(lambda path: _header(folder / path), likely), strict=True))
    recordings = {path: one for path, one in found.items() if isinstance(one, Header) and one.channels}
    faults = {path: str(one.about("", folder / path)) for path, one in found.items() if isinstance(one, DareError)}
    no_recordings = [path for path in texts if path in faults]
    measures, labels = _looked_into(folder, recordings)
    of_tables = _of_tables(folder, paths, recordings)
    return Survey(
        folder=folder,
        paths=paths,
        num_likely=len(raw) + sum(path in recordings for path in set(texts) - set(raw)),
        recordings=recordings,
        faults={path: fault for path, fault in faults.items() if path not in no_recordings},
        tables={path: columns for path in no_recordings if (columns := table_columns(folder / path))},
        measures=measures,
        labels=[one for one in (of_tables, *labels) if one.texts],
    )


def known_electrodes(names: Iterable[str]) -> list[str]:
    """Return the names that are sites of the scalp or, where there are none, derivations of such; ears are left out."""
    names = list(names)
    sites = [name for name in names if is_site(name) and name not in ("A1", "A2", "M1", "M2")]
    return sites or [name for name in names if all(map(is_site, derivation(name) or ("?",)))]


def _some(paths: list[str]) -> list[str]:
    """Return the paths of which headers are read: all, or of many some that are spread evenly."""
    return paths[:: max(1, -(-len(paths) // _MOST_HEADERS))]


def _header(path: Path) -> Header | DareError:
    try:
        return readers.read_header(path)
    except DareError as problem:
        return problem


def _usable(header: Header) -> list[str]:
    rate = _rate(header)
    return [
        one.electrode
        for one in header.channels
        if not one.fault and one.sfreq == rate and not one.electrode.lower().startswith(_DOUBT)
    ]


def _rate(header: Header) -> float:
    """Return the rate of most channels that are sites of the scalp, of all where there are none."""
    usable = [one for one in header.channels if not one.fault] or list(header.channels)
    on_scalp = [one for one in usable if is_site(one.electrode)] or usable
    counts = Counter(one.sfreq for one in on_scalp)
    return max(counts, key=lambda rate: (counts[rate], rate))


def _looked_into(folder: Path, recordings: dict[str, Header]) -> tuple[list[Measures], list[Labels]]:
    """Return what stretches of some recordings show: their measures, and their annotations and triggers."""
    paths = list(recordings)
    step = max(1, len(paths) // _MOST_READ)
    measures, annotations, codes = [], Labels("annotations"), Labels("trigger")
    for path in paths[::step][:_MOST_READ]:
        with suppress(DareError, OSError):
            file = readers.open_file(folder / path)
            wanted = set(known_electrodes(_usable(file.header)) or _usable(file.header))
            stretches = [
                readers.read_chosen(file, file.header, wanted, *span) for span in spans(file.header.duration_s)
            ]
            annotations.add(stretches[0].events)
            if stretches[0].electrodes:
                measures.append(signal_quality(stretches))
            if not stretches[0].events:
                with suppress(DareError):
                    codes.add(triggers.read(file)[0])
    codes.num_looked = annotations.num_looked
    return measures, [annotations, codes]


def _of_tables(folder: Path, paths: list[str], recordings: dict[str, Header]) -> Labels:
    """Return the events of a BIDS tree's tables, by the column that tells what they are."""
    there, found = bids.tables_of(paths, "_events.tsv"), Labels("events")
    held = {path: table for path in recordings if (table := bids.inherited(path, there))}
    columns = Counter(name for table in set(held.values()) for name in table_columns(folder / table))
    found.column = next((name for name in _LABEL_COLUMNS if columns[name]), "")
    rows: defaultdict[str, list[Event]] = defaultdict(list)
    for path, table in held.items() if found.column else ():
        with suppress(DareError, OSError):
            content = (folder / table).read_bytes()
            for row in tables.rows(table, content, ["onset", found.column], ["duration"]):
                with suppress(ValueError):
                    lasts_s = 0.0
                    with suppress(ValueError):
                        lasts_s = float(row["duration"])
                    rows[path].append(Event(float(row["onset"]), lasts_s, row[found.column]))
    for path in held:
        found.add(rows[path])
    return found
