"""The window's actions: one for everything that can be done, with its shortcut, shared by menus and buttons."""

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu

from sweeper_gui.ui.plain_text import tool_tip
from sweeper_gui.ui.theme import Look, Mode

#: key: (text, icon, shortcut, what it does)
_ACTIONS = {
    "rescan": ("&Rescan", "rescan", "Ctrl+R", "List and measure the volume again"),
    "registry": ("Refresh re&gistry", "registry", "Ctrl+G", "Read the registry again and judge all rows anew"),
    "export": ("&Export listing as CSV…", "export", "Ctrl+E", "Write what the table shows to a file"),
    "bind": ("&Accept and bind this registry…", "pin", "", "Record that this volume belongs to this registry"),
    "quit": ("&Quit", "close", "Ctrl+Q", "Close the window"),
    "search": ("F&ind", "search", "Ctrl+F", "Search name, title, owner and reason"),
    "clear": ("Clear &filters", "close", "Ctrl+L", "Show everything again"),
    "orphans_only": ("Show orphans onl&y", "status-orphan", "Ctrl+O", "Show only what can be swept"),
    "select_orphans": ("Select shown &orphans", "select-all", "Ctrl+A", "Select every orphan the table shows"),
    "select_none": ("Select &none", "select-none", "Ctrl+Shift+A", "Empty the selection, what is hidden too"),
    "sweep": ("&Sweep…", "broom", "Ctrl+Return", "Show what would be swept, and ask"),
    "sweep_plan": ("Sweep a p&lan…", "export", "", "Open a plan that somebody has proposed, and ask"),
    "cancel": ("&Cancel the sweep", "stop", "", "Stop at the next entry"),
    "trash": ("&Trash…", "set-aside", "Ctrl+T", "What is set aside or unfinished"),
    "history": ("&History…", "history", "Ctrl+H", "Past sweeps, from their logs"),
    "doctor": ("&Check-up…", "doctor", "Ctrl+D", "Check the whole set-up, and say what to mend"),
    "figures": ("Show &responsiveness", "info", "Ctrl+I", "How late the window was in the last minute, and the load"),
    "about": ("&About Sweeper", "info", "", "Version and rules"),
    "keys": ("&Keyboard", "info", "F1", "All shortcuts"),
    "remove_one": ("&Remove this workspace…", "trash", "", "Show this one, and ask"),
    "copy_path": ("&Copy path", "copy", "Ctrl+C", "Copy the paths of the marked rows"),
    "pin": ("&Pin: never sweep it", "pin", "", "Protect this workspace"),
    "unpin": ("&Unpin", "pin", "", "Take the protection away"),
    "toggle": ("Select / &deselect", "select-all", "", "Select the marked orphans for the sweep (Space)"),
    "reason": ("Show the r&eason", "info", "", "Why it has this status, in full"),
}

_MENUS = {
    "&Volume": ("rescan", "registry", "", "export", "bind", "", "quit"),
    "&Select": ("search", "orphans_only", "clear", "", "select_orphans", "select_none"),
    "S&weep": ("sweep", "sweep_plan", "cancel", "", "trash", "history"),
    "&Help": ("doctor", "keys", "about"),
}

_LAST_MENU = "&Help"
_THEMES: dict[Mode, str] = {"system": "Colours of the &desktop", "light": "&Light", "dark": "D&ark"}

ROW_MENU = ("toggle", "remove_one", "", "copy_path", "pin", "unpin", "reason")


class Actions(QObject):
    """The actions by key. A child of the window, so that nothing reaches it after the window's end."""

    def __init__(self, window: QMainWindow, look: Look) -> None:
        super().__init__(window)
        self._window = window
        self._look = look
        self._by_key = {key: self._action(key) for key in _ACTIONS}
        self._fill_menus()
        self._dress()
        look.changed.connect(self._dress)

    def __getitem__(self, key: str) -> QAction:
        return self._by_key[key]

    def _add_themes(self) -> None:
        menu = self._window.menuBar().addMenu("V&iew")
        group = QActionGroup(self._window)
        for mode, text in _THEMES.items():
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(mode == self._look.mode)
            action.triggered.connect(lambda _checked, mode=mode: self._look.set_mode(mode))
            group.addAction(action)
        menu.addSeparator()
        self._by_key["figures"].setCheckable(True)
        menu.addAction(self._by_key["figures"])

    def row_menu(self) -> QMenu:
        """A new menu for a row."""
        menu = QMenu(self._window)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._add(menu, ROW_MENU)
        return menu

    @property
    def shortcuts(self) -> list[str]:
        """Every shortcut and what it does, one a line."""
        own = [
            "Space: select or deselect the marked orphans",
            "Del: sweep what is selected",
            "Esc: to the Cancel button",
        ]
        with_keys = (values for values in _ACTIONS.values() if values[2])
        return [f"{shortcut}: {tip[0].lower()}{tip[1:]}" for _, _, shortcut, tip in with_keys] + own

    def _action(self, key: str) -> QAction:
        text, _, shortcut, tip = _ACTIONS[key]
        action = QAction(text, self._window)
        if shortcut:
            action.setShortcut(QKeySequence(shortcut))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        action.setToolTip(tool_tip(tip))
        action.setStatusTip(tip)
        self._window.addAction(action)
        return action

    def _fill_menus(self) -> None:
        for title, keys in _MENUS.items():
            if title == _LAST_MENU:
                self._add_themes()
            self._add(self._window.menuBar().addMenu(title), keys)

    def _add(self, menu: QMenu, keys: tuple[str, ...]) -> None:
        for key in keys:
            if key:
                menu.addAction(self._by_key[key])
            else:
                menu.addSeparator()

    def _dress(self) -> None:
        for key, (_, icon, _, _) in _ACTIONS.items():
            self._by_key[key].setIcon(self._look.icon(icon))
