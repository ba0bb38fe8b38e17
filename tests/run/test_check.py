"""`gloss check` on what its user names: dialogues in the subject's template, tokens that do not count."""

import json
import re
from pathlib import Path

import pytest
from tokenizers import AddedToken
from typer.testing import CliRunner

from collect.tiny import START, sentences, tiny_dictionary, tiny_subject, tiny_tokenizer
from gloss.cli import app
from gloss.errors import Mismatch
from gloss.models.counting import of_words
from gloss.models.formats import save_dictionary

TEMPLATE = "{% for m in messages %}<|turn|>{{ m.role }}: {{ m.content }}<|stop|>\n{% endfor %}"


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A folder with a tiny chat model, a dictionary and dialogues."""
    model, tokenizer = tiny_subject().model, tiny_tokenizer()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ("<|turn|>", "<|stop|>")])
    model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    named = {"bos_token": tokenizer.id_to_token(START), "eos_token": "<|stop|>", "chat_template": TEMPLATE}
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(named))
    save_dictionary(tiny_dictionary(), tmp_path / "dictionary")
    said = [text for _, text in sentences(40)]
    turns = [[("user", ask), ("assistant", answer)] for ask, answer in zip(said[::2], said[1::2], strict=True)]
    rows = [{"messages": [{"role": role, "content": text} for role, text in each]} for each in turns]
    (tmp_path / "dialogues.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def checked(folder: Path, *more: str) -> tuple[int, int, int]:
    """How many tokens counted, in how many sequences, and how many were left out."""
    names = (str(folder / name) for name in ("model", "dictionary", "dialogues.jsonl#messages"))
    model, dictionary, texts = names
    found = CliRunner().invoke(app, ["check", model, dictionary, "--texts", texts, *more])
    assert isinstance(found.exception, Mismatch | None), found.exception  # a random dictionary explains less than the mean does
    [counted] = re.findall(r"n = ([\d,]+) tokens in ([\d,]+) sequences", found.output)
    left_out = re.findall(r"([\d,]+) of [\d,]+ tokens are left out", found.output)
    return (*(int(each.replace(",", "")) for each in counted), int(left_out[0]) if left_out else 0)


def test_dialogues_are_put_as_text_and_their_marks_do_not_count(chat: Path) -> None:
    tokens, sequences, left_out = checked(chat)
    assert (sequences, left_out) == (20, 4 * 20)  # each dialogue alone; two marks a turn
    assert checked(chat, "--leave-out", "none") == (tokens + left_out, 20, 0)
    assert checked(chat, "--leave-out", "<|turn|>", "--leave-out", "320") == (tokens + 40, 20, 40)


def test_words_of_a_command_line_name_tokens() -> None:
    assert (of_words(None), of_words(["none"]), of_words(["special"])) == ("special", "none", "special")
    assert of_words(["<think>", "17"]) == ("<think>", 17)
    assert of_words(["none", "a"]) == ("none", "a")
