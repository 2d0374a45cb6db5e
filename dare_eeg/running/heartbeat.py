"""Heartbeat: each process of a job counts up a number in the job's store, and ends where another's stands still.

A process that is stopped, or whose machine is gone, closes no connection: in their next collective operation the
others would wait for it until that times out. One that is only slow, as on a slow disk or in a long validation, goes
on counting in a thread of its own, and is waited for.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread

import torch.distributed as dist

BEAT_S = 3.0
"""Seconds between two beats of a process."""

SILENT_BEATS = 5
"""After so many of its own beats without one of another a process gives up.

It counts beats, not seconds: where a machine sleeps or is stopped as a whole, all of them stand still together.
"""


class Heartbeat:
    """The beats of all processes of a job, until `end`.

    Where one of them falls silent, ``report_lost`` is called with whether any other still beats, so that the store
    answers; then this process ends with status 2.
    """

    def __init__(self, rank: int, world: int, report_lost: Callable[[bool], None]) -> None:
        self._rank, self._others = rank, [other for other in range(world) if other != rank]
        self._report_lost = report_lost
        self._beats = dict.fromkeys(self._others, 0)
        self._over = Event()
        # A store whose process is stopped answers no call, so one thread calls it and another watches the first.
        self._threads = [Thread(target=work, daemon=True) for work in (self._beat, self._watch)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Watch no longer; a thread that is within a call of the store when Python ends would abort the process."""
        self._over.set()
        for thread in self._threads:
            thread.join(BEAT_S)

    def _beat(self) -> None:
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            store = dist.TCPStore(*place, is_master=False, timeout=timedelta(seconds=BEAT_S * SILENT_BEATS))
            while not self._over.is_set():
                store.add(f"heartbeat {self._rank}", 1)
                for other in self._others:
                    self._beats[other] = store.add(f"heartbeat {other}", 0)
                self._over.wait(BEAT_S)
        except RuntimeError:  # the store is gone with the process that holds it, and `_watch` will find all silent
            return

    def _watch(self) -> None:
        before, silent = dict(self._beats), dict.fromkeys(self._others, 0)
        while not self._over.wait(BEAT_S):
            beats = dict(self._beats)
            silent = {other: silent[other] + 1 if beats[other] == before[other] else 0 for other in self._others}
            before = beats
            if max(silent.values()) >= SILENT_BEATS:
                self._report_lost(min(silent.values()) < SILENT_BEATS)
                os._exit(2)
