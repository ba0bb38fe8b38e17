"""What is asked of a language model and what comes back.

Prompts are YAML files beside the methods that speak them.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gloss.errors import BadSettings, suggestion
from gloss.records import Reason

PLAIN = "plain"
SHORT = 32  # characters of a hole that is filled with the same again and again, at most


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    `role` is system, user or assistant, or plain: a text as it stands, in no template.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request, whole: two equal prompts to the same model are asked once.

    Log-probabilities of the prompt's own text are had of plain text only: a chat template would put
    its tokens in between.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 500
    temperature: float = 0.0
    top_logprobs: int = 0  # alternatives wanted for each generated token; 0 asks for none
    needs_logprobs: bool = False  # whether a server that gives no `top_logprobs` is refused
    # alternatives wanted at each token of the plain text itself; None asks for nothing
    prompt_logprobs: int | None = None
    schema: str | None = None  # of JSON, that the answer is held to by endpoints that can
    # so few tokens are asked for on purpose that an answer which they end is whole
    cut_short: bool = False
    reads: Callable[[str], object] | None = field(default=None, compare=False, repr=False)
    """Reads an answer as the method will, and gives None where it cannot.

    It stops a run that is paid for in vain.
    """
    condense: "Callable[[Answer], Answer] | None" = field(default=None, compare=False, repr=False)
    """Leaves of an answer's log-probabilities what the method will read, before it is kept."""

    def __post_init__(self) -> None:
        if self.plain is None and (
            self.prompt_logprobs is not None or any(one.role == PLAIN for one in self.messages)
        ):
            raise ValueError(
                "a plain text stands alone, and only a plain text has log-probabilities of its own"
            )

    def condensed(self, answer: "Answer") -> "Answer":
        """An answer with no other log-probabilities than those that the method will read."""
        return answer if self.condense is None else self.condense(answer)

    @property
    def plain(self) -> str | None:
        """The text of a prompt that is no chat."""
        return (
            self.messages[0].text
            if len(self.messages) == 1 and self.messages[0].role == PLAIN
            else None
        )


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A generated token, its log-probability, and those of its alternatives, in nats."""

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()
    # where it stands in the answer's text, in characters; None where every token is there in turn
    start: int | None = None


@dataclass(frozen=True, slots=True)
class PromptToken:
    """A token of the prompt's own text: where it stands there, in characters, and how likely it was
    after what comes before.
    """

    start: int
    end: int
    token: str
    logprob: float | None  # None for a first token that nothing precedes
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, or the reason why there is none."""

    text: str | None
    reason: Reason | None = None
    detail: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None  # None where the server gave none
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float | None = None  # that it cost, where a price is known
    # of the whole text that was asked about; None where there are none
    prompt_logprobs: tuple[PromptToken, ...] | None = None
    cut: bool = False  # whether its tokens were used up before it was over
    thought: bool = False  # whether the model was seen to think first

    def __post_init__(self) -> None:
        if (self.text is None) == (self.reason is None):
            raise ValueError(
                f"an answer has a text or a reason, got text={self.text!r} and reason={self.reason}"
            )


@lru_cache(256)
def list_schema(number: int, allowed: tuple[int, ...]) -> str:
    """The schema of `{"answers": [...]}` with so many of these numbers."""
    answers = {
        "type": "array",
        "items": {"type": "integer", "enum": list(allowed)},
        "minItems": number,
        "maxItems": number,
    }
    return object_schema({"answers": answers})


@lru_cache(256)
def numbered_schema(number: int, allowed: tuple[int, ...]) -> str:
    """The schema of `{"1": ..., "2": ...}`, so many fields with one of these numbers each."""
    return object_schema(
        {str(field): {"type": "integer", "enum": list(allowed)} for field in range(1, number + 1)}
    )


def object_schema(fields: dict[str, Any]) -> str:
    """The schema of an object with these fields, in this order, and no other."""
    return json.dumps(
        {
            "type": "object",
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }
    )


