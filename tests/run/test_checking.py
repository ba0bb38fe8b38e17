"""`gloss check` on what its user names: dialogues in the subject's template, tokens that do not
count.
"""

import json
import re
from pathlib import Path

import pytest
from tokenizers import AddedToken

from collect.tiny import START, sentences, tiny_dictionary, tiny_subject, tiny_tokenizer
from gloss.errors import Mismatch
from gloss.models.formats import save_dictionary
from gloss.models.model_settings import leave_out_from_words
from gloss.run.commands.check import print_dictionary_check
from gloss.run.sources import model_and_dictionary

TEMPLATE = "{% for m in messages %}<|turn|>{{ m.role }}: {{ m.content }}<|stop|>\n{% endfor %}"


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A folder with a tiny chat model, a dictionary and dialogues."""
    model, tokenizer = tiny_subject().model, tiny_tokenizer()
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True) for name in ("<|turn|>", "<|stop|>")]
    )
    model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save(str(tmp_path / "model" / "tokenizer.json"))
    named = {
        "bos_token": tokenizer.id_to_token(START),
        "eos_token": "<|stop|>",
        "chat_template": TEMPLATE,
    }
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(named))
    save_dictionary(tiny_dictionary(), tmp_path / "dictionary")
    said = [text for _, text in sentences(40)]
    turns = [
        [("user", ask), ("assistant", answer)]
        for ask, answer in zip(said[::2], said[1::2], strict=True)
    ]
    rows = [
        {"messages": [{"role": role, "content": text} for role, text in each]} for each in turns
    ]
    (tmp_path / "dialogues.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_dialogues_are_put_as_text_and_their_marks_do_not_count(
    chat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def checked(*words: str) -> tuple[list[str], list[str]]:
        texts = (str(chat / "dialogues.jsonl#messages"),)
        with pytest.raises(Mismatch, match="explains less"):  # a random dictionary
            print_dictionary_check(
                *model_and_dictionary(str(chat / "model"), str(chat / "dictionary")),
                texts,
                50_000,
                leave_out_from_words(words),
                0.0,
            )
        said = capsys.readouterr().out.replace(",", "")
        return re.findall(r"n = (\d+) tokens", said), re.findall(
            r"(\d+) of \d+ tokens are left out", said
        )

    [tokens], left_out = checked()
    assert left_out == [str(4 * 20)]  # of 20 dialogues, two marks a turn
    assert checked("none") == ([str(int(tokens) + 80)], [])
    assert checked("<|turn|>", "0") == ([str(int(tokens) + 40)], ["40"])


def test_words_of_a_command_line_name_tokens() -> None:
    assert (
        leave_out_from_words(()),
        leave_out_from_words(["none"]),
        leave_out_from_words(["special"]),
    ) == (
        "special",
        "none",
        "special",
    )
    assert leave_out_from_words(["<think>", "17"]) == ("<think>", 17)
    assert leave_out_from_words(["none", "a"]) == ("none", "a")
