"""Waiting for work that goes on at the same time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def finished(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What the work gives, waited for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as thread:  # in a notebook this thread's loop is taken
        return thread.submit(asyncio.run, work()).result()


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All their results; when one raises, the others are cancelled and have ended before it is passed on."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
