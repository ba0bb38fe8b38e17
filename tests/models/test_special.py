"""Which tokens are special, and which of these end a text and not only a turn of a chat."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from gloss.models.pretrained.special_tokens import SpecialTokens
from gloss.models.pretrained.tokenizer import load_tokenizer

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' +"
    " '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDING = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}{{ eos_token }}"
)
BROKEN = "{{ raise_exception('<|im_end|> never works') }}"
NAMES = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>", "<|end|>", "<unk>")


def tokenizer(
    names: tuple[str, ...] = NAMES, ordinary: tuple[str, ...] = ("<think>",)
) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    made.add_special_tokens([AddedToken(name, special=True) for name in names])
    made.add_tokens([*ordinary, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    return made


def names_of(found: frozenset[int], made: Tokenizer) -> set[str | None]:
    return {made.id_to_token(number) for number in found}


@pytest.mark.parametrize(
    "named, template, ends",
    [
        ({}, None, {"<|endoftext|>"}),
        ({"eos_token": "<|im_end|>"}, None, {"<|endoftext|>", "<|im_end|>"}),
        (
            {"eos_token": {"content": "<|im_end|>"}, "bos_token": "<|im_start|>"},
            CHATML,
            {"<|endoftext|>"},
        ),
        ({"eos_token": "<|endoftext|>", "pad_token": "<pad>"}, ENDING, {"<|endoftext|>"}),
        ({"eos_token": "<|end|>"}, ENDING, {"<|endoftext|>"}),
        ({"eos_token": "<|im_end|>"}, BROKEN, {"<|endoftext|>"}),
        ({"eos_token": None, "bos_token": "nowhere"}, None, {"<|endoftext|>"}),
    ],
)
def test_a_token_that_stands_between_turns_ends_no_text(
    named: dict, template: str | None, ends: set[str]
) -> None:
    made = tokenizer()
    found = SpecialTokens.of(made, named, template)
    assert names_of(found.ends, made) == ends
    assert names_of(found.numbers, made) == set(NAMES)  # and not <think>, which is text


# a text begins anew with each question, as in Llama 2's chats
QUESTIONS = """{% for m in messages %}{% if m.role == 'user' %}<|im_start|>[INST] {{ m.content }}
{% else %}{{ m.content }}<|endoftext|>{% endif %}{% endfor %}"""


@pytest.mark.parametrize(
    "template, around",
    [(None, set()), (CHATML, {"<|im_start|>", "<|im_end|>"}), (QUESTIONS, set())],
)
def test_a_token_around_every_turn_is_told_from_one_that_begins_a_text(
    template: str | None, around: set[str]
) -> None:
    made = tokenizer()
    found = SpecialTokens.of(made, {"bos_token": "<|im_start|>"}, template)
    assert names_of(found.around_turns, made) == around


def test_what_a_models_configuration_names_counts_where_it_is_special() -> None:
    made = tokenizer()
    found = SpecialTokens.of(made, {}, CHATML)
    numbers = {name: made.token_to_id(name) for name in (*NAMES, "a")}
    assert found.or_ends(
        {
            "eos_token_id": [numbers["<|im_end|>"], numbers["<pad>"], numbers["a"]],
            "bos_token_id": None,
        }
    ) == {
        numbers["<|endoftext|>"],
        numbers["<pad>"],
    }


@pytest.mark.parametrize("place", ["file", "configuration", "list"])
def test_a_folders_template_is_read_wherever_it_stands(tmp_path: Path, place: str) -> None:
    made = tokenizer()
    made.save(str(tmp_path / "tokenizer.json"))
    configuration: dict = {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}
    if place == "file":
        (tmp_path / "chat_template.jinja").write_text(CHATML)
    else:
        configuration["chat_template"] = (
            CHATML if place == "configuration" else [{"name": "default", "template": CHATML}]
        )
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(configuration))
    assert names_of(load_tokenizer(tmp_path, None).special.ends, made) == {"<|endoftext|>"}
