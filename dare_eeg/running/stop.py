"""Stop: signals that ask a run to end in order, which it does once the step that it is in is done and saved."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

_SAID = b"\nstopping after this step, which is saved; Ctrl-C again ends at once\n"


_LAST_WORDS_S = 5.0


@contextmanager
def last_words(world: int) -> Iterator[None]:
    """Let SIGTERM end a process of several only some seconds later.

    Launchers send it to those that are left when one has died, who may then still tell of that.
    """
    if world == 1:
        yield
        return

    def end_soon(number: int, _frame: FrameType | None) -> None:
        end = Timer(_LAST_WORDS_S, os._exit, [128 + number])
        end.daemon = True
        end.start()

    old = signal.signal(signal.SIGTERM, end_soon)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end_soon:
            signal.signal(signal.SIGTERM, old)


class Stop:
    """Takes SIGTERM and SIGUSR1, which batch systems send before they kill, and Ctrl-C, as long as it is entered.

    ``asked`` is whether one has come, ``interrupted`` whether that was Ctrl-C. A second Ctrl-C ends a process that is
    ``alone`` at once; launchers send one more to each of several.
    """

    def __init__(self, alone: bool) -> None:
        self.asked = self.interrupted = False
        self._alone = alone

    def __enter__(self) -> "Stop":
        numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
        self._old = {number: signal.signal(number, self._ask) for number in numbers}
        return self

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.interrupted and self._alone:
                raise KeyboardInterrupt
            if not self.interrupted and self._alone:
                os.write(2, _SAID)  # print may be what the signal fell into
            self.interrupted = True
        self.asked = True

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