@lru_cache(256)  # a few schemas serve all requests; nobody changes what comes of them
def response_format(schema: str) -> dict[str, Any]:
    """The field of a request that holds the answer to a schema."""
    named = {"name": "answer", "schema": json.loads(schema), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


T = TypeVar("T")
Conversation = Generator[list[Prompt], list[Answer], T]
"""Yields prompts, is sent their answers in the same order, returns a record.

It asks nothing itself and waits for nothing.
"""


def join_conversations(conversations: Iterable[Conversation[T]]) -> Conversation[list[T]]:
    """Several conversations as one, which asks in each round what all of them ask.

    It returns what they returned, in their order.
    """
    talking = list(conversations)
    results: dict[int, T] = {}
    said: dict[int, list[Answer] | None] = dict.fromkeys(range(len(talking)))
    while said:
        asked: dict[int, list[Prompt]] = {}
        for number, answers in said.items():
            try:
                asked[number] = (
                    next(talking[number]) if answers is None else talking[number].send(answers)
                )
            except StopIteration as over:
                results[number] = over.value
        if not asked:
            break
        replies = iter((yield [prompt for prompts in asked.values() for prompt in prompts]))
        said = {number: list(islice(replies, len(prompts))) for number, prompts in asked.items()}
    return [results[number] for number in range(len(talking))]


@dataclass(frozen=True)
class PromptTurn:
    """One turn of a prompt file: whose it is, its text with holes, and what must be true of the
    holes for it to be asked; nothing where it always is.
    """

    role: str
    text: str
    when: str = ""


@dataclass(frozen=True)
class PromptFile:
    """A list of turns with holes, and the hash of the file that holds it."""

    turns: tuple[PromptTurn, ...]
    sha256: str
    own: str = ""  # the path of a user's file; empty for the prompts that come with methods

    @property
    def holes(self) -> frozenset[str]:
        """What its turns are filled with. Raises jinja2.TemplateSyntaxError."""
        every = "".join(turn.text for turn in self.turns)
        whens = {turn.when for turn in self.turns if turn.when}
        return frozenset(find_undeclared_variables(ENVIRONMENT.parse(every)) | whens)

    def fill(self, **holes: Any) -> tuple[Message, ...]:
        """The turns with every hole filled, less empty ones.

        Raises jinja2.UndefinedError where a hole has no value, and BadSettings where the file is a
        user's.
        """
        try:
            filled = [
                (turn.role, fill_turn(turn.text, holes))
                for turn in self.turns
                if not turn.when or holes[turn.when]
            ]
        except Exception as problem:  # whatever a user's file does with its holes
            if not self.own:
                raise
            raise BadSettings(
                f"prompt {self.own} cannot be filled: {problem}; use its holes as gloss' own prompt"
                " does"
            ) from problem
        return tuple(Message(role, text) for role, text in filled if text)


ENVIRONMENT = ImmutableSandboxedEnvironment(  # experiments, and their prompts, are handed around
    undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
)


@cache
def compile_template(text: str) -> Template:
    """A turn, compiled once rather than for every feature."""
    return ENVIRONMENT.from_string(text)


def fill_turn(text: str, holes: Mapping[str, Any]) -> str:
    """A turn with its holes filled; of one that shows no context and no explanation, as most do,
    what it was filled with before.
    """
    used = tuple((name, holes.get(name)) for name in turn_holes(text))
    if all(
        isinstance(value, bool) or (isinstance(value, str) and len(value) < SHORT)
        for _, value in used
    ):
        return fill_alike(text, used)
    return compile_template(text).render(**holes).strip()


@cache
def turn_holes(text: str) -> tuple[str, ...]:
    """What a turn is filled with."""
    return tuple(sorted(find_undeclared_variables(ENVIRONMENT.parse(text))))


@lru_cache(256)
def fill_alike(text: str, used: tuple[tuple[str, Any], ...]) -> str:
    """A turn filled with these words."""
    return compile_template(text).render(**dict(used)).strip()


def prompt_file(package: str, name: str, own: str = "") -> PromptFile:
    """The prompt `prompts/<name>.yaml` beside the package: a list of `{role, text}`.

    `own` is the path of a file that is asked in its place. Raises BadSettings for one that is no
    list of turns, or has holes that the method does not fill.
    """
    usual = usual_prompt(package, name)
    return usual if not own else read_own_prompt(own_prompt_source(own), own, name, usual)


def prompt_source(package: str, name: str) -> str:
    """The text of a method's prompt file. Raises FileNotFoundError where it has none."""
    return files(package).joinpath("prompts", f"{name}.yaml").read_text("utf-8")


@cache
def usual_prompt(package: str, name: str) -> PromptFile:
    """The prompt that comes with a method."""
    source = prompt_source(package, name)
    turns = tuple(PromptTurn(**turn) for turn in yaml.safe_load(source))
    return PromptFile(turns, hashlib.sha256(source.encode()).hexdigest())


def own_prompt_source(path: str) -> str:
    """The text of a user's prompt file. Raises BadSettings where it cannot be read."""
    try:
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, ValueError) as problem:
        said = getattr(problem, "strerror", None) or "it is no text in UTF-8"
        raise BadSettings(
            f"prompt {path} cannot be read: {said}; give the path of a YAML file with the turns of"
            " a prompt"
        ) from problem


@cache
def read_own_prompt(source: str, path: str, name: str, usual: PromptFile) -> PromptFile:
    """A user's prompt in place of a method's usual one. Raises BadSettings."""
    start = f"begin with what `gloss methods --prompt {name}` prints"
    try:
        listed = yaml.safe_load(source)
    except yaml.YAMLError as problem:
        raise BadSettings(
            f"prompt {path} is not YAML: {' '.join(str(problem).split())}; {start}"
        ) from problem
    roles = dict.fromkeys(turn.role for turn in usual.turns)
    if not (isinstance(listed, list) and listed and all(is_turn(one, roles) for one in listed)):
        raise BadSettings(
            f"prompt {path} must be a list of turns, each with a role ({', '.join(roles)}) and a"
            f" text; {start}"
        )
    own = PromptFile(
        tuple(PromptTurn(**turn) for turn in listed),
        hashlib.sha256(source.encode()).hexdigest(),
        path,
    )
    try:
        holes = own.holes
    except TemplateError as problem:
        raise BadSettings(
            f"prompt {path} has a hole that cannot be read: {problem}; {start}"
        ) from (problem)
    known = sorted(usual.holes)
    if unknown := sorted(holes - usual.holes):
        raise BadSettings(
            f"prompt {path} has the hole {unknown[0]!r}, which {name} does not fill"
            f"{suggestion(unknown[0], dict.fromkeys(known))}"
        )
    if not holes or listed[-1]["role"] not in ("user", PLAIN):
        raise BadSettings(
            f"prompt {path} asks about no feature; end with a turn of the user, and use some of the"
            f" holes {', '.join(known)}"
        )
    if PLAIN in roles and len(listed) < 2:
        raise BadSettings(
            f"prompt {path} has one turn; give two or more: what comes first, worked examples, and"
            " last what is asked"
        )
    return own


def is_turn(given: object, roles: Collection[str]) -> bool:
    """Whether what stands in a file is a turn: one of these roles, a text, nothing unknown."""
    return (
        isinstance(given, dict)
        and set(given) <= {"role", "text", "when"}
        and given.get("role") in roles
        and isinstance(given.get("text"), str)
        and isinstance(given.get("when", ""), str)
    )
