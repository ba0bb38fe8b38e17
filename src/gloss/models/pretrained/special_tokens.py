"""Which tokens of a tokenizer are no text: those that it marks special, and of these the ones that
end a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer

# What tokenizers call the token between two texts. A name alone proves nothing: the token must be
# marked special, too.
ENDS = (
    *(
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|endofdoc|>",
        "</s>",
        "<eos>",
        "<EOS>",
        "[EOS]",
        "<|eos|>",
    ),
    *("<|end▁of▁sentence|>", "<｜end▁of▁sentence｜>"),
)
ROLES = ("bos_token", "eos_token", "pad_token")
TURNS = ("a question", "its answer", "one more", "the last answer")


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Special tokens by number."""

    numbers: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()  # those that stand between two texts
    # those that the chat template puts between turns: they end no text
    within: frozenset[int] = frozenset()
    pads: frozenset[int] = frozenset()  # those that fill rows of unequal length
    # those that the chat template writes around each turn, the user's and the model's
    around_turns: frozenset[int] = frozenset()

    def or_ends(self, others: Mapping[str, int | list[int] | None]) -> frozenset[int]:
        """The tokens that end a text where a model's configuration names `others` so, as far as
        they are special.
        """
        named = {
            number
            for each in others.values()
            for number in ([each] if isinstance(each, int) else each or ())
        }
        return self.ends | (named & self.numbers - self.within)

    def below(self, number: int) -> "SpecialTokens":
        """Those whose number is smaller."""
        kept = (self.numbers, self.ends, self.within, self.pads, self.around_turns)
        return SpecialTokens(
            *(frozenset(each for each in numbers if each < number) for numbers in kept)
        )

    @staticmethod
    def of(
        tokenizer: Tokenizer, named: Mapping[str, Any], template: str | None = None
    ) -> "SpecialTokens":
        """What a tokenizer and its configuration call special.

        `named` gives `bos_token`, `eos_token` and `pad_token` as text, or as an object with
        `content`. A token that the chat `template` puts between two turns, as `<|im_end|>`, ends a
        turn and not the text, whatever its name.
        """
        added = tokenizer.get_added_tokens_decoder()
        marked = {number for number, token in added.items() if token.special}
        roles = {role: token_text(named[role]) for role in ROLES if named.get(role)}
        known = {token.content: number for number, token in added.items()}
        numbers = {
            role: known.get(text, tokenizer.token_to_id(text)) for role, text in roles.items()
        }
        special = marked | {number for number in numbers.values() if number is not None}
        texts = {
            number: added[number].content if number in added else tokenizer.id_to_token(number)
            for number in special
        }
        between = text_between_turns(template, roles) if template else ""
        times = {number: between.count(text) for number, text in texts.items() if text}
        within = {number for number, count in times.items() if count}
        # `<s>` before each question of the user alone begins a text all the same
        around = {number for number, count in times.items() if count >= len(TURNS) - 1}
        ends = {
            number
            for number, text in texts.items()
            if text in ENDS or number == numbers.get("eos_token")
        }
        ends |= {
            number for role, number in numbers.items() if role == "bos_token" and number is not None
        }
        pads = {
            number for role, number in numbers.items() if role == "pad_token" and number is not None
        }
        return SpecialTokens(*map(frozenset, (special, ends - within, within, pads, around)))


def token_text(token: Any) -> str:
    """A token's text, from either way of writing it down."""
    return str(token["content"] if isinstance(token, Mapping) else token)


def text_between_turns(template: str, roles: Mapping[str, str]) -> str:
    """What a chat template writes from the first question to the last answer.

    Where it cannot be asked, all that it holds.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    chat = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(TURNS)]
    try:
        render: Any = render_jinja_template  # the roles are its keywords, whatever they are called
        rendered, _ = render([chat], chat_template=template, **roles)
    except (TemplateError, ValueError, TypeError, KeyError):
        return " ".join([template, *(text for role, text in roles.items() if role in template)])
    written: str = rendered[0]
    return written[written.find(TURNS[0]) : written.rfind(TURNS[-1])]
