"""SEED and SEED-IV of Shanghai Jiao Tong University: three sessions a subject, a variable of MAT for each film.

A film here lasts some ten seconds and not four minutes, and as in the corpora each has a length of its own.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.synth.mat_writer import write_mat
from pipelines.synth.mental import State, mental_uv
from pipelines.synth.signals import Signal, generator, mains_uv

_CAP = """
    FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8
    TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 PO9 O1 OZ O2 PO10
"""
_SITES = tuple(_CAP.split())
"""CB1 and CB2, which the 10-10 system does not name, sit about where it has PO9 and PO10."""

_SFREQ, _MAINS_HZ = 200, 50.0
_SHORTEST_FILM_S = 10.0
_FILMS_OF_SEED = (1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1)
_FILMS_OF_SEED_IV = ("123020010121112322330303", "213002023323201121030131", "122133311210233023002010")
_STATES_OF_SEED = {-1: State(9.0, 4.0, 2.0), 0: State(16.0, 2.0, 1.5), 1: State(9.0, 2.0, 6.0)}
_STATES_OF_SEED_IV = {
    "0": State(16.0, 2.0, 1.5),
    "1": State(13.0, 6.0, 1.5),
    "2": State(7.0, 6.0, 3.0),
    "3": State(9.0, 2.0, 6.0),
}


def write_seed(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write three sessions a subject, about ``seconds`` each but 10 s a film at least, and the file of labels."""
    folder = out / "Preprocessed_EEG"
    states = [_STATES_OF_SEED[film] for film in _FILMS_OF_SEED]
    written = []
    for number in range(1, subjects + 1):
        for session in range(3):
            path = folder / f"{number}_2014{number % 12 + 1:02d}{8 * session + 5:02d}.mat"
            _write_session(path, "seed", number, session, states, seconds, seed)
            written.append(path)
    write_mat(folder / "label.mat", {"label": np.array([_FILMS_OF_SEED], np.float64)})
    (folder / "readme.txt").write_text("label.mat: -1 negative, 0 neutral, 1 positive, in the order of the films\n")
    return [*written, folder / "label.mat", folder / "readme.txt"]


def write_seediv(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write three sessions a subject, about ``seconds`` each but 10 s a film at least."""
    written = []
    for session, films in enumerate(_FILMS_OF_SEED_IV):
        for number in range(1, subjects + 1):
            name = f"{number}_2016{number % 12 + 1:02d}{8 * session + 5:02d}.mat"
            path = out / "eeg_raw_data" / str(session + 1) / name
            states = [_STATES_OF_SEED_IV[film] for film in films]
            _write_session(path, "seediv", number, session, states, seconds, seed)
            written.append(path)
    (out / "ReadMe.txt").write_text("The labels 0, 1, 2 and 3 are neutral, sad, fear and happy.\n")
    return [*written, out / "ReadMe.txt"]


def _write_session(
    path: Path, corpus: str, number: int, session: int, states: list[State], seconds: float, seed: int
) -> None:
    traits, rng = generator(corpus, seed, number), generator(corpus, seed, number, session)
    initials = "".join(chr(letter) for letter in traits.integers(ord("a"), ord("z") + 1, 3))
    alpha_hz = traits.normal(10.0, 0.6)
    films: dict[str, Any] = {}
    for film, state in enumerate(states, start=1):
        duration_s = max(_SHORTEST_FILM_S, seconds / len(states)) + rng.uniform(0.0, 2.0)
        films[f"{initials}_eeg{film}"] = _film_uv(round(duration_s * _SFREQ), state.of(alpha_hz, rng), rng)
    write_mat(path, films)


def _film_uv(num_samples: int, state: State, rng: np.random.Generator) -> Signal:
    signal_uv = mental_uv(_SITES, num_samples, _SFREQ, state, rng)
    return signal_uv + mains_uv(len(_SITES), num_samples, _SFREQ, _MAINS_HZ, rng)
