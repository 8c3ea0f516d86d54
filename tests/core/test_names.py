"""Names: shown so that nothing in them is hidden, and stored so that nothing is lost."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper_gui.core.names import csv_cell, legible, stored, text_of, unstored, visible

NAMES = st.binary(min_size=1, max_size=40) | st.text(min_size=1, max_size=20).map(
    lambda text: text.encode("utf-8", "replace")
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"session-1", "session-1"),
        (b"two words", "two words"),
        ("grün-日本".encode(), "grün-日本"),
        (b"a\nb", "a\\x0ab"),
        (b"a\x1b[31mb", "a\\x1b[31mb"),
        (b"back\\slash", "back\\\\slash"),
        (b"\xff", "\\xff"),
        ("\u0085".encode(), "\\u0085"),
        ("\u202egpj".encode(), "\\u202egpj"),
        ("a\u200bb".encode(), "a\\u200bb"),
        ("a\u00a0b".encode(), "a\\u00a0b"),
        ("a\u3164b".encode(), "a\\u3164b"),
        ("a\ufe0fb".encode(), "a\\ufe0fb"),
        ("a\U000e0061b".encode(), "a\\U000e0061b"),
        (b" a ", "\\x20a\\x20"),
        (b"   ", "\\x20\\x20\\x20"),
        (b"", ""),
    ],
)
def test_what_would_be_hidden_is_shown(name, shown):
    assert visible(name) == shown


@given(NAMES)
def test_nothing_in_a_shown_name_is_hidden(name):
    shown = visible(name)
    assert shown == shown.strip()
    assert all(character == " " or character.isprintable() for character in shown)
    assert not {unicodedata.bidirectional(c) for c in shown} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI"}


@given(NAMES, NAMES)
def test_two_names_never_look_the_same(one, other):
    assert (visible(one) == visible(other)) == (one == other)


def test_a_byte_and_the_character_of_its_number_are_told_apart():
    assert visible(b"\x85") == "\\x85"
    assert visible("\x85".encode()) == "\\u0085"


@given(NAMES)
def test_a_sentence_with_shown_names_stays_as_it_is(name):
    sentence = f"can't read '{visible(name)}'"
    assert legible(sentence) == sentence


def test_a_raw_sentence_is_made_legible():
    assert legible("a\nb\u202ec\\d") == "a\\x0ab\\u202ec\\d"


@given(NAMES)
def test_a_name_survives_being_stored_as_json(name):
    text, raw = stored(name)
    assert raw is None or raw == name
    assert unstored(json.loads(json.dumps(text)), raw) == name


def test_only_names_that_are_no_text_are_stored_as_bytes_too():
    assert stored("grün\n".encode()) == ("grün\n", None)
    assert stored(b"\xff") == ("\\xff", b"\xff")
    assert text_of(b"\xff") is None
    assert text_of(b"a") == "a"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠x"])
def test_a_cell_that_would_be_a_formula_is_quoted(cell):
    assert csv_cell(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["session-1", "1-2", "", "a=b"])
def test_other_cells_stay_as_they_are(cell):
    assert csv_cell(cell) == cell
