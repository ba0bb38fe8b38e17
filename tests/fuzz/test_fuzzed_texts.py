"""Whatever bytes lie in a file that is named as a text, reading them gives documents or raises a
GlossError with one sentence.
"""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable

from amount import tries
from hypothesis import given
from hypothesis import strategies as st

from gloss.collect.texts import open_texts
from gloss.errors import GlossError

PECULIAR = st.sampled_from(["<|endoftext|>", "\ufeff", "\0", "\r\n"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), PECULIAR
)
KEYS = st.sampled_from(["text", "role", "content", ""])
CELLS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner)),
    max_leaves=5,
)
ROWS = st.lists(
    st.one_of(
        CELLS, st.dictionaries(st.sampled_from(["text", "messages", "meta"]), CELLS, max_size=3)
    ),
    max_size=4,
)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def as_csv(rows: list[object]) -> str:
    return "text,meta\n" + "\n".join(
        ",".join(map(json.dumps, row.values())) if isinstance(row, dict) else str(row)
        for row in rows
    )


CONTENTS = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ROWS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    ROWS.map(lambda rows: json.dumps(rows).encode()),
    ROWS.map(lambda rows: ("\ufeff" + json.dumps({"text": rows})).encode()),
    ROWS.map(lambda rows: as_csv(rows).encode()),
    st.sampled_from(
        [
            b"[" * 5000,
            b'{"text": 1' + b"0" * 5000 + b"}",
            b"PAR1",
            b"\x1f\x8b",
            b"(\xb5/\xfd",
            b"ARROW1",
            b"\xff\xfea\0",
        ]
    ),
)
NAMES = [
    ".txt",
    ".jsonl",
    ".json",
    ".ndjson",
    ".csv",
    ".tsv",
    ".parquet",
    ".arrow",
    ".zst",
    ".md",
    "",
]


@tries(1500)
@given(
    content=CONTENTS,
    name=st.sampled_from(NAMES),
    packed=st.sampled_from(sorted(PACKED)),
    column=st.sampled_from(["", "#text", "#messages", "#meta.text", "#text.0", "#"]),
    split=st.sampled_from(["auto", "", "\n\n", "x", "\0"]),
    cut=st.integers(0, 200),
)
def test_bytes_are_texts_or_are_refused(
    tmp_path_factory, content, name, packed, column, split, cut
):
    path = tmp_path_factory.getbasetemp() / f"fuzzed{name}{packed}"
    whole = PACKED[packed](content)
    path.write_bytes(whole[: len(whole) - cut] if cut < 20 else whole)
    told = None
    try:
        for document in open_texts(f"{path}{column}", split=split):
            list(document.pieces)
    except GlossError as problem:
        told = str(problem)
    finally:
        path.unlink()
    assert told is None or (told.strip() and "Traceback" not in told)
