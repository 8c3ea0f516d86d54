"""Where secrets hide in a registry's source, and how it is shown without them."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

from sweeper_gui.core.names import legible

MASK = "***"

_REFERENCE = re.compile(r"(?P<escape>\$?)\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")
_ONLY_REFERENCES = re.compile(r"(?:\$\{[A-Za-z_][A-Za-z0-9_]*\})+")
_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|pw|secret|token|api[-_]?key|access[-_]?key|auth(?:orization)?|bearer"
    r"|credentials?|sig(?:nature)?|jwt|cookie|session[-_]?key|private[-_]?key)"
)
_SECRET_KEY = rf"(?:[^=&#\s]*[-_.])?(?:[a-z]*{_SECRET_WORD}|key)(?:[-_.][^=&#\s]*)?="
# In a command a URL ends at a quote or white space, elsewhere a password may hold those.
_USER_INFO = re.compile(r"(?<=://)(?P<user>[^/?#@:]*)(?P<password>:[^/?#]*)?@")
_USER_INFO_IN_COMMAND = re.compile(r"(?<=://)(?P<user>[^/?#@:\s'\"]*)(?P<password>:[^/?#\s'\"]*)?@")
_PARAMETER = re.compile(rf"(?P<key>[?&;]{_SECRET_KEY})(?P<value>[^&#]+)", re.IGNORECASE)
_PARAMETER_IN_COMMAND = re.compile(rf"(?P<key>[?&;]{_SECRET_KEY})(?P<value>[^&#\s'\"]+)", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    rf"(?P<key>(?:(?<![A-Za-z0-9_])--?[a-z0-9_-]*{_SECRET_WORD}(?![a-z])[a-z0-9_-]*\s+"
    rf"|[a-z0-9_-]*{_SECRET_WORD}(?![a-z])[a-z0-9_-]*\s*[=:]\s*)(?:(?:bearer|basic|token)\s+)?)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s'\"]+)",
    re.IGNORECASE,
)


def masked(source: str) -> str:
    """The source without its secrets.

    Hidden are a URL's password (of HTTP URLs the user too: a token may stand there), URL parameters and options of a
    command that are called like a secret. References to variables (``${NAME}``) are no secrets and stay.
    """
    in_command = source.startswith("exec:")
    user_info = _USER_INFO_IN_COMMAND if in_command else _USER_INFO
    shown = user_info.sub(lambda match: _masked_user_info(match, whole=not _is_sql(source)), source)
    shown = (_PARAMETER_IN_COMMAND if in_command else _PARAMETER).sub(_masked_value, shown)
    return _ASSIGNMENT.sub(_masked_value, shown) if in_command else shown


def masked_if_sure(source: str) -> str:
    """As `masked`, for a source that may be malformed: a password may hold the character that seems to end it."""
    if not source.startswith(("exec:", "file:")) and "@" in _USER_INFO.sub("", source):
        return masked_wholly(source)
    return masked(source)


def contains_secret(source: str) -> bool:
    """Whether something in it would have to be hidden."""
    return masked(source) != source


def _is_sql(source: str) -> bool:
    return source.lower().startswith(("postgres", "sqlite"))


def masked_wholly(source: str) -> str:
    """A source that could not be understood: only its scheme is sure to be no secret."""
    scheme, colon, _ = source.partition(":")
    return f"{scheme}:{MASK}" if colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) else MASK


def _masked_user_info(match: re.Match[str], whole: bool) -> str:
    user, password = match["user"], (match["password"] or "")[1:]
    if whole:
        hide = [part for part in (user, password) if part and not _ONLY_REFERENCES.fullmatch(part)]
        return f"{MASK}@" if hide else match[0]
    if not password or _ONLY_REFERENCES.fullmatch(password):
        return match[0]
    return f"{user}:{MASK}@"


def _masked_value(match: re.Match[str]) -> str:
    if match["value"] == MASK or _ONLY_REFERENCES.fullmatch(match["value"].strip("'\"")):
        return match[0]
    return match["key"] + MASK


def secrets_in(source: str) -> set[str]:
    """The secrets that `masked` hides, as they stand there and as they are used (``%40`` is an '@')."""
    in_command = source.startswith("exec:")
    found: set[str] = set()
    for match in (_USER_INFO_IN_COMMAND if in_command else _USER_INFO).finditer(source):
        found.add((match["password"] or "")[1:])
        if not _is_sql(source):
            found.add(match["user"])
    found |= {match["value"] for match in (_PARAMETER_IN_COMMAND if in_command else _PARAMETER).finditer(source)}
    if in_command:
        found |= {match["value"].strip("'\"") for match in _ASSIGNMENT.finditer(source)}
    return found | {unquote(secret) for secret in found}


def without(text: str, hidden: Iterable[str]) -> str:
    """`text` with every one of these strings masked; the longest first, one may be part of another."""
    for secret in sorted((secret for secret in hidden if secret.strip()), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


class SafeFormatter(logging.Formatter):
    """Formats log records, traces and what led to them included, without secrets and without hidden characters.

    `hidden` is asked for each record: what must be hidden is known once the settings have been read.
    """

    def __init__(self, layout: str, hidden: Callable[[], Iterable[str]]) -> None:
        super().__init__(layout)
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        """The record as text; names of the volume in it can't command the terminal that shows the log."""
        text = without(super().format(record), self._hidden())
        return "\n".join(legible(line) for line in text.split("\n"))


def references(text: str) -> list[str]:
    """The names of the variables that `text` refers to as ``${NAME}``."""
    return [match["name"] for match in _REFERENCE.finditer(text) if not match["escape"]]


def expanded(text: str, values: Mapping[str, str]) -> str:
    """`text` with every ``${NAME}`` replaced; ``$${NAME}`` stands for the characters themselves."""
    return _REFERENCE.sub(lambda match: match[0][1:] if match["escape"] else values[match["name"]], text)
