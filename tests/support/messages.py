"""What the program says while it is tested: log records from WARNING up, and Qt's own messages.

Both tell of something that a user would have to deal with, so a test in which one appears unannounced fails.
"""

import logging
import re
import sys
from typing import Any

#: The program's own logger, and those that tell of its mistakes.
_LOGGERS = ("sweeper_gui", "asyncio", "qasync")


class Messages:
    """Collects messages, and knows which ones are meant to appear."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._expected: list[str] = []

    def expect(self, pattern: str) -> None:
        """A message that `pattern` is found in must appear, once or more often."""
        self._expected.append(pattern)

    def problems(self) -> list[str]:
        """The unexpected messages, and the expected ones that never came."""
        unexpected = [text for text in self.seen if not any(re.search(pattern, text) for pattern in self._expected)]
        missing = [pattern for pattern in self._expected if not any(re.search(pattern, text) for text in self.seen)]
        return [f"unexpected message: {text}" for text in unexpected] + [
            f"expected message never came: {pattern}" for pattern in missing
        ]


class MessageCollector(logging.Handler):
    """Listens to logging and Qt, from `start` to `stop`, and hands everything to the current `Messages`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.current = Messages()
        self._qt_handler: Any = None

    def start(self) -> None:
        """Listens from now on."""
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)
        if "PySide6.QtCore" in sys.modules:
            from PySide6.QtCore import qInstallMessageHandler

            self._qt_handler = qInstallMessageHandler(self._qt_message)

    def stop(self) -> None:
        """Listens no longer."""
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)
        if "PySide6.QtCore" in sys.modules:
            from PySide6.QtCore import qInstallMessageHandler

            qInstallMessageHandler(self._qt_handler)

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a log record."""
        self.current.seen.append(f"{record.name} {record.levelname}: {self.format(record)}")

    def _qt_message(self, kind: Any, context: Any, text: str) -> None:
        from PySide6.QtCore import QtMsgType

        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg):
            self.current.seen.append(f"Qt {context.category}: {text}")
