"""What was found about the whole set-up, and what to mend."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QScrollArea, QWidget

from sweeper_gui.engine.messages import Check, Diagnosis
from sweeper_gui.ui.dialogs.base import BaseDialog
from sweeper_gui.ui.plain_text import PlainLabel, shown
from sweeper_gui.ui.theme import Look

_SIGNS = {"ok": ("good", "good"), "warning": ("warning", "warning"), "error": ("error", "danger")}
_WORDS = {"ok": "In order", "warning": "Warning", "error": "Error"}


class DoctorDialog(BaseDialog):
    """One line per check: a sign, what was checked, what was found, what to do."""

    def __init__(self, diagnosis: Diagnosis, look: Look, parent: QWidget | None = None) -> None:
        super().__init__("Check-up", look, parent, sign="doctor", colour="muted")
        self._checks = diagnosis.checks
        self.body.addWidget(PlainLabel(verdict_of(diagnosis), name="Strong", wrap=True))
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(self._grid())
        self.body.addWidget(area, 1)
        copy = self.add_button("Co&py", icon=look.icon("copy"))
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(diagnosis_text(diagnosis)))
        self.buttons.addStretch(1)
        close = self.add_button("&Close")
        close.clicked.connect(self.reject)
        close.setDefault(True)
        close.setFocus()
        self.fit(760, 560)

    def _grid(self) -> QWidget:
        page = QFrame()
        page.setObjectName("Panel")
        grid = QGridLayout(page)
        grid.setContentsMargins(12, 12, 12, 12)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        row = 0
        for check in self._checks:
            row = self._add(grid, row, check)
        grid.setRowStretch(row, 1)
        return page

    def _add(self, grid: QGridLayout, row: int, check: Check) -> int:
        sign, colour = _SIGNS[check.state]
        picture = QLabel()
        picture.setPixmap(self.look.icon(sign, str(getattr(self.look.colours, colour))).pixmap(QSize(18, 18)))
        picture.setAccessibleName(_WORDS[check.state])
        grid.addWidget(picture, row, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(PlainLabel(check.title, name="Strong", wrap=True), row, 1)
        for text, name in ((check.detail, "Muted"), (check.mend and f"→ {check.mend}", "")):
            if text:
                row += 1
                grid.addWidget(PlainLabel(text, name=name, wrap=True), row, 1)
        grid.setRowMinimumHeight(row + 1, 8)
        return row + 2


def verdict_of(diagnosis: Diagnosis) -> str:
    """All checks in one sentence."""
    errors = sum(check.state == "error" for check in diagnosis.checks)
    warnings = sum(check.state == "warning" for check in diagnosis.checks)
    if not errors and not warnings:
        return f"All {len(diagnosis.checks)} checks are in order."
    parts = [
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((errors, "error"), (warnings, "warning"))
        if number
    ]
    return f"{' and '.join(parts)} in {len(diagnosis.checks)} checks."


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """All checks as plain text."""
    lines = []
    for check in diagnosis.checks:
        lines.append(f"[{check.state}] {shown(check.title)}: {shown(check.detail)}")
        if check.mend:
            lines.append(f"    {shown(check.mend)}")
    return "\n".join(lines) + "\n"
