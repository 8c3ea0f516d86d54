"""Names, titles and messages that somebody has chosen for what they do to whoever shows them."""

#: Each could be taken for markup, a terminal's command, a format, a formula, an option, a shell's work or another name.
NAMES: tuple[bytes, ...] = (
    b"[red]bold",
    b"[link=http:evil]click",
    b"[@click=quit]x",
    b"\x1b[31mred\x1b[0m",
    b"\x1b]8;;http:evil\x07link\x1b]8;;\x07",
    b"\x1b]0;title\x07",
    b"\xc2\x9b31mC1",
    b"<b>bold<br>",
    b"<img src=http:evil>",
    b"&amp;&lt;i&gt;",
    b"{0.__class__}{name}",
    b"%s%n%(name)s%x",
    b"$(touch pwned)",
    b"`touch pwned`",
    b";touch pwned;",
    b"${HOME}~*?",
    b"=cmd|' C calc'!A0",
    b"+1+1",
    b"@SUM(1)",
    b"-rf",
    b"--help",
    b"new\nline\r",
    b"ta\tb",
    b"\xe2\x80\xaegnp.exe",
    b"\xe2\x80\x8bzero\xef\xbb\xbf",
    b"\xf0\x9f\x92\xa9:smile:",
    b" lead and trail ",
    b"\x7f\x08\x08back",
    b"\xff\xfe\xc3(",
    b"back\\slash\\x1b",
    b"x" * 255,
    "é".encode() * 127,
)

#: The same as text, for titles, owners and messages, with all in one.
TEXTS: tuple[str, ...] = tuple(name.decode("utf-8", "replace") for name in NAMES)
TEXT = " ".join(["[/red][/]</b>http://evil/", *(text for text in TEXTS if len(text) < 100)])
