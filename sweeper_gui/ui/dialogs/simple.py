"""Short questions: yes or no, a path, and what to do about a running sweep."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtWidgets import QDialog, QLineEdit, QPlainTextEdit, QWidget

from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.plain_text import PlainLabel, shown
from sweeper_gui.ui.prompts import Question, QuitChoice
from sweeper_gui.ui.theme import Look


class QuestionDialog(BaseDialog):
    """Accepted means yes. The button that says no has the focus."""

    def __init__(self, question: Question, look: Look, parent: QWidget | None = None) -> None:
        sign, colour = ("warning", "danger") if question.danger else ("info", "info")
        super().__init__(question.title, look, parent, sign=sign, colour=colour)
        self.body.addWidget(PlainLabel(question.text, wrap=True))
        if question.lines:
            self.body.addWidget(lines_view(question.lines), 1)
        self.buttons.addStretch(1)
        self.no_button = self.add_button(question.no)
        self.no_button.clicked.connect(self.reject)
        self.yes_button = self.add_button(question.yes, kind="Danger" if question.danger else "Primary")
        self.yes_button.clicked.connect(self.accept)
        self.no_button.setDefault(True)
        self.no_button.setFocus()
        self.fit(560, 400 if question.lines else 180)


class TextDialog(BaseDialog):
    """A text with lines, and a button that closes it."""

    def __init__(self, title: str, text: str, lines: Sequence[str], look: Look, parent: QWidget | None = None) -> None:
        super().__init__(title, look, parent, sign="info", colour="info")
        self.body.addWidget(PlainLabel(text, wrap=True))
        if lines:
            self.body.addWidget(lines_view(lines), 1)
        self.buttons.addStretch(1)
        close = self.add_button("&Close", kind="Primary")
        close.clicked.connect(self.accept)
        self.fit(600, 420 if lines else 200)


class _AskPath(BaseDialog):
    """Asks for a path: a field, no file dialog, as those look at every mount. Nothing is looked up on a disk."""

    def __init__(
        self, title: str, words: str, proposal: Path, yes: str, problem_of: Callable[[str], str], look: Look,
        parent: QWidget | None,
    ) -> None:  # fmt: skip
        super().__init__(title, look, parent, sign="export", colour="muted")
        self._problem_of = problem_of
        self._field = QLineEdit(str(proposal))
        self._field.setAccessibleName("Path")
        self._wrong = PlainLabel(name="DangerText", wrap=True)
        label = PlainLabel(words, wrap=True)
        label.setBuddy(self._field)
        for part in (label, self._field, self._wrong):
            self.body.addWidget(part)
        self.buttons.addStretch(1)
        self.add_button("Cancel").clicked.connect(self.reject)
        self._save = self.add_button(yes, kind="Primary")
        self._save.setDefault(True)
        self._save.clicked.connect(self.accept)
        self._field.textChanged.connect(self._judge)
        self._judge()
        self._field.setFocus()
        self.fit(600, 200)

    @property
    def path(self) -> Path:
        """What was typed, with '~' replaced; nothing is looked up on a disk."""
        return Path(self._field.text().strip()).expanduser()

    def _judge(self) -> None:
        wrong = self._problem_of(self._field.text())
        self._wrong.set_text(wrong)
        self._save.setEnabled(not wrong)


class PathDialog(_AskPath):
    """Asks for the path of a new file below the home directory, which the window itself will write."""

    def __init__(self, what: str, proposal: Path, look: Look, parent: QWidget | None = None) -> None:
        words = "&Path of a new file in your home directory; an existing one is never overwritten."
        super().__init__(f"Export {what}", words, proposal, "&Export", path_problem, look, parent)


class PlanPathDialog(_AskPath):
    """Asks for the path of a plan file anywhere on the engine's host: the engine opens or writes it."""

    def __init__(self, proposal: Path, look: Look, parent: QWidget | None = None, *, new: bool) -> None:
        if new:
            words = "&Path of a new file that whoever approves the plan can read; an existing one is never overwritten."
            super().__init__("Save the plan", words, proposal, "&Save", plan_path_problem, look, parent)
        else:
            words = "&Path of a plan that 'Save as plan' or 'sweeper plan' has written. It is checked and shown first."
            super().__init__("Sweep a plan", words, proposal, "&Open", plan_path_problem, look, parent)


def plan_path_problem(text: str) -> str:
    """Why this can't be the path of a plan; empty where it can. Looks at the text only."""
    typed = text.strip()
    if not typed:
        return "Name a file."
    try:
        path = Path(typed).expanduser()
    except RuntimeError:
        return "There is no such home directory."
    return "" if path.is_absolute() and "\0" not in typed else "Only an absolute path: one that starts with '/'."


def path_problem(text: str) -> str:
    """Why this can't be the path of an export; empty where it can. Looks at the text only."""
    typed = text.strip()
    if not typed:
        return "Name a file."
    try:
        path = Path(typed).expanduser()
        home = Path.home()
    except RuntimeError:
        return "There is no such home directory."
    if "\0" in typed or ".." in path.parts or not path.is_relative_to(home) or path == home:
        return f"Only a path below {shown(str(home))}, without '..'."
    return ""


class QuitDialog(BaseDialog):
    """The window is being closed in the middle of a sweep."""

    def __init__(self, doing: str, look: Look, parent: QWidget | None = None) -> None:
        super().__init__(f"{doing} is running", look, parent, sign="warning", colour="warning")
        self.choice = QuitChoice.STAY
        self.body.addWidget(
            PlainLabel(
                "It can be stopped at the next entry. What is removed stays removed, what is half done can be resumed, "
                "and the log on the volume tells all of it.",
                wrap=True,
            )
        )
        self.buttons.addStretch(1)
        self.stop_button = self.add_button("&Stop and quit", icon=look.icon("stop"))
        self.stop_button.clicked.connect(self._stop)
        stay = self.add_button("&Keep running", kind="Primary")
        stay.clicked.connect(self.reject)
        stay.setDefault(True)
        stay.setFocus()
        self.fit(520, 190)

    def _stop(self) -> None:
        self.choice = QuitChoice.STOP
        self.done(QDialog.DialogCode.Accepted)


def lines_view(lines: Sequence[str]) -> QPlainTextEdit:
    """Lines that can be read and copied, never edited or taken for markup."""
    view = QPlainTextEdit("\n".join(shown(line) for line in lines))
    view.setReadOnly(True)
    view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    view.setAccessibleName("List")
    return view
