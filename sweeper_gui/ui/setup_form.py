"""The first window where no volume is set: two fields, or what is wrong with the settings, in words."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QSize
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget
from typing_extensions import override

from sweeper_gui.settings import Settings, SettingsError
from sweeper_gui.ui.daemon_thread import in_daemon_thread
from sweeper_gui.ui.icons import app_icon
from sweeper_gui.ui.plain_text import PlainLabel
from sweeper_gui.ui.tasks import Tasks
from sweeper_gui.ui.theme import Look

#: Settings from the root and the registry's source that were typed; raises `SettingsError`.
Load = Callable[[str, str], Settings]

#: The command line's names of what is typed here, and ours.
_FIELDS = {"--root": "Volume root", "--registry": "Registry"}

_REGISTRY_HELP = (
    "sqlite:////path/to/database.db · postgresql://reader@host/database · https://host/sessions.json · "
    "file:/path/to/list · exec:command"
)


class SetupForm(QWidget):
    """`settings` is the answer once `done` is set; None where the window was closed."""

    def __init__(self, problem: str, load: Load, look: Look, *, root: str = "") -> None:
        super().__init__()
        self.settings: Settings | None = None
        self.done = asyncio.Event()
        self._load = load
        self._look = look
        self._tasks = Tasks(self._tell_error)
        self.root = QLineEdit(root)
        self.registry = QLineEdit()
        self.problem = PlainLabel(problem, wrap=True)
        self.open_button = QPushButton("&Open")
        self.setWindowTitle("Sweeper")
        self._lay_out(problem)
        self.resize(720, 420)
        self.root.setFocus()

    def _lay_out(self, problem: str) -> None:
        lines = QVBoxLayout(self)
        lines.setContentsMargins(32, 28, 32, 24)
        lines.setSpacing(16)
        lines.addLayout(self._head())
        self._problem_box = QFrame()
        self._problem_box.setObjectName("BannerError")
        QVBoxLayout(self._problem_box).addWidget(self.problem)
        self._problem_box.setVisible(bool(problem))
        lines.addWidget(self._problem_box)
        lines.addLayout(self._form())
        lines.addStretch(1)
        buttons = QHBoxLayout()
        buttons.addWidget(PlainLabel("Opening a volume changes nothing on it.", name="Muted"))
        buttons.addStretch(1)
        quit_button = QPushButton("&Quit")
        quit_button.setObjectName("Large")
        quit_button.clicked.connect(self.close)
        buttons.addWidget(quit_button)
        self.open_button.setObjectName("Primary")
        self.open_button.setDefault(True)
        self.open_button.clicked.connect(self.submit)
        buttons.addWidget(self.open_button)
        lines.addLayout(buttons)

    def _head(self) -> QHBoxLayout:
        head = QHBoxLayout()
        head.setSpacing(14)
        picture = QLabel()
        picture.setPixmap(app_icon().pixmap(QSize(48, 48)))
        head.addWidget(picture)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(PlainLabel("Which volume shall be cleaned up?", name="DialogTitle"))
        words.addWidget(PlainLabel("Sweeper needs to know where it is, and who knows what is live.", name="Muted"))
        head.addLayout(words, 1)
        return head

    def _form(self) -> QGridLayout:
        form = QGridLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(4)
        self.root.setPlaceholderText("/mnt/efs/workspaces")
        self.root.setAccessibleName("Volume root")
        self.registry.setPlaceholderText("postgresql://reader@db/collab")
        self.registry.setAccessibleName("Registry")
        for row, (label, field, words) in enumerate(
            (
                ("&Volume root", self.root, "The directory that holds one directory per session."),
                ("&Registry", self.registry, _REGISTRY_HELP),
            )
        ):
            name = PlainLabel(label)
            name.setBuddy(field)
            field.returnPressed.connect(self.submit)
            form.addWidget(name, 3 * row, 0)
            form.addWidget(field, 3 * row, 1)
            form.addWidget(PlainLabel(words, name="Muted", wrap=True), 3 * row + 1, 1)
            form.setRowMinimumHeight(3 * row + 2, 10)
        keep = "To keep this, write it to sweeper.toml; 'sweeper doctor' says where."
        form.addWidget(PlainLabel(keep, name="Muted", wrap=True), 6, 1)
        return form

    def submit(self) -> None:
        """Tries what was typed."""
        if self.open_button.isEnabled():
            self.open_button.setEnabled(False)
            self._tasks.start(self._try())

    async def _try(self) -> None:
        root, registry = self.root.text().strip(), self.registry.text().strip()
        try:
            self.settings = await in_daemon_thread(lambda: self._load(root, registry))
        finally:
            self.open_button.setEnabled(True)
        self.done.set()
        self.close()

    def _tell_error(self, error: Exception) -> None:
        self.problem.set_text(problem_words(error))
        self._problem_box.show()

    @override
    def closeEvent(self, event: QCloseEvent) -> None:
        self.done.set()
        event.accept()


def problem_words(error: Exception) -> str:
    """What is wrong, one line each; what was typed here is named as it is named here."""
    if isinstance(error, SettingsError):
        return "\n".join(str(replace(item, key=_FIELDS.get(item.key, item.key))) for item in error.problems)
    return str(error) if isinstance(error, ValueError) else f"unexpected {type(error).__name__}: {error}"
