"""Probe: what an encoder's features are worth on a labelled set, told honestly.

Unless the options say otherwise, models are selected on valid only, and test is asked once for each fold and seed.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

from dare_eeg.probing import kept_set, predictions, report
from dare_eeg.probing.fitting import Fitting, encoder_of, labelled_set, num_seeds
from dare_eeg.probing.options import is_baseline, trains_a_network
from dare_eeg.probing.request import ProbeRequest
from dare_eeg.probing.results import RESULTS, Results
from dare_eeg.probing.summary import facts_of, summarise
from dare_eeg.running.one_run import only_run_in
from dare_eeg.running.ranks import ALONE
from manifests import manifest, records
from manifests.atomic_io import canonical_json, require_writable, write_bytes
from manifests.errors import RefusedError


def probe(
    request: ProbeRequest, progress: Callable[[float, int], None], tell: Callable[[str], None] = lambda _line: None
) -> Results:
    """Fit and test every fold of every repeat with every seed; write results.json, predictions.csv and pictures.

    Fits that are kept of the same question are not made again; ``tell`` is told of those that go, and where the time
    went. Returns the results. Raises DareError for a set without labels, an encoder that cannot be loaded, a protocol
    the set is not made for, and a folder in which another probe is at work.
    """
    fitting = Fitting(request, tell)
    with only_run_in(request.out, request.ranks):
        return _written(request, fitting, progress, tell)


def _written(
    request: ProbeRequest, fitting: Fitting, progress: Callable[[float, int], None], tell: Callable[[str], None]
) -> Results:
    if request.ranks.is_first:
        require_writable(request.out)
        fitting.kept.remove_others()
        kept_set.write(request.out, request.shards, fitting.windows.manifest)
    rounds = fitting.rounds(progress)
    began = monotonic()
    results = summarise(request, fitting.protocol, fitting.encoder, fitting.windows, rounds)
    if not request.ranks.is_first:
        return results
    (request.out / RESULTS).unlink(missing_ok=True)  # killed here it must not leave them beside predictions of others
    write_bytes(request.out / predictions.PREDICTIONS, predictions.as_csv(fitting.windows, rounds))
    write_bytes(request.out / RESULTS, canonical_json(results.as_json()))
    report.draw(request.out, results, [fit.curves for one in rounds for fit in one.fits])
    seconds = fitting.seconds | {"statistics": monotonic() - began}
    tell(f"{request.out}: time: " + ", ".join(f"{name} {spent:.1f} s" for name, spent in seconds.items()))
    return results


def answered(
    request: ProbeRequest, progress: Callable[[float, int], None], tell: Callable[[str], None]
) -> Results | None:
    """Return the results of a request, those that are there of the same question or, by its ranks, new ones.

    All ranks train a network; what trains none the first alone computes, and the others return None.
    """
    found = found_done(request)
    is_there = (request.out / RESULTS).exists()
    if not request.ranks.any(found is None):
        tell(f"{request.out}: done before by the same encoder, set and options; kept")
        return found
    if trains_a_network(request.mode):
        made: Results | None = probe(request, progress if request.ranks.is_first else _silent, tell)
    else:
        alone = replace(request, ranks=ALONE)
        made = request.ranks.first_does(lambda: probe(alone, progress, tell))
    if is_there:
        tell(f"{request.out}: its results are replaced")
    return made


def _silent(_done: float, _total: int) -> None:
    """Tell nothing of progress, which the first process tells."""


def found_done(request: ProbeRequest) -> Results | None:
    """Return the results that are there of the same question to the same encoder and set, None where there are none.

    Raises RefusedError where the folder holds others: of another encoder, mode or corpus.
    """
    path = request.out / RESULTS
    if not path.exists():
        return None
    found = records.load(Results, path, "remove it, or choose another --out")
    named = "" if found.encoder is None else found.encoder.path
    if (found.corpus, found.mode) != (request.corpus, request.mode) or _place(named) != _place(request.encoder):
        reason = f"holds the results of {named or found.mode} on {found.corpus} by {found.mode}"
        raise RefusedError(reason, path=request.out, remedy="choose another --out")
    encoder = None if is_baseline(request.mode) else facts_of(named, encoder_of(request))
    asked = (
        manifest.sha256(request.shards),
        request.protocol or labelled_set(request).recipe.protocol,
        tuple(range(num_seeds(request))),
        tuple(range(request.repeats)),
        request.resamples,
        request.options.settled(request.mode, len(found.classes)),
        request.supervision,
        encoder,
    )
    told = (
        found.manifest_sha256,
        found.protocol,
        found.seeds,
        found.repeats,
        found.resamples,
        found.practice,
        found.supervision,
        found.encoder,
    )
    return found if asked == told and (request.out / predictions.PREDICTIONS).exists() else None


def _place(encoder: str) -> Path:
    return Path(encoder.removeprefix("py:")).resolve()
