"""One request to an endpoint and what becomes of it: an answer, a refusal, or a fault worth another
attempt.
"""

import asyncio
import base64
import html
import json
import os
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

import orjson

from gloss.errors import BadSettings
from gloss.models.chat_models.completions import read_completion
from gloss.models.chat_models.direct_http import BrokenReply, DirectConnection, HttpReply
from gloss.models.chat_models.manner import LIMITS, MESSAGES, Refusal
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.prompts import Answer
from gloss.models.chat_models.replies import Fault, read_reply

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_KEY = "none"  # a word that local servers ignore
SHORTEST_SECRET = 6  # characters; a shorter key is a word that may stand anywhere
HIDDEN = "[key]"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Connection:
    """Clients of one endpoint, made when they are needed.

    A client has one connection, and those that wait for a turn are kept here: a pool of httpx looks
    at all its connections before each request and after it. Plain HTTP/1.1 is spoken directly, and
    httpx is asked where there may be a proxy, HTTP/2, or a redirect. Where the endpoint speaks
    HTTP/2 one client is enough. What a server repeats of the key is hidden here, once for all.
    """

    def __init__(
        self, base_url: str, model: str, api_key_env: str, timeout_seconds: float, prices: Prices
    ) -> None:
        self.base_url, self.model, self.api_key_env = base_url, model, api_key_env
        self.timeout_seconds, self.prices = timeout_seconds, prices
        self.clients: list[Any] = []  # all that were made
        self.idle: list[Any] = []
        self.multiplexed: Any = None  # a client that may hold any number of requests
        self.direct = is_direct(base_url)
        self.key: str | None = None

    async def close(self) -> None:
        """Close what is open."""
        for client in self.clients:
            await client.aclose()

    def new_client(self) -> Any:
        """A client of its own."""
        if self.key is None:
            self.key = read_api_key(self.api_key_env)
        if self.direct:
            secure = self.base_url.lower().startswith("https:")
            client = DirectConnection(self.base_url, encryption() if secure else None)
        else:
            client = new_httpx_client(self.base_url, self.key, self.timeout_seconds)
        self.clients.append(client)
        return client

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Any]:
        """A client that nobody else uses meanwhile, where one can serve one request alone."""
        if self.multiplexed is not None:
            yield self.multiplexed
            return
        if not self.direct:  # perhaps no more
            self.idle = [each for each in self.idle if not isinstance(each, DirectConnection)]
        client = self.idle.pop() if self.idle else self.new_client()
        try:
            yield client
        finally:
            self.idle.append(client)

    @property
    def endpoint(self) -> str:
        """The endpoint in words."""
        return f"{self.base_url} with model {self.model!r}"

    async def attempt(self, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """One request. Raises BadSettings for a key that is none, and for an endpoint that only
        streams.
        """
        try:
            async with self.client() as client, asyncio.timeout(self.timeout_seconds):
                reply = await self.post(client, self.address(body), json_bytes(body))
        except TimeoutError:
            detail = f"no whole reply within {self.timeout_seconds:g} seconds"
            return Fault(detail, unknown=True, late=True)
        except (OSError, BrokenReply) as error:
            said = self.hide(str(error) or type(error).__name__)
            return Fault(f"no connection: {said}", disconnected=True)
        if reply.status in REDIRECTS and isinstance(client, DirectConnection):
            self.direct = False  # from now on
            return await self.attempt(body)
        if not 200 <= reply.status < 300:
            headers = {name: self.hide(value) for name, value in reply.headers.items()}
            return Refusal(reply.status, self.hide(reply.text), headers)
        content = self.hide_in_body(reply.content)
        if MESSAGES not in body:
            return read_completion(content, body, self.prices)
        limit = next((int(body[name]) for name in LIMITS if name in body), 0)
        return read_reply(content, self.prices, limit)

    async def post(self, client: Any, url: str, body: bytes) -> HttpReply:
        """A whole reply. Raises TimeoutError, OSError and BrokenReply."""
        if isinstance(client, DirectConnection):
            return await client.post(url, self.headers, body)
        import httpx  # takes a moment, which only those who need it should wait for

        try:
            reply = await client.post(url, content=body)
        except httpx.TimeoutException as problem:
            raise TimeoutError from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise BrokenReply(str(problem) or type(problem).__name__) from problem
        if reply.http_version == "HTTP/2":
            self.multiplexed = client
        return HttpReply(reply.status_code, reply.headers, reply.content)

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """What every request says of itself."""
        return list(request_headers(self.key or NO_KEY).items())

    def address(self, body: Mapping[str, Any]) -> str:
        """Where a request goes: to the chats, or to the completions of a text."""
        return self.addresses["chat/completions" if MESSAGES in body else "completions"]

    @cached_property
    def addresses(self) -> dict[str, str]:
        """Both addresses by their path."""
        return {
            path: address_below(self.base_url, path) for path in ("chat/completions", "completions")
        }

    def hide_in_body(self, content: bytes) -> bytes:
        """A response's body without the key, whatever its encoding."""
        if self.key is None or len(self.key) < SHORTEST_SECRET:
            return content
        return self.hide(content.decode("latin-1")).encode("latin-1")

    def hide(self, text: str) -> str:
        """A text without the key, however it is written."""
        return hide_key(text, self.key or NO_KEY)


def is_direct(base_url: str) -> bool:
    """Whether plain HTTP/1.1 gets there: where nothing is said of proxies, and HTTP/2 cannot be
    spoken.
    """
    parts = urlsplit(base_url)
    plain = base_url.isascii() and base_url.isprintable() and " " not in base_url
    plain = plain and "@" not in parts.netloc  # a user, of whom httpx makes a header
    if not plain or (parts.scheme == "https" and find_spec("h2") is not None):
        return False
    return parts.hostname in LOOPBACK or getproxies().keys().isdisjoint((parts.scheme, "all"))


@cache
def encryption() -> ssl.SSLContext:
    """What certificates are held against: one for the whole process, because it takes long to
    make.
    """
    import httpx

    return httpx.create_ssl_context()


def new_httpx_client(base_url: str, key: str, timeout_seconds: float) -> Any:
    """A client that knows proxies, redirects and HTTP/2."""
    import httpx

    return httpx.AsyncClient(
        headers=request_headers(key),
        timeout=timeout_seconds,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        follow_redirects=True,
        verify=encryption(),
        # what the environment says of proxies is no way to a server of this machine
        trust_env=urlsplit(base_url).hostname not in LOOPBACK,
        http2=find_spec("h2") is not None,
    )


def json_bytes(value: Any) -> bytes:
    """A value as JSON in UTF-8; halves of characters, which that cannot hold, as `\\ud83d`."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def address_below(base_url: str, path: str) -> str:
    """The address of a path of an endpoint, whose own query stays behind it.

    >>> address_below("https://host/v1/?api-version=2", "chat/completions")
    'https://host/v1/chat/completions?api-version=2'
    """
    parts = urlsplit(base_url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{path}").geturl()


def request_headers(key: str) -> dict[str, str]:
    """What every request to an endpoint says of itself."""
    return {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "gloss",
    }


def hide_key(text: str, key: str) -> str:
    """A text without the key, be it as JSON, HTML, an address or a header writes it."""
    if len(key) < SHORTEST_SECRET:
        return text
    escaped = json.dumps(key)[1:-1]
    written = {
        key,
        escaped,
        escaped.replace("/", "\\/"),
        html.escape(key),
        quote(key, safe=""),
        base64.b64encode(key.encode()).decode(),
    }
    for one in sorted(written, key=len, reverse=True):
        text = text.replace(one, HIDDEN)
    return text


def read_api_key(variable: str) -> str:
    """The key in that environment variable.

    A word that local servers ignore where it is not set.
    """
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise BadSettings(
            f"the variable {variable} holds characters that no key has; set it to the key alone"
        )
    return key or NO_KEY


def key_use_sentence(base_url: str, variable: str) -> str:
    """Which key goes where, in one sentence, before it goes."""
    host = urlsplit(base_url).netloc
    if read_api_key(variable) == NO_KEY:
        return f"{host} is asked without a key: the variable {variable} is not set"
    return f"{host} is sent the key in the variable {variable}"
