"""A registry behind an HTTP API that answers in JSON."""

import logging
import os
import re
import secrets
import shlex
import ssl
import stat
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import certifi
import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from sweeper_gui.registries.base import Attempt, RegistryError, quoted
from sweeper_gui.registries.document import MAX_BYTES, items_in, parse_json
from sweeper_gui.registries.rows import Gatherer, Sessions, from_objects
from sweeper_gui.settings.model import RegistrySettings
from sweeper_gui.settings.opening import open_named

# They log every URL, parameters and all.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

#: A list that is paged more often than this is taken for one that never ends.
MAX_PAGES = 10_000
#: An answer that is dated further back than this, in seconds, when it was asked for is an old one.
MAX_DATE_LAG = 5.0
_MAX_REDIRECTS = 5
_MAX_TRIES = 3
_MAX_TOKEN_BYTES = 1 << 16
_TRANSIENT = frozenset({429, 502, 503, 504})
_STALE_WARNINGS = ("110", "111", "112")
#: What caches say when they did not ask the server: 'HIT', 'TCP_MEM_HIT', 'Hit from cloudfront', 'edge; hit; ttl=3'.
_FROM_CACHE = re.compile(r"(?<![a-z])(?:hit|stale|updating)(?![a-z])", re.IGNORECASE)
_NOT_TOLD_BY = frozenset({"cache-control", "x-cache-lookup"})  # what may be cached, and what lies there unused
_ASK_ITSELF = "ask the server itself, not the cache before it"

#: Where distributions keep the certificate authorities that their administrators trust: a bundled OpenSSL only knows
#: the place where it was built.
_SYSTEM_AUTHORITIES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
)

_TOTALS = ("total", "total_count", "totalCount", "totalItems", "total_items")
_PAGE_OBJECTS = ("meta", "pagination", "page", "page_info", "pageInfo", "paging", "links", "_links")
_PAGE_COUNTS = ("total_pages", "totalPages", "last_page", "lastPage", "page_count", "pageCount")
_MORE = ("has_more", "hasMore", "has_next", "hasNext", "hasNextPage", "has_next_page")
_NEXT = (
    "next",
    "next_page",
    "nextPage",
    "next_cursor",
    "nextCursor",
    "next_page_token",
    "nextPageToken",
    "next_url",
    "nextLink",
    "@odata.nextLink",
)
_SAYS_NEXT = re.compile(r"rel\s*=[^;,]*\bnext\b", re.IGNORECASE)
_PAGING_HINT = "paging by 'Link: rel=next' is understood; else ask for everything at once, such as ?per_page=100000"


def read_http(settings: RegistrySettings, attempt: Attempt) -> Sessions:
    """All sessions that the API lists, over all its pages. Raises `RegistryError`."""
    url = httpx.URL(settings.source.get_secret_value())
    token = _token(settings)
    attempt.hidden.add(token)
    with _client(url, token) as client:
        return _Listing(client, settings, attempt).read(url.copy_with(userinfo=b""))


# --- the connection --------------------------------------------------------------------------------------------------


