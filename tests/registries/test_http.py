"""An HTTP API, with real servers: everything that is not a fresh, whole, honest list is an error."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper_gui.core.snapshot import RegistryIdentity, RegistryRead, Session
from sweeper_gui.registries import http as http_module
from sweeper_gui.registries import identity_of, read_all
from tests.registries.conftest import Reader, registry
from tests.registries.servers import Answer, Authority, HttpServer, http_server, proxy
from tests.support.root import need_root

TOKEN = "token-hunter2-secret"


def test_a_list_is_read(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer(
        [
            {"id": "a", "title": "One", "owner": "octocat", "created_at": "2024-10-01T00:00:00Z", "deleted_at": None},
            {"id": "b", "deletedAt": 1700000100000},
        ]
    )
    before = time.time()
    result = read(http.url())
    assert result.error is None
    assert result.sessions == (
        Session("a", False, "One", "octocat", 1727740800.0, None),
        Session("b", True, deleted_at=1700000100.0),
    )
    assert before <= result.started_at <= result.finished_at
    ((_, headers),) = http.requests
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Accept"] == "application/json"
    assert "Authorization" not in headers


def test_the_list_may_lie_deeper(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer({"data": {"sessions": ["a"]}, "other": []}, kind="application/vnd.api+json")
    assert read(http.url(), items="data.sessions").sessions == (Session("a"),)
    assert "not a list" in (read(http.url()).error or "")


# --- who we are ------------------------------------------------------------------------------------------------------


def test_a_token_from_a_file_or_a_variable_is_sent(read: Reader, http: HttpServer, tmp_path: Path, monkeypatch):
    http.answers["/sessions"] = Answer(["a"])
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="ascii")
    (tmp_path / "token").chmod(0o640)
    monkeypatch.setenv("API_TOKEN", TOKEN)
    assert read(http.url(), token_file=tmp_path / "token").error is None
    assert read(http.url(), token_env="API_TOKEN").error is None
    assert [headers["Authorization"] for _, headers in http.requests] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize("content", ["", " \n", "two words\n", "a\nb\n", "grün\n"])
def test_a_token_that_can_not_be_one_is_an_error(read: Reader, http: HttpServer, tmp_path: Path, content: str):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    (tmp_path / "token").chmod(0o600)
    result = read(http.url(), token_file=tmp_path / "token")
    assert "token" in (result.error or "")
    assert http.requests == []


@pytest.mark.parametrize(
    ("mode", "owner", "words"),
    [
        (0o644, 0, "be read by anyone"),
        (0o622, 0, "be changed by others"),
        (0o660, 0, "be changed"),
        (0o600, 65534, "uid 65534"),
    ],
)
def test_a_token_that_others_may_read_or_change_is_refused(
    read: Reader, http: HttpServer, tmp_path: Path, mode: int, owner: int, words: str
):
    need_root()
    (tmp_path / "token").write_text(TOKEN, encoding="ascii")
    (tmp_path / "token").chmod(mode)
    os.chown(tmp_path / "token", owner, owner)
    result = read(http.url(), token_file=tmp_path / "token")
    assert words in (result.error or "")
    assert TOKEN not in f"{result.error}{result.hint}"
    assert not http.requests


def test_a_missing_token_is_an_error(read: Reader, http: HttpServer, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("API_TOKEN", raising=False)
    assert "API_TOKEN is empty or not set" in (read(http.url(), token_env="API_TOKEN").error or "")
    assert "No such file" in (read(http.url(), token_file=tmp_path / "none").error or "")
    assert "Is a directory" in (read(http.url(), token_file=tmp_path).error or "")


def test_a_user_in_the_source_is_sent_as_such_on_every_page(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer(["a"], headers={"Link": '</more>; rel="next"'})
    http.answers["/more"] = Answer(["b"])
    assert len(read(http.url().replace("//", "//me:p%40ss@")).sessions) == 2
    assert {headers["Authorization"] for _, headers in http.requests} == {"Basic bWU6cEBzcw=="}


def test_a_server_that_repeats_the_token_does_not_bring_it_into_the_error(read: Reader, http: HttpServer, monkeypatch):
    monkeypatch.setenv("API_TOKEN", TOKEN)
    http.answers["/sessions"] = Answer({"detail": f"unknown token {TOKEN}"}, 401)
    result = read(http.url(), token_env="API_TOKEN")
    assert "answered 401 Unauthorized" in (result.error or "")
    assert "unknown token ***" in (result.error or "")
    assert "token_file or token_env" in (result.hint or "")
    assert TOKEN not in repr(result)
    source = http.url(f"/sessions?api_key={TOKEN}").replace("//", f"//me:{TOKEN}@")
    assert TOKEN not in repr(read(source))


# --- pages -----------------------------------------------------------------------------------------------------------


def test_all_pages_are_read(read: Reader, http: HttpServer):
    for number in range(1, 21):
        link = {"Link": f'<?page={number + 1}>; rel="next", </sessions>; rel="first"'} if number < 20 else {}
        http.answers[f"/sessions?page={number}"] = Answer(
            [f"s{number}-{index}" for index in range(50)], headers={"X-Total-Count": "1000", **link}
        )
    result = read(http.url("/sessions?page=1"))
    assert result.error is None
    assert len(result.sessions) == 1000


@pytest.mark.parametrize(
    "link",
    [
        '</two>; rel="next"',
        "</two>; rel=next",
        '</two>; rel="last next"',
        "</two>; REL=Next",
        "</one>; rel=prev, </two>; rel='next'",
        '</two> ; title="more" ; rel = "next"',
    ],
)
def test_the_next_page_is_found_however_it_is_linked(read: Reader, http: HttpServer, link: str):
    http.answers["/sessions"] = Answer(["a"], headers={"Link": link})
    http.answers["/two"] = Answer(["b"], headers={"Link": '</sessions>; rel="prev"; title="next"'})
    result = read(http.url())
    assert result.error is None
    assert result.sessions == (Session("a"), Session("b"))


def test_an_empty_page_in_between_is_passed(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer([], headers={"Link": f"<{http.url('/two')}>; rel=next"})
    http.answers["/two"] = Answer(["a"])
    assert read(http.url()).sessions == (Session("a"),)


def test_a_session_that_moves_to_another_page_is_one_session(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer([{"id": "a"}, {"id": "b"}], headers={"Link": "</two>; rel=next"})
    http.answers["/two"] = Answer([{"id": "b"}, {"id": "c"}])
    assert [session.id for session in read(http.url()).sessions] == ["a", "b", "c"]


def test_a_session_that_dies_between_two_pages_is_a_contradiction(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer([{"id": "a", "deleted_at": None}], headers={"Link": "</two>; rel=next"})
    http.answers["/two"] = Answer([{"id": "a", "deleted_at": 1700000000}])
    assert "both live and deleted" in (read(http.url()).error or "")


@pytest.mark.parametrize("second", [Answer({"detail": "gone"}, 500), Answer(["b"], missing=9), Answer(b"[", 200)])
def test_a_page_that_fails_makes_all_worthless(read: Reader, http: HttpServer, second: Answer):
    http.answers["/sessions"] = Answer(["a"], headers={"Link": "</two>; rel=next"})
    http.answers["/two"] = second
    result = read(http.url())
    assert result.error
    assert result.sessions == ()


def test_a_circle_of_pages_is_an_error(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer(["a"], headers={"Link": "</two>; rel=next"})
    http.answers["/two"] = Answer(["b"], headers={"Link": "</sessions>; rel=next"})
    assert "in a circle" in (read(http.url()).error or "")


def test_pages_without_end_are_an_error(read: Reader, http: HttpServer, monkeypatch):
    monkeypatch.setattr(http_module, "MAX_PAGES", 20)
    for number in range(30):
        http.answers[f"/{number}"] = Answer([f"s{number}"], headers={"Link": f"</{number + 1}>; rel=next"})
    assert "more than 20 pages" in (read(http.url("/0")).error or "")
    assert len(http.requests) == 20


def test_the_token_never_goes_to_another_place(read: Reader, http: HttpServer, monkeypatch):
    monkeypatch.setenv("API_TOKEN", TOKEN)
    with http_server() as stranger:
        stranger.answers["/sessions"] = Answer(["b"])
        http.answers["/page"] = Answer(["a"], headers={"Link": f"<{stranger.url()}>; rel=next"})
        http.answers["/redirect"] = Answer(b"", 302, headers={"Location": stranger.url()})
        http.answers["/scheme"] = Answer(["a"], headers={"Link": f"<https://127.0.0.1:{http.port}/x>; rel=next"})
        http.answers["/host"] = Answer(["a"], headers={"Link": f"<http://localhost:{http.port}/x>; rel=next"})
        for path in ("/page", "/redirect", "/scheme", "/host"):
            result = read(http.url(path), token_env="API_TOKEN")
            assert "to another place" in (result.error or "")
            assert result.sessions == ()
        assert stranger.requests == []


def test_a_redirect_within_the_place_is_followed_but_not_for_ever(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer(b"", 307, headers={"Location": "/sessions/"})
    http.answers["/sessions/"] = Answer(["a"])
    http.answers["/loop"] = Answer(b"", 302, headers={"Location": "/loop"})
    http.answers["/nowhere"] = Answer(b"", 302)
    assert read(http.url()).sessions == (Session("a"),)
    assert "redirects more than" in (read(http.url("/loop")).error or "")
    assert "answered 302" in (read(http.url("/nowhere")).error or "")


# --- answers that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({"success": False, "sessions": []}), "answered with an error"),
        (Answer({"error": {"code": 7, "message": "down"}}), 'error: {"code":7,"message":"down"}'),
        (Answer({"errors": ["down"], "data": []}), "answered with an error"),
        (Answer({"status": "error", "message": "down", "data": []}), "answered with an error: down"),
        (Answer({"ok": False, "items": ["a"]}), "answered with an error"),
        (Answer(b"<html>Log in</html>", kind="text/html"), "answered with text/html instead of JSON"),
        (Answer(b'["a"]', kind="text/plain"), "answered with text/plain instead of JSON"),
        (Answer(b'["a"]', kind=""), "no content type instead of JSON"),
        (Answer(b""), "no complete JSON document"),
        (Answer(b'["a", "b'), "no complete JSON document"),
        (Answer(["a"], missing=1), "broke off its answer"),
        (Answer(b"", 204), "answered 204"),
        (Answer(["a"], 206), "answered 206"),
        (Answer(["a"], 203), "answered 203"),
        (Answer({"detail": "no"}, 403), 'answered 403 Forbidden: {"detail": "no"}'),
        (Answer({}, 404), "answered 404"),
        (Answer(b"<html>" * 99, 500, kind="text/html"), "answered 500 Internal Server Error"),
        (Answer(["a"], headers={"Age": "1"}), "answered from a cache, 1 s old"),
        (Answer(["a"], headers={"X-Cache": "Hit from cloudfront"}), "answered from a cache (x-cache: Hit from"),
        (Answer(["a"], headers={"X-Cache": "TCP_MEM_HIT"}), "answered from a cache"),
        (Answer(["a"], headers={"X-Cache-Status": "STALE"}), "answered from a cache"),
        (Answer(["a"], headers={"Cache-Status": "edge; hit; ttl=3"}), "answered from a cache"),
        (Answer(["a"], headers={"Date": "Tue, 24 Nov 2020 10:00:00 GMT"}), "before it was asked for"),
        (Answer(["a"], headers={"Age": "soon"}), "answered from a cache"),
        (Answer(["a"], headers={"Warning": '110 anderson/1.3.37 "Response is stale"'}), "stale data"),
        (Answer(["a"], headers={"X-Total-Count": "2"}), "there are 2 sessions but sent 1"),
        (Answer({"total": 2, "data": ["a"]}), "there are 2 sessions but sent 1"),
        (Answer({"meta": {"total_count": 0}, "data": ["a"]}), "there are 0 sessions but sent 1"),
        (Answer({"data": ["a"], "has_more": True}), "says in 'has_more' that there is more"),
        (Answer({"data": ["a"], "pagination": {"next_cursor": "x"}}), "says in 'next_cursor' that there is more"),
        (Answer({"data": ["a"], "next": "/sessions?page=2"}), "says in 'next' that there is more"),
        (Answer({"data": ["a"], "links": {"next": "/two"}}), "says in 'next' that there is more"),
        (Answer({"data": ["a"], "meta": {"total_pages": 3}}), "there are 3 pages but links only 1"),
        (Answer(["a"], headers={"Link": '</two>; nopush; rel="next"'}), "a next page in a way that is not understood"),
    ],
)
def test_what_is_no_fresh_whole_honest_list_is_an_error(read: Reader, http: HttpServer, answer: Answer, error: str):
    http.answers["/sessions"] = answer
    result = read(http.url())
    assert error in (result.error or "")
    assert len(result.error or "") < 500
    assert result.sessions == ()


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"success": True, "error": None, "errors": [], "data": ["a"], "next": None, "has_more": False}),
        Answer({"status": "ok", "total": 1, "page": {"total_pages": 1}, "links": {"next": None}, "items": ["a"]}),
        Answer(
            ["a"], headers={"Age": "0", "X-Cache": "MISS, MISS", "X-Total-Count": "1", "Warning": '199 - "Deprecated"'}
        ),
        Answer(["a"], kind="application/json; charset=utf-8"),
        Answer(
            ["a"], headers={"Cache-Status": "edge; fwd=miss", "X-Cache": "TCP_MISS", "X-Cache-Lookup": "HIT from a"}
        ),
        Answer(["a"], headers={"Date": "some day", "Cache-Control": "stale-while-revalidate=5"}),
    ],
)
def test_an_honest_list_is_believed(read: Reader, http: HttpServer, answer: Answer):
    http.answers["/sessions"] = answer
    result = read(http.url())
    assert result.error is None
    assert result.sessions == (Session("a"),)


def test_no_cache_can_have_an_answer_to_a_request_that_nobody_has_made_before(read: Reader, http: HttpServer):
    """A cache that keeps to itself what it does and that heeds no client: most of them as they are installed."""
    kept: dict[str, Answer] = {}
    http.answers["/sessions?page=1"] = lambda: kept.setdefault(
        http.paths[-1], Answer([f"a{len(http.paths)}"], headers={"Link": f'<{http.paths[-1]}&page=2>; rel="next"'})
    )
    http.answers["/sessions?page=1&page=2"] = Answer([])
    start = http.url("/sessions?page=1")
    first = read(start)
    assert ids_of(first) == ["a1"]
    assert ids_of(read(start)) == ["a3"]
    assert len(set(http.paths)) == 4
    assert first.identity.path == "/sessions?page=1"
    assert ids_of(read(start, unique_parameter="")) == ["a5"]
    assert ids_of(read(start, unique_parameter="")) == ["a5"]
    assert http.paths[-1] == "/sessions?page=1&page=2"
    assert http.requests[0][1]["Cache-Control"] == "no-cache"


def test_api_that_refuses_what_it_does_not_know_is_told_how_to_be_asked(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer({"message": "column _ does not exist"}, 400)
    assert "unique_parameter" in (read(http.url()).hint or "")


def ids_of(result: RegistryRead) -> list[str]:
    return [session.id for session in result.sessions]


def test_too_large_an_answer_is_refused(read: Reader, http: HttpServer, monkeypatch):
    monkeypatch.setattr(http_module, "MAX_BYTES", 10_000)
    http.answers["/sessions"] = Answer(["a" * 20_000])
    assert "sends more than" in (read(http.url()).error or "")


# --- the network -----------------------------------------------------------------------------------------------------


def in_turn(*answers: Answer) -> Callable[[], Answer]:
    waiting = list(answers)
    return lambda: waiting.pop(0)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_failure_is_tried_again(read: Reader, http: HttpServer, status: int):
    http.answers["/sessions"] = in_turn(Answer(b"", status), Answer(b"", status), Answer(["a"]))
    assert read(http.url()).sessions == (Session("a"),)


def test_a_connection_that_breaks_once_is_tried_again(read: Reader, http: HttpServer):
    http.answers["/sessions"] = in_turn(Answer(["a"], missing=5), Answer(["a"]))
    assert read(http.url()).sessions == (Session("a"),)


def test_a_failure_that_stays_is_told_after_three_tries(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer({"detail": "maintenance"}, 503)
    result = read(http.url())
    assert 'answered 503 Service Unavailable: {"detail": "maintenance"}' in (result.error or "")
    assert len(http.requests) == 3


def test_other_failures_are_not_tried_again(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer({}, 500)
    read(http.url())
    assert len(http.requests) == 1


def test_a_server_that_is_down_is_told(read: Reader):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = read(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert "can't be reached" in (result.error or "")
    assert "refused" in (result.error or "")


def test_a_connection_that_is_cut_half_way_leaves_nothing(read: Reader, http: HttpServer):
    http.answers["/sessions"] = Answer([f"session-{number}" for number in range(50_000)])
    with proxy(http.port, cut_after=200_000) as passing:
        result = read(f"http://127.0.0.1:{passing.port}/sessions")
    assert "broke off its answer" in (result.error or "")
    assert result.sessions == ()


@pytest.mark.parametrize("freeze_after", [0, 200_000])
def test_a_server_that_falls_silent_ends_at_the_time_limit(read: Reader, http: HttpServer, freeze_after: int):
    http.answers["/sessions"] = Answer([f"session-{number}" for number in range(50_000)])
    with proxy(http.port, freeze_after=freeze_after) as passing:
        start = time.monotonic()
        result = read(f"http://127.0.0.1:{passing.port}/sessions", timeout=0.5)
        assert "within 0.5 s" in (result.error or "")
        assert time.monotonic() - start < 4


def test_an_answer_that_comes_in_drops_ends_at_the_time_limit(read: Reader):
    """Every read gets something, so that only the whole of them is too late."""
    end = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n["
                )
                while not end.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        server = threading.Thread(target=drip)
        server.start()
        try:
            result = read(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.5)
            assert "within 0.5 s" in (result.error or "")
            for reader in [thread for thread in threading.enumerate() if thread.name.startswith("registry-")]:
                reader.join(10)  # it ends by itself, though the server goes on
                assert not reader.is_alive()
        finally:
            end.set()
            server.join()


def test_what_speaks_another_protocol_is_told(read: Reader):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"220 mail.example.org ESMTP\r\n")
                    connection.recv(1 << 16)

        server = threading.Thread(target=greet)
        server.start()
        result = read(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        server.join()
    assert result.error
    assert result.hint


def test_a_read_is_cancelled_at_once(http: HttpServer):
    cancel, hold = threading.Event(), threading.Event()
    http.answers["/sessions"] = Answer(["a"], hold=hold)
    timer = threading.Timer(0.2, cancel.set)
    timer.start()
    start = time.monotonic()
    (result,) = read_all([registry(http.url(), timeout=20)], cancel=cancel).reads
    assert result.error == "cancelled"
    assert time.monotonic() - start < 2
    hold.set()
    timer.join()


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _usual_authorities(monkeypatch):
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_a_certificate_of_an_unknown_authority_is_refused_at_once(read: Reader, https: HttpServer):
    https.answers["/sessions"] = Answer(["a"])
    with proxy(https.port) as passing:
        result = read(f"https://127.0.0.1:{passing.port}/sessions")
        assert passing.connections == 1
    assert "certificate that can't be trusted" in (result.error or "")
    assert "SSL_CERT_FILE" in (result.hint or "")
    assert https.requests == []


def test_an_authority_of_ones_own_is_trusted_when_named(
    read: Reader, https: HttpServer, authority: Authority, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    https.answers["/sessions"] = Answer(["a"])
    assert read(https.url()).sessions == (Session("a"),)


def test_a_certificate_for_another_host_is_refused(read: Reader, https: HttpServer, authority: Authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    result = read(https.url().replace("127.0.0.1", "localhost"))
    assert "certificate that can't be trusted" in (result.error or "")
    assert https.requests == []


def test_an_authority_file_that_is_missing_is_an_error(read: Reader, https: HttpServer, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert read(https.url()).error


def test_a_plain_server_behind_https_is_told(read: Reader, http: HttpServer):
    result = read(http.url().replace("http:", "https:"))
    assert "can't be reached" in (result.error or "")


def test_the_identity_is_the_place_without_secrets():
    for source, identity in [
        ("https://API.example.org/sessions", RegistryIdentity("http", "api.example.org", 443, path="/sessions")),
        ("https://me:pw@h:81?env=a&token=x", RegistryIdentity("http", "h", 81, path="?env=a&token=***")),
        ("http://127.0.0.1", RegistryIdentity("http", "127.0.0.1", 80, path="/")),
    ]:
        assert identity_of(registry(source)) == identity
