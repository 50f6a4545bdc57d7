"""Ctrl-C while something is computed: a request to save and stop."""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType, TracebackType
from typing import Optional, Type

from . import _hstep


class Stopping:
    """Within it a first Ctrl-C raises the flag ``stop``, and a second one ``KeyboardInterrupt``.

    Python runs handlers between the instructions of its main thread, which may compute for minutes without one. So a
    thread waits for what Python's own handler writes for every signal, and raises the flag at once. In other threads,
    and where a program answers Ctrl-C in its own way, nothing is changed.
    """

    def __init__(self) -> None:
        self.stop = _hstep.Stop()
        self._asked = False
        self._own = False

    def __enter__(self) -> Stopping:
        main = threading.current_thread() is threading.main_thread()
        self._own = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._own:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGINT, self._handle)
            self._thread = threading.Thread(target=self._listen, name="hstep-signals", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._own:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.set_wakeup_fd(self._before)
            self._writer.close()
            self._thread.join()
            self._reader.close()

    def _listen(self) -> None:
        while True:
            data = self._reader.recv(1)
            if not data:
                return
            if data[0] == signal.SIGINT:
                self.stop.set()
            if self._before != -1:
                os.write(self._before, data)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self.stop.set()