def _client(url: httpx.URL, token: str) -> httpx.Client:
    headers = {"Accept": "application/json", "Cache-Control": "no-cache", "Pragma": "no-cache", "User-Agent": "sweeper"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    auth = httpx.BasicAuth(unquote(url.username), unquote(url.password)) if url.userinfo else None
    return httpx.Client(headers=headers, auth=auth, verify=_tls(), follow_redirects=False)


def _tls() -> ssl.SSLContext:
    """Verifying: with $SSL_CERT_FILE or $SSL_CERT_DIR alone if set, else with the system's and certifi's."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context()  # OpenSSL reads both variables
    context = ssl.create_default_context(cafile=certifi.where())
    for place in _SYSTEM_AUTHORITIES:
        if place.is_file():
            context.load_verify_locations(place)
            break
    return context


def _token(settings: RegistrySettings) -> str:
    if settings.token_env:
        token = os.environ.get(settings.token_env, "").strip()
        where = f"the variable {settings.token_env}"
    elif settings.token_file is not None:
        token = _token_in(settings.token_file)
        where = f"the file {settings.token_file}"
    else:
        return ""
    if not token:
        raise RegistryError(f"has no token: {where} is empty or not set", "put the token there")
    if any(not 0x21 <= ord(character) < 0x7F for character in token):
        raise RegistryError(f"has a bad token: {where} holds more than one word of plain characters")
    return token


def _token_in(path: Path) -> str:
    try:
        with open_named(path) as file:
            _refuse_exposed(path, os.fstat(file.fileno()))
            return file.read(_MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise RegistryError(f"has no token: the file {path} can't be read: {error.strerror}") from None


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    """A token that everyone may read is none any more, and one that others may change is perhaps another's."""
    if status.st_uid not in (0, os.geteuid()):
        raise RegistryError(f"has no token: the file {path} belongs to another user (uid {status.st_uid})")
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        what = "be changed by others" if status.st_mode & (stat.S_IWOTH | stat.S_IWGRP) else "be read by anyone"
        raise RegistryError(
            f"has no safe token: the file {path} can {what}", f"chmod go-w,o-r {shlex.quote(str(path))}"
        )


# --- pages -----------------------------------------------------------------------------------------------------------


class _Listing:
    """One walk over all pages of a list."""

    def __init__(self, client: httpx.Client, settings: RegistrySettings, attempt: Attempt) -> None:
        self._client = client
        self._items = settings.items
        self._unique = settings.unique_parameter
        self._attempt = attempt
        self._gatherer = Gatherer()

    def read(self, start: httpx.URL) -> Sessions:
        total = None
        for document, response in self._pages(start):
            from_objects(items_in(document, self._items), self._gatherer)
            total = _total(document, response.headers) if total is None else total
        if total is not None and total != self._gatherer.rows:
            raise RegistryError(
                f"says that there are {total} sessions but sent {self._gatherer.rows}",
                "sessions may have been created or deleted meanwhile: try again; else check the paging of the API",
            )
        return self._gatherer.sessions()

    def _pages(self, start: httpx.URL) -> Iterator[tuple[object, httpx.Response]]:
        url = start
        seen = {url}
        while True:
            response, body = self._get(url)
            document = parse_json(body)
            following = _next_link(response)
            if following is None:
                _refuse_unlinked_rest(document, len(seen))
                yield document, response
                return
            yield document, response
            url = self._plain(_same_origin(start, response.url.join(following), "the next page"))
            if url in seen:
                raise RegistryError("links its pages in a circle", "check the paging of the API")
            if len(seen) >= MAX_PAGES:
                raise RegistryError(
                    f"has more than {MAX_PAGES:,} pages", "ask for larger pages, such as ?per_page=1000"
                )
            seen.add(url)

    def _get(self, url: httpx.URL) -> tuple[httpx.Response, bytes]:
        """The answer of status 200 with its whole body, over redirects within the origin."""
        for _ in range(_MAX_REDIRECTS):
            asked_at = time.time()
            response, body = self._get_patiently(url)
            if response.next_request is None:
                _check(response, body)
                _refuse_old(response, asked_at)
                return response, body
            url = self._plain(_same_origin(url, response.next_request.url, "a redirect"))
        raise RegistryError(f"redirects more than {_MAX_REDIRECTS} times")

    def _get_patiently(self, url: httpx.URL) -> tuple[httpx.Response, bytes]:
        try:
            for attempt in Retrying(
                retry=retry_if_exception(_may_pass),
                stop=stop_after_attempt(_MAX_TRIES),
                wait=wait_random_exponential(multiplier=0.1, max=1.0),
                reraise=True,
            ):
                with attempt:
                    return self._get_once(url)
        except _Transient as error:
            return error.response, error.body
        except httpx.TimeoutException:
            raise self._attempt.timeout() from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(error) from None
        raise AssertionError("tenacity returns or raises")

    def _get_once(self, url: httpx.URL) -> tuple[httpx.Response, bytes]:
        body = bytearray()
        with self._client.stream("GET", self._made_unique(url), timeout=self._attempt.remaining()) as response:
            for chunk in response.iter_bytes():
                self._attempt.check()
                body += chunk
                if len(body) > MAX_BYTES:
                    raise RegistryError(f"sends more than {MAX_BYTES >> 20} MiB")
        if response.status_code in _TRANSIENT:
            raise _Transient(response, bytes(body))
        return response, bytes(body)

    def _plain(self, url: httpx.URL) -> httpx.URL:
        """Without our parameter, which servers repeat in their links."""
        if not self._unique:
            return url
        ours = self._unique.encode() + b"="
        rest = [part for part in url.query.split(b"&") if part and not part.startswith(ours)]
        return url.copy_with(query=b"&".join(rest) or None)

    def _made_unique(self, url: httpx.URL) -> httpx.URL:
        """As nobody has asked before. Many caches neither heed 'no-cache' nor show that they answered."""
        if not self._unique:
            return url
        ours = f"{self._unique}={secrets.token_hex(8)}".encode()
        return url.copy_with(query=url.query + b"&" + ours if url.query else ours)


class _Transient(Exception):
    """An answer that may be another one in a moment."""

    def __init__(self, response: httpx.Response, body: bytes) -> None:
        super().__init__(response.status_code)
        self.response = response
        self.body = body


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.TimeoutException) or _certificate_problem(error):
        return False
    return isinstance(error, _Transient | httpx.TransportError)


# --- what is refused -------------------------------------------------------------------------------------------------


