"""A process that carries out one removal order, and the coordinator's end of its pipe.

`python -m tests.support.worker` reads an order, asks what it asks, and tells how it ended, as an agent on another host
would. A pipe that closes is a cancel.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO, Literal, cast

import msgspec

from sweeper_gui.engine.process import _write, read_frame
from sweeper_gui.storage.order import Ask, Carried, Found, Order, carry_out_here

Codec = Literal["pickle", "msgpack"]
_PROJECT = Path(__file__).parents[2]


class Worker:
    """A worker that runs. It is killed at the end of the block if it has not ended by then."""

    def __init__(self, codec: Codec = "msgpack") -> None:
        self._codec = codec
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker", codec], cwd=_PROJECT, env=dict(os.environ),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._orders = cast(BinaryIO, self.process.stdin)
        self._answers = cast(BinaryIO, self.process.stdout)

    def carry_out(self, order: Order, ask: Ask) -> Carried | None:
        """How the order ended; None where the worker has died."""
        _write(self._orders, pickle.dumps(order) if self._codec == "pickle" else msgspec.msgpack.encode(order))
        while (frame := read_frame(self._answers)) is not None:
            heard = msgspec.msgpack.decode(frame, type=Found | _Told)
            if isinstance(heard, _Told):
                return heard.carried
            with contextlib.suppress(BrokenPipeError):  # it may have died meanwhile: that is heard next
                _write(self._orders, msgspec.msgpack.encode(ask(heard)))
        return None

    def cut_off(self) -> None:
        """Closes the pipe on which it listens."""
        self._orders.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self._orders, self._answers):
            with contextlib.suppress(BrokenPipeError):  # what was still to be written to one that has died
                stream.close()


class _Told(msgspec.Struct, frozen=True, tag=True):
    carried: Carried


def main(codec: str) -> None:
    """The worker's end."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    frame = read_frame(orders)
    assert frame is not None
    order = pickle.loads(frame) if codec == "pickle" else msgspec.msgpack.decode(frame, type=Order)
    cancel = threading.Event()
    answered: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def listen() -> None:
        while (frame := read_frame(orders)) is not None:
            answered.put(msgspec.msgpack.decode(frame, type=bool))
        cancel.set()
        answered.put(False)

    threading.Thread(target=listen, daemon=True).start()

    def ask(found: Found) -> bool:
        _write(answers, msgspec.msgpack.encode(found))
        return answered.get()

    _write(answers, msgspec.msgpack.encode(_Told(carry_out_here(order, ask, cancel))))


if __name__ == "__main__":
    main(sys.argv[1])
