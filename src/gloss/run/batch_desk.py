"""What a run asks in rounds: written as files, and answered by whoever runs them, or by the
endpoint's own batches.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from gloss.errors import BadInput, GlossError, Stopped
from gloss.models.chat_models.batch_rounds import OUTPUT, BatchFile, BatchRounds
from gloss.models.chat_models.client import Chat
from gloss.models.chat_models.endpoint import OPENAI
from gloss.models.chat_models.ledger import Ledger
from gloss.run.chat_capabilities import ledger_path
from gloss.run.progress import print_notes, progress_bar

BATCHES = "batches"  # a folder beside the ledger


class BatchDesk:
    """The rounds of every language model of a run."""

    def __init__(self, run_folder: Path) -> None:
        self.ledger = ledger_path(run_folder)
        self.open: dict[str, tuple[Chat, BatchRounds]] = {}

    def rounds(self, name: str, chat: Chat) -> BatchRounds:
        """The rounds of one language model, which [chat] calls so."""
        if name not in self.open:
            folder = self.ledger.parent / BATCHES
            self.open[name] = chat, BatchRounds(folder, name, chat.batch_requests)
            print_notes(*(f"  {note}" for note in self.open[name][1].notes))
        return self.open[name][1]

    def send(self) -> None:
        """Send what is to be asked next, and wait where the endpoint answers it.

        Raises Stopped, with what to do, where somebody else does; and what keeps anything from
        being asked.
        """
        asked: list[tuple[Chat, list[BatchFile]]] = []
        for chat, rounds in self.open.values():
            if rounds.blocked and not rounds.taken:
                self.give_up(rounds, rounds.blocked)
            number = rounds.waiting
            files = rounds.send()
            with Ledger(self.ledger) as ledger:
                ledger.request(number=number)
            if files:
                asked.append((chat, files))
            elif rounds.full:
                raise rounds.full
        self.open = {}  # what comes back is read anew
        for chat, files in asked:
            if chat.batch == OPENAI:
                answer_by_endpoint(chat, files)
        if by_hand := [each for each in asked if each[0].batch != OPENAI]:
            raise Stopped(hand_over(by_hand))

    def give_up(self, rounds: BatchRounds, problem: GlossError) -> None:
        """Raise what is wrong with a whole round, which is closed, so that another can be made."""
        rounds.close()
        raise BadInput(f"{problem}; with that mended the same command writes a new round")

    def close(self) -> None:
        """Nothing waits any more."""
        for _, rounds in self.open.values():
            rounds.close()
        self.open = {}


def answer_by_endpoint(chat: Chat, files: Sequence[BatchFile]) -> None:
    """Have the endpoint answer files as batches of its own, and show how far they are."""
    from gloss.models.chat_models.batch_api import BatchEndpoint  # imports httpx

    number = max(each.round for each in files)
    with (
        progress_bar(f"batch round {number}", "requests") as progress,
        BatchEndpoint(chat, lambda said: print_notes(f"  {said}")) as endpoint,
    ):
        endpoint.answer(files, progress)


def hand_over(asked: Sequence[tuple[Chat, Sequence[BatchFile]]]) -> str:
    """What waits for an answer, and how it may get one."""
    every = [(chat, each) for chat, files in asked for each in files]
    for chat, each in every:
        print_notes(
            f"  round {each.round}: {file_size_in_words(each)} in {each.path}",
            f"    {offline_command(chat, each)}",
        )
    requests = sum(each.known.get("requests", 0) for _, each in every)
    number = max(each.round for _, each in every)
    where = f"{every[0][1].path}{f' and {len(every) - 1} more files' if len(every) > 1 else ''}"
    return (
        f"round {number} waits for answers to {requests:,} requests in {where}; answer them, as by"
        f" `{offline_command(*every[0])}`, and the same command goes on"
    )


def file_size_in_words(file: BatchFile) -> str:
    """How much a file asks."""
    known = file.known
    return (
        f"{known.get('requests', 0):,} requests, about {known.get('prompt_tokens', 0):,} prompt"
        " tokens,"
    )


def offline_command(chat: Chat, file: BatchFile) -> str:
    """What answers a file without a server.

    >>> from gloss.models.chat_models.client import Chat
    >>> offline_command(Chat("m"), BatchFile(Path("round-1.jsonl")))
    'vllm run-batch -i round-1.jsonl -o round-1.output.jsonl --model m'
    """
    words = ["vllm", "run-batch", "-i", str(file.path), "-o", str(file.beside(OUTPUT))]
    return shlex.join([*words, "--model", chat.model])
