"""One request to an endpoint and what becomes of it: an answer, a refusal, or a fault worth another
attempt.
"""

import asyncio
import base64
import html
import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from gloss.errors import BadSettings
from gloss.models.chat_models.completions import read_completion
from gloss.models.chat_models.manner import LIMITS, MESSAGES, Refusal
from gloss.models.chat_models.prices import Prices
from gloss.models.chat_models.prompts import Answer
from gloss.models.chat_models.replies import Fault, read_reply

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_KEY = "none"  # a word that local servers ignore
SHORTEST_SECRET = 6  # characters; a shorter key is a word that may stand anywhere
HIDDEN = "[key]"


class Connection:
    """A client of one endpoint, made when it is first needed.

    What a server repeats of the key is hidden here, once for all.
    """

    def __init__(
        self, base_url: str, model: str, api_key_env: str, timeout_seconds: float, prices: Prices
    ) -> None:
        self.base_url, self.model, self.api_key_env = base_url, model, api_key_env
        self.timeout_seconds, self.prices = timeout_seconds, prices
        self.client: Any = None
        self.key = NO_KEY

    async def close(self) -> None:
        """Close what is open."""
        if self.client is not None:
            await self.client.aclose()

    @property
    def endpoint(self) -> str:
        """The endpoint in words."""
        return f"{self.base_url} with model {self.model!r}"

    async def attempt(self, body: Mapping[str, Any]) -> Answer | Fault | Refusal:
        """One request. Raises BadSettings for a key that is none, and for an endpoint that only
        streams.
        """
        import httpx  # takes a moment, which only those who ask should wait for

        if self.client is None:
            self.key = read_api_key(self.api_key_env)
            self.client = httpx.AsyncClient(
                headers=request_headers(self.key),
                timeout=self.timeout_seconds,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                follow_redirects=True,
            )
        try:
            async with asyncio.timeout(self.timeout_seconds):
                reply = await self.client.post(self.address(body), content=json.dumps(body))
        except (TimeoutError, httpx.TimeoutException):
            return Fault(f"no whole reply within {self.timeout_seconds:g} seconds", unknown=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = self.hide(str(error) or type(error).__name__)
            return Fault(f"no connection: {said}", disconnected=True)
        if not reply.is_success:
            headers = {name: self.hide(value) for name, value in reply.headers.items()}
            return Refusal(reply.status_code, self.hide(reply.text), headers)
        content = self.hide_in_body(reply.content)
        if MESSAGES not in body:
            return read_completion(content, body, self.prices)
        limit = next((int(body[name]) for name in LIMITS if name in body), 0)
        return read_reply(content, self.prices, limit)

    def address(self, body: Mapping[str, Any]) -> str:
        """Where a request goes: to the chats, or to the completions of a text."""
        return address_below(
            self.base_url, "chat/completions" if MESSAGES in body else "completions"
        )

    def hide_in_body(self, content: bytes) -> bytes:
        """A response's body without the key, whatever its encoding."""
        return self.hide(content.decode("latin-1")).encode("latin-1")

    def hide(self, text: str) -> str:
        """A text without the key, however it is written."""
        return hide_key(text, self.key)


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
