"""A server that takes fewer requests at once than are asked for is soon asked for no more, and for
more again when it takes them; and one session serves any number of requests in the same memory.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from servers import serve

from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.prompts import Message, Prompt
from gloss.models.chat_models.request_slots import RequestSlots

STATUS = Path("/proc/self/status")


def one_request(number):
    [answer] = yield [Prompt((Message("user", f"q{number}"),))]
    return answer.text is not None


def asked(chat, number, ledger=None):
    account = chat.account
    found = chat.run(
        map(one_request, range(number)), np.random.default_rng(0), account=account, ledger=ledger
    )
    return found, account.slots


@pytest.mark.parametrize("refusal", ["429", "503"])  # with Retry-After, and without
def test_as_many_are_in_flight_as_the_server_takes(refusal):
    with serve(seconds=0.12, allows=12, turns_away_with=refusal) as server:
        chat = Chat("m", server.base_url, max_concurrent_requests=64)
        found, slots = asked(chat, 350)
        requests = server.after(350 + slots.turned_away)
    assert all(found)
    away = [row for row, request in enumerate(requests) if request["action"] == refusal]
    assert len(away) == slots.turned_away <= 52 + 0.1 * len(requests)
    late = [one["at_once"] for one in requests[len(requests) // 2 : -20]]
    assert max(number for number in late if number <= 12) == 12
    assert 8 <= round(slots.taken) <= 14
    assert str(slots) == (
        f"{len(away):,} requests turned away: at most 64 at once were asked for; the server took"
        f" about {round(slots.taken)}"
    )


def test_a_server_that_was_busy_for_a_while_is_asked_for_all_again():
    with serve(seconds=0.08, script=["503"] * 40) as server:
        chat = Chat("m", server.base_url, max_concurrent_requests=16)
        found, slots = asked(chat, 400)
        requests = server.after(440)
    assert all(found)
    assert slots.turned_away == 40
    assert min(one["at_once"] for one in requests[30:70]) <= 4
    assert max(one["at_once"] for one in requests[-200:]) == 16


def test_a_server_that_takes_everything_is_asked_for_everything():
    with serve(seconds=0.3) as server:
        chat = Chat("m", server.base_url, max_concurrent_requests=128)
        found, slots = asked(chat, 256)
        requests = server.after(256)
    assert all(found)
    assert max(one["at_once"] for one in requests) == 128
    assert (slots.turned_away, str(slots)) == (0, "")


def test_who_is_cancelled_while_waiting_takes_no_place():
    async def work():
        slots = RequestSlots(1)
        async with slots.place():
            waiting = [asyncio.ensure_future(slots.enter(again=False)) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
        waiting[1].cancel()  # it was let in just now
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        await waiting[2]
        assert slots.in_flight == 1
        slots.leave()
        assert (slots.in_flight, len(slots.waiting)) == (0, 0)

    # a thread of its own: a browser that other tests began keeps a loop in this one
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work()).result()


@pytest.mark.skipif(not STATUS.exists(), reason="no /proc here")
def test_memory_does_not_grow_with_the_number_of_requests(tmp_path):
    seen = []

    def talks(number):
        for row in range(number):
            if row in (number // 2, number - 1):
                seen.append(int(re.search(r"VmRSS:\s+(\d+)", STATUS.read_text())[1]))
            yield one_request(row)

    with serve() as server:
        chat = Chat("m", server.base_url, max_concurrent_requests=32)
        found = chat.run(talks(2000), np.random.default_rng(0), ledger=tmp_path / "l")
    assert found == [True] * 2000
    assert seen[1] < 1.03 * seen[0]
