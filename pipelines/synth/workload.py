"""The workload corpora of ISAE-SUPAERO, Toulouse, in EEGLAB files: passive BCI (Hinss 2021), COG-BCI (Hinss 2023)."""

from pathlib import Path

import numpy as np

from pipelines.synth.eeglab_writer import Mark, write_continuous, write_epochs
from pipelines.synth.heart import heart_uv
from pipelines.synth.mental import State, mental_uv
from pipelines.synth.signals import Signal, generator, mains_uv

_CAP = """
    Fp1 Fz F3 F7 FT9 FC5 FC1 C3 T7 CP5 CP1 Pz P3 P7 O1 Oz O2 P4 P8 CP6 CP2 C4 T8 FT10 FC6 FC2 F4 F8 Fp2 AF7 AF3 AFz F1
    F5 FT7 FC3 C1 C5 TP7 CP3 P1 P5 PO7 PO3 POz PO4 PO8 P6 P2 CPz CP4 TP8 C6 C2 FC4 FT8 F6 AF8 AF4 F2 FCz
"""
_SITES = tuple(_CAP.split())
"""Without Fpz, the reference, and Cz, the lead that recorded the heart."""

_MAINS_HZ = 50.0
_LAST_WITHOUT_CZ = 9

_REST, _EASY, _MEDIUM, _HARD = State(16.0, 1.0, 1.0), State(13.0, 2.0, 1.5), State(9.5, 4.0, 2.0), State(6.5, 7.0, 2.5)
_CLOSED = State(24.0, 1.0, 1.0)

_EPOCH_S, _EPOCH_SFREQ = 2, 250
_EPOCHS_OF = {"RS": 10, "MATBeasy": 2, "MATBmed": 2, "MATBdiff": 2}
"""A file has an epoch for every so many of the seconds asked for; of rest there is a fifth as much as of a task."""
_STATES = {"RS": _REST, "MATBeasy": _EASY, "MATBmed": _MEDIUM, "MATBdiff": _HARD}

_SFREQ = 500
_SESSIONS = {
    "S1": {"RS_Beg_EO": _REST, "MATBeasy": _EASY, "Flanker": _MEDIUM},
    "S2": {"twoBACK": _HARD, "RS_End_Ec": _CLOSED},
}
_MARKS = {"RS_Beg_EO": "40", "RS_End_Ec": "52", "MATBeasy": "710", "Flanker": "24", "twoBACK": "6221"}


def write_pbciw(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write two sessions a subject: rest and three tasks, cut into epochs, a task's of ``seconds`` together."""
    written = []
    for number in range(1, subjects + 1):
        alpha_hz = generator("pbciw", seed, number).normal(10.0, 0.6)
        for session in (1, 2):
            folder = out / f"P{number:02d}" / f"S{session}" / "eeg"
            for task, seconds_an_epoch in _EPOCHS_OF.items():
                rng = generator("pbciw", seed, number, session, task)
                num_epochs = int(seconds // seconds_an_epoch)
                num_samples = num_epochs * _EPOCH_S * _EPOCH_SFREQ
                signal_uv = mental_uv(_SITES, num_samples, _EPOCH_SFREQ, _STATES[task].of(alpha_hz, rng), rng)
                signal_uv = np.concatenate([signal_uv, heart_uv(num_samples, _EPOCH_SFREQ, rng)[None]])
                epochs_uv = signal_uv.reshape(len(signal_uv), num_epochs, -1).swapaxes(0, 1)
                path = folder / f"alldata_sbj{number:02d}_sess{session}_{task}.set"
                written += write_epochs(path, (*_SITES, "ECG1"), epochs_uv, _EPOCH_SFREQ, task)
    return written


def write_cogbci(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write two sessions a subject, of tasks and rest, each recording of these seconds."""
    written = []
    for number in range(1, subjects + 1):
        alpha_hz = generator("cogbci", seed, number).normal(10.0, 0.6)
        sites = (*_SITES, "TP10") if number <= _LAST_WITHOUT_CZ else (*_SITES, "TP10", "Cz")
        for session, tasks in _SESSIONS.items():
            folder = out / f"sub-{number:02d}" / f"ses-{session}" / "eeg"
            for task, state in tasks.items():
                rng = generator("cogbci", seed, number, session, task)
                signal_uv = _recorded_uv(sites, int(seconds) * _SFREQ, state.of(alpha_hz, rng), rng)
                marks = [Mark(second * _SFREQ, _MARKS[task]) for second in range(1, int(seconds), 5)]
                written += write_continuous(folder / f"{task}.set", (*sites, "ECG1"), signal_uv, _SFREQ, marks)
    return written


def _recorded_uv(sites: tuple[str, ...], num_samples: int, state: State, rng: np.random.Generator) -> Signal:
    signal_uv = mental_uv(sites, num_samples, _SFREQ, state, rng)
    signal_uv += mains_uv(len(sites), num_samples, _SFREQ, _MAINS_HZ, rng)
    return np.concatenate([signal_uv, heart_uv(num_samples, _SFREQ, rng)[None]])
