"""One request to an endpoint and what becomes of it: an answer, or a fault worth another attempt."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from gloss.errors import BadSettings
from gloss.models.completions import read_completion
from gloss.models.prices import Prices
from gloss.models.prompts import Answer
from gloss.models.replies import Fault, read_reply, read_status, shortened
from gloss.records import Reason

UNKNOWN_STATUSES = frozenset({400, 404, 405, 415, 422, 501})  # of servers that do not know a field or a path


class Connection:
    """A client of one endpoint, made when it is first needed."""

    def __init__(self, base_url: str, model: str, api_key_env: str, timeout_seconds: float, prices: Prices) -> None:
        self.base_url, self.model, self.api_key_env = base_url, model, api_key_env
        self.timeout_seconds, self.prices = timeout_seconds, prices
        self.client: Any = None

    async def close(self) -> None:
        """Close what is open."""
        if self.client is not None:
            await self.client.close()

    @property
    def where(self) -> str:
        """The endpoint in words."""
        return f"{self.base_url} with model {self.model!r}"

    async def attempt(self, body: Mapping[str, Any], *, proven: bool, trying: bool = False) -> Answer | Fault:
        """One request. `proven`: the endpoint has answered in this run. `trying`: it may not know such requests."""
        import openai  # takes a second, which only those who ask should wait for

        if self.client is None:
            self.client = openai.AsyncOpenAI(
                base_url=self.base_url,
                api_key=api_key(self.api_key_env),
                max_retries=0,
                timeout=self.timeout_seconds,
            )
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await self.reply(body)
        except (TimeoutError, openai.APITimeoutError):
            return Fault(f"no whole reply within {self.timeout_seconds:g} seconds")
        except openai.APIConnectionError as error:
            return Fault(f"no connection: {error.__cause__ or error}", disconnected=True)
        except openai.APIStatusError as error:
            if trying and error.status_code in UNKNOWN_STATUSES:
                return Answer(None, Reason.REQUEST_ERROR, f"status {error.status_code}: {shortened(error.response.text)}")
            return read_status(
                error.status_code,
                error.response.text,
                error.response.headers,
                proven=proven,
                where=self.where,
                key=self.api_key_env,
            )

    async def reply(self, body: Mapping[str, Any]) -> Answer | Fault:
        """What the endpoint sends back."""
        if "messages" in body:
            rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
            chat = self.client.chat.completions.with_raw_response
            reply = await chat.create(model=body["model"], messages=body["messages"], extra_body=rest)
            return read_reply(reply.content, self.prices)
        rest = {name: value for name, value in body.items() if name not in ("model", "prompt")}
        completions = self.client.completions.with_raw_response
        reply = await completions.create(model=body["model"], prompt=body["prompt"], extra_body=rest)
        return read_completion(reply.content, body, self.prices)


def api_key(variable: str) -> str:
    """The key in that environment variable; a word that local servers ignore where it is not set."""
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise BadSettings(f"the variable {variable} holds characters that no key has; set it to the key alone")
    return key or "none"
