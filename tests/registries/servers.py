"""Small real servers: HTTP with an answer for each path, and a proxy that breaks connections at will."""

import json
import re
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: The parameter that Sweeper adds so that no cache has an answer.
_OURS = re.compile(r"[?&]_=[0-9a-f]{16}$")


@dataclass
class Answer:
    """What the server says. `body` may be anything that JSON knows, or bytes as they are."""

    body: Any = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    #: promise so many bytes more than are sent, then close
    missing: int = 0
    #: wait for this before the body is sent
    hold: threading.Event | None = None
    #: send in chunks, and end in the middle of the last one
    cut_chunk: bool = False

    @property
    def data(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class HttpServer:
    """Answers GET by path and query; keeps what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        #: each path as it was asked for
        self.paths: list[str] = []
        #: each path without the parameter that makes it unique, and the headers
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # closing waits for them, so that none is left behind
        self._scheme = "http"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="http server")
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._server.server_address[1])

    def url(self, path: str = "/sessions") -> str:
        """The URL of a path."""
        return f"{self._scheme}://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        """Ends it and all its threads."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                path = _OURS.sub("", self.path)
                served.requests.append((path, dict(self.headers.items())))
                served.paths.append(self.path)
                answer = served.answers.get(path, Answer({"detail": "no such path"}, 404))
                self._send(answer() if callable(answer) else answer)

            def _send(self, answer: Answer) -> None:
                self.send_response_only(answer.status)
                if "Date" not in answer.headers:
                    self.send_header("Date", self.date_time_string())
                if answer.kind:
                    self.send_header("Content-Type", answer.kind)
                if answer.cut_chunk:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(len(answer.data) + answer.missing))
                self.send_header("Connection", "close")
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.close_connection = True
                if answer.hold is not None:
                    answer.hold.wait(10)
                try:
                    self.wfile.write(f"{len(answer.data):x}\r\n".encode() if answer.cut_chunk else b"")
                    self.wfile.write(answer.data)
                except OSError:
                    pass  # the client has left: some tests want it to

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
                pass

        return Handler


@contextmanager
def http_server(context: ssl.SSLContext | None = None) -> Iterator[HttpServer]:
    """A server for as long as the block runs."""
    server = HttpServer(context)
    try:
        yield server
    finally:
        server.close()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one's own, and a server's certificate for 127.0.0.1 from it."""

    certificate: Path
    context: ssl.SSLContext


def make_authority(directory: Path) -> Authority:
    """Makes both with openssl."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    usage = ["-addext", "keyUsage=critical,keyCertSign"]
    openssl("req", "-x509", *key, *usage, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (directory / "extensions").write_text(
        "subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n", encoding="ascii"
    )
    signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions"]
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return Authority(directory / "ca.pem", context)


class Proxy:
    """Passes TCP on to a port of this host, until it cuts the connection or falls silent.

    `cut_after` and `freeze_after` are how many bytes of the server's come through before that.
    """

    def __init__(self, target: int, cut_after: int | None = None, freeze_after: int | None = None) -> None:
        #: these may be changed meanwhile, for the connections that come then
        self.target = target
        self.cut_after = cut_after
        self.freeze_after = freeze_after
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        #: how many came
        self.connections = 0
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def close(self) -> None:
        """Ends it and all its connections."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            if select.select([self._listener], [], [], 0.02)[0]:
                self.connections += 1
                self._run(self._pass_on, self._listener.accept()[0])

    def _pass_on(self, client: socket.socket) -> None:
        # A client that refuses a certificate, or a server that is ended, may reset instead of closing.
        with client, suppress(ConnectionError), socket.create_connection(("127.0.0.1", self.target)) as server:
            through = 0
            while not self._ending.is_set():
                frozen = self.freeze_after is not None and through >= self.freeze_after
                for source in select.select([client, server], [], [], 0.02)[0] if not frozen else ():
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
                    through += len(data) if source is server else 0
                if self.cut_after is not None and through >= self.cut_after:
                    return
                if frozen:
                    self._ending.wait(0.02)


@contextmanager
def proxy(target: int, **options: int) -> Iterator[Proxy]:
    """A proxy for as long as the block runs."""
    passing = Proxy(target, **options)
    try:
        yield passing
    finally:
        passing.close()
