"""Files of lines: each reader takes whole what stands in a line of JSON, whatever separators are in
it.
"""

import json

import pytest

from gloss.attribute.players.example_file import read_examples
from gloss.attribute.players.passage_text import read_passages
from gloss.attribute.players.prompt_file import read_prompt_file
from gloss.attribute.players.subject_games import read_other_prompts
from gloss.evaluate.odd_one_out import read_triplets
from gloss.models.labelled_texts import LabelledTexts
from gloss.store.file_bytes import filled_lines

SEPARATORS = "\u2028\u2029\x85\v\f\x1c\x1d\x1e"
TEXT = f"one{SEPARATORS}two"
READERS = {
    "labelled": (
        [{"text": TEXT, "label": "a"}, {"text": "b", "label": "b"}],
        lambda file: LabelledTexts.read(str(file)).texts[0],
    ),
    "triplets": (
        [{"texts": [TEXT, "b", "c"], "odd": 0}],
        lambda file: read_triplets(str(file)).texts[0][0],
    ),
    "prompts": ([{"prompt": TEXT}], lambda file: read_prompt_file(file)[0].prompt),
    "other prompts": ([{"prompt": TEXT}], lambda file: read_other_prompts(file)[0]),
    "examples": ([{"text": TEXT}, {"text": "b"}], lambda file: read_examples(file)[0].text),
    "passages": ([{"text": TEXT}, {"text": "b"}], lambda file: read_passages(file)[0].text),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_ends_where_the_file_says_and_nowhere_inside_its_text(name, end, tmp_path):
    rows, read = READERS[name]
    file = tmp_path / "rows.jsonl"
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    # JSON escapes what is below a blank; the others stand in the line as they are
    file.write_bytes("\ufeff".encode() + end.join([*lines, ""]).encode())
    assert read(file) == TEXT


def test_lines_keep_their_numbers(tmp_path):
    file = tmp_path / "rows.txt"
    file.write_bytes("one\r\n\n  \nfour\u2028five".encode())
    assert [number for number, _ in filled_lines(file)] == [1, 4]
