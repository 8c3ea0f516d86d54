"""Names found on a volume: bytes that nobody vouches for, and the ways to write them down.

A name is kept as the bytes that the kernel gave. It becomes text only to be shown or stored, through the
functions here, so that no control or bidirectional character ever reaches a terminal, a window or a log reader.
"""

import unicodedata

#: Unicode categories that change how the text around them is shown, or that show nothing at all.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: Characters of other categories that show nothing: fillers, joiners, variation selectors, the empty Braille pattern.
_BLANK = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)))
) | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))

#: A cell that starts with one of these is read as a formula by spreadsheet programs, some in their wide forms too.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def text_of(name: bytes) -> str | None:
    """The name as text, or None where it is not UTF-8."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return None


def visible(name: bytes | str) -> str:
    """The name as one line of text in which every character can be seen.

    Control, format (bidirectional), unassigned, blank and line-separating characters become ``\\u202e``-like escapes,
    ASCII ones and bytes that are not UTF-8 ``\\x0a`` and ``\\xff``, a backslash is doubled, and white space at either
    end is escaped too. No two names look the same in this form for what is hidden in them.
    """
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if _plain(text):
        return text
    inner = text.strip()
    start = text.find(inner) if inner else len(text)
    end = start + len(inner)
    return "".join(
        _shown(character) if start <= index < end else _escaped(character) for index, character in enumerate(text)
    )


def legible(text: str) -> str:
    """A sentence as one line in which nothing is hidden: like `visible`, but names in it may be escaped already."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _hidden(character) else character for character in text)


def _shown(character: str) -> str:
    if character == "\\":
        return "\\\\"
    return _escaped(character) if _hidden(character) else character


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and "\\" not in text and text == text.strip()


def _hidden(character: str) -> bool:
    if character == " ":
        return False
    return unicodedata.category(character) in _INVISIBLE or character.isspace() or character in _BLANK


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: an undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:  # beyond, \x is for bytes: the character U+0085 and the byte 0x85 are two names
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def stored(name: bytes) -> tuple[str, bytes | None]:
    """How a name is written to JSON: its text, and its bytes too where the text alone would lose something."""
    text = text_of(name)
    return (text, None) if text is not None else (visible(name), name)


def unstored(text: str, raw: bytes | None) -> bytes:
    """The name that `stored` wrote."""
    return raw if raw is not None else text.encode("utf-8")


def csv_cell(text: str) -> str:
    """The text as a CSV cell that no spreadsheet program takes for a formula."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text