def _same_origin(first: httpx.URL, second: httpx.URL, what: str) -> httpx.URL:
    """`second`, unless it would carry the token to somebody else."""
    if _origin(first) != _origin(second):
        place = f"{second.scheme}://{second.host}" + (f":{second.port}" if second.port else "")
        raise RegistryError(
            f"leads with {what} to another place, {quoted(place)}",
            "the token is never sent elsewhere: if that place is right, write its URL as the source",
        )
    return second.copy_with(userinfo=b"", fragment=None)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _check(response: httpx.Response, body: bytes) -> None:
    """Raises `RegistryError` for everything but an answer of status 200 in JSON."""
    status = response.status_code
    if status != 200:
        raise RegistryError(
            f"answered {status} {response.reason_phrase}".rstrip() + _excerpt(response, body), _advice(status)
        )
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise RegistryError(
            f"answered with {quoted(kind) or 'no content type'} instead of JSON",
            "is this a login page or a proxy's? Check the URL and the token",
        )


def _refuse_old(response: httpx.Response, asked_at: float) -> None:
    """Raises `RegistryError` where the answer may have been made before it was asked for."""
    headers = response.headers
    age = headers.get("Age", "0")
    if age.strip("0"):  # the server itself sends none
        raise RegistryError(f"answered from a cache, {quoted(age)} s old", _ASK_ITSELF)
    if any(warning.lstrip().startswith(_STALE_WARNINGS) for warning in headers.get_list("Warning")):
        raise RegistryError("answered with stale data from a cache", _ASK_ITSELF)
    told = next((name for name, value in headers.multi_items() if _tells_of_cache(name, value)), None)
    if told:
        raise RegistryError(f"answered from a cache ({told}: {quoted(headers[told])})", _ASK_ITSELF)
    lag = asked_at - _date(headers.get("Date", ""), asked_at)
    if not lag <= MAX_DATE_LAG:
        raise RegistryError(
            f"sent an answer that is dated {lag:.0f} s before it was asked for",
            "a cache before the server answered, or a clock is wrong: compare the server's with this host's",
        )


def _tells_of_cache(name: str, value: str) -> bool:
    name = name.lower()
    return "cache" in name and name not in _NOT_TOLD_BY and _FROM_CACHE.search(value) is not None


def _date(text: str, missing: float) -> float:
    """The epoch seconds of a Date header; `missing` where there is none that can be read."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return missing


def _excerpt(response: httpx.Response, body: bytes) -> str:
    if "html" in response.headers.get("Content-Type", ""):
        return ""  # an error page is nothing to read in one line
    text = quoted(body[:1000].decode("utf-8", "replace"))
    return f": {text}" if text else ""


def _advice(status: int) -> str:
    if status in (401, 403):
        return "check the token (token_file or token_env) and its rights"
    if status == 404:
        return "check the URL of this registry"
    if status in (301, 302, 303, 307, 308):
        return "the redirect names no place"
    if status in (400, 422):
        return 'check the URL; for an API that refuses parameters it does not know set unique_parameter = ""'
    return "try again; else ask whoever runs the API" if status >= 429 else "check the URL of this registry"


def _total(document: object, headers: Mapping[str, str]) -> int | None:
    """How many sessions there are in all, where the answer says so."""
    header = headers.get("X-Total-Count", "")
    if header.strip().isdecimal():
        return int(header)
    for place in _page_objects(document):
        for key in _TOTALS:
            value = place.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None


def _next_link(response: httpx.Response) -> str | None:
    """Where the next page is, None on the last one. A link that is not understood would cut the list short."""
    header = response.headers.get("Link", "")
    for link in response.links.values():
        relations = next((value for key, value in link.items() if key.strip().lower() == "rel"), "")
        if "next" in relations.strip(" \"'").lower().split():
            return link["url"].strip()
    if _SAYS_NEXT.search(header):
        raise RegistryError(f"links a next page in a way that is not understood: {quoted(header)}", "ask for one page")
    return None


def _refuse_unlinked_rest(document: object, pages: int) -> None:
    """Raises `RegistryError` where the last page says that it is not the last one."""
    for place in _page_objects(document):
        total = next((place[key] for key in _PAGE_COUNTS if isinstance(place.get(key), int)), 0)
        if total > pages:
            raise RegistryError(f"says that there are {total} pages but links only {pages}", _PAGING_HINT)
        key = next((key for key in _MORE if place.get(key) is True), None)
        key = key or next((key for key in _NEXT if place.get(key)), None)
        if key:
            raise RegistryError(f"says in '{key}' that there is more, but links no next page", _PAGING_HINT)


def _page_objects(document: object) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        return []
    return [document, *(document[key] for key in _PAGE_OBJECTS if isinstance(document.get(key), dict))]


def _certificate_problem(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _unreachable(error: Exception) -> RegistryError:
    certificate = _certificate_problem(error)
    if certificate is not None:
        return RegistryError(
            f"has a certificate that can't be trusted: {certificate.verify_message}",
            "for an authority of your own set SSL_CERT_FILE to its certificate",
        )
    if isinstance(error, httpx.ConnectError):
        return RegistryError(f"can't be reached: {quoted(str(error))}", "check the host, the port and the network")
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return RegistryError(f"broke off its answer: {quoted(str(error)) or 'connection lost'}", "try again")
    return RegistryError(
        f"can't be read: {quoted(str(error)) or type(error).__name__}", "check the URL of this registry"
    )
