"""The text formats: one id a line, and JSON, as a file, a command or an HTTP API delivers them."""

from collections.abc import Sequence

import msgspec

from sweeper_gui.core.names import visible
from sweeper_gui.registries.base import RegistryError, quoted
from sweeper_gui.registries.rows import Gatherer, Sessions, from_objects

#: A document is held in memory as a whole; two million sessions take less.
MAX_BYTES = 256 << 20

#: How a list in an object is called when nothing says where it is.
_USUAL_LISTS = ("sessions", "items", "data", "results", "rows")


def sessions_in(data: bytes, items: str) -> Sessions:
    """The sessions in the bytes of a file or of a command's output.

    JSON where it begins with a bracket or a brace, else one id a line, with empty lines and lines that begin with #
    left out.
    """
    text = _text(data)
    gatherer = Gatherer()
    if text.lstrip()[:1] in ("[", "{"):
        from_objects(items_in(parse_json(data), items), gatherer)
    elif items:
        raise RegistryError("is no JSON document", f"'items' is set to '{items}': that is for JSON only")
    else:
        _take_lines(text, gatherer)
    return gatherer.sessions()


def parse_json(data: bytes) -> object:
    """The document. Raises `RegistryError` where it is cut short or malformed."""
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"is no complete JSON document: {error}") from None


def items_in(document: object, path: str) -> Sequence[object]:
    """The list at the dotted path; without a path the document itself, or the one list that it is usually called.

    Raises `RegistryError` where there is none, or where the document says that something went wrong.
    """
    refuse_error_body(document)
    place = document
    for step in path.split(".") if path else ():
        place = _step(place, step, path)
    if not path and isinstance(place, dict):
        usual = [name for name in _USUAL_LISTS if isinstance(place.get(name), list)]
        if len(usual) != 1:
            raise RegistryError(f"is an object with {_keys(place)}, not a list", 'say where the list is: items = "…"')
        place = place[usual[0]]
    if not isinstance(place, list):
        raise RegistryError(f"has no list at '{path}'" if path else "is not a list", "check 'items' of this registry")
    return place


def refuse_error_body(document: object) -> None:
    """Raises `RegistryError` for a document that reports a failure: servers send these with status 200 too."""
    if not isinstance(document, dict):
        return
    says_failed = any(document.get(key) is False for key in ("success", "ok", "succeeded"))
    word = document.get("status")
    says_failed |= isinstance(word, str) and word.lower() in ("error", "fail", "failed", "failure")
    error = document.get("error") or document.get("errors")
    if says_failed or error:
        detail = error or document.get("message") or document.get("detail") or word or ""
        text = detail if isinstance(detail, str) else msgspec.json.encode(detail).decode("utf-8", "replace")
        raise RegistryError("answered with an error" + (f": {quoted(text)}" if text else ""))


def _text(data: bytes) -> str:
    if not data.strip():
        raise RegistryError("is empty", "an empty list of sessions can't be told from one that was never written")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RegistryError(f"is not UTF-8 (byte {error.start})") from None


def _take_lines(text: str, gatherer: Gatherer) -> None:
    fields = {"id": "id"}
    for number, line in enumerate(text.split("\n"), 1):
        id_ = line.strip()
        if not id_ or id_.startswith("#"):
            continue
        if any(character.isspace() or not character.isprintable() for character in id_):
            raise RegistryError(
                f"line {number} holds more than one id: '{quoted(line)}'", "write one id a line, or JSON"
            )
        gatherer.take({"id": id_}, fields)


def _step(place: object, step: str, path: str) -> object:
    if isinstance(place, dict) and step in place:
        return place[step]
    found = _keys(place) if isinstance(place, dict) else "no object there"
    raise RegistryError(f"has nothing at '{path}': '{step}' is missing, found {found}", "check 'items'")


def _keys(place: dict[str, object]) -> str:
    names = ", ".join(f"'{visible(str(key))}'" for key in list(place)[:20])
    return f"the keys {names}" if names else "no keys"
