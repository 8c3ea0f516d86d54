"""What is wrong with the settings, told so that a person can mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One bad setting.

    `key` is dotted ('policy.min_age', 'registry[0].timeout'), a variable's name, a flag, or empty for the whole file.
    `value` is as the user wrote it with secrets masked, empty where it must not or can't be shown. `file` and `line`
    (from 1) are None where the value does not come from a file.
    """

    key: str
    value: str
    file: Path | None
    line: int | None
    message: str

    def __str__(self) -> str:
        place = ""
        if self.file is not None:
            place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        setting = f"{self.key} = {self.value}" if self.value else self.key
        return place + ": ".join(part for part in (setting, self.message) if part)


class SettingsError(Exception):
    """The settings can't be used; `problems` are all that were found, `str()` has one line for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
