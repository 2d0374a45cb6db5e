"""Pulse: each process of a job shows that it lives, and ends with a word where another no longer does.

A process that is stopped, or whose machine is gone, closes no connection: the others would wait for it in their next
collective. Whoever waits for one that is only slow (a checkpoint on a slow disk, a long validation) sees its pulse.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread

import torch.distributed as dist

BEAT_S = 3.0
SILENT_BEATS = 5
"""After so many of its own beats without one of another a process gives up: what stops them all stops no heart."""


class Pulse:
    """The beats of all processes of a job, through its store, until they are told to `end`.

    ``speak`` is called, with whether the store still answers, before this process ends with status 2.
    """

    def __init__(self, rank: int, world: int, speak: Callable[[bool], None]) -> None:
        self._rank, self._others, self._speak = rank, [one for one in range(world) if one != rank], speak
        self._heard = dict.fromkeys(self._others, 0)
        self._over = Event()
        # A store whose process is stopped answers no call, so one thread calls and another watches.
        self._threads = [Thread(target=work, daemon=True) for work in (self._beat, self._watch)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Watch no longer; a thread that is within a call when Python ends would abort the process."""
        self._over.set()
        for thread in self._threads:
            thread.join(BEAT_S)

    def _beat(self) -> None:
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            store = dist.TCPStore(*place, is_master=False, timeout=timedelta(seconds=BEAT_S * SILENT_BEATS))
            while not self._over.is_set():
                store.add(f"pulse {self._rank}", 1)
                for other in self._others:
                    self._heard[other] = store.add(f"pulse {other}", 0)
                self._over.wait(BEAT_S)
        except RuntimeError:  # the store is gone with its process; the watch sees it
            return

    def _watch(self) -> None:
        before, silent = dict(self._heard), dict.fromkeys(self._others, 0)
        while not self._over.wait(BEAT_S):
            heard = dict(self._heard)
            silent = {one: silent[one] + 1 if heard[one] == before[one] else 0 for one in self._others}
            before = heard
            if max(silent.values()) >= SILENT_BEATS:
                self._speak(min(silent.values()) < SILENT_BEATS)
                os._exit(2)
