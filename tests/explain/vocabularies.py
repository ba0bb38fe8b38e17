"""Small vocabularies of every kind that tokenizers have, as bytes, with what is awkward in each."""

WORDS = (
    "the",
    "cat",
    "ran",
    "to",
    "thing",
    "12",
    "1",
    "é",
    "über",
    "Once",
    "SAID",
    "don't",
    "x_y",
    "λ",
    "日本",
    "٣",
)
SIGNS = (".", ",", '"', "(", ")", "[", "\\", "/", "*", "`", "# ", "'", "|", "-", "----")
BLANKS = (
    b" ",
    b"  ",
    b"\n",
    b"\n\n",
    b"\t",
    b" \n ",
    b"\xc2\xa0",
    b"\xe3\x80\x80",
    b"\r\n",
    b"\x1c",
)
SPECIAL = (b"<|endoftext|>", b"<s>", b"", b"[PAD]", b"<unk>")


def spelled(*strings: str) -> tuple[bytes, ...]:
    return tuple(string.encode() for string in strings)


BYTES = tuple(bytes([byte]) for byte in range(256))
KINDS: dict[str, tuple[bytes, ...]] = {
    # Each byte is a token; words with a blank in front; pieces that begin or end inside a
    # character.
    "byte-level": (
        *BYTES,
        *spelled(*(f" {w}" for w in WORDS), *WORDS),
        *BLANKS,
        b"\xe6\x97",
        b"\xa5\xe6",
        b" \xf0\x9f",
        *SPECIAL,
    ),
    # What `▁` stands for is a blank already; bytes that no piece covers are tokens, some of them
    # twice: `\n` and <0x0A>.
    "byte fallback": (
        b"<unk>",
        b"<s>",
        b"</s>",
        *BYTES,
        *spelled(*(f" {w}" for w in WORDS), *WORDS, *SIGNS),
        b" ",
        b"  ",
        b"\n",
    ),
    "wordpiece": (
        *spelled("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        *spelled(*WORDS, *SIGNS, *(f"##{w}" for w in WORDS)),
        b"",
    ),
    "unigram with spaces between": (
        *spelled(*(f"▁{w}" for w in WORDS), *WORDS, *SIGNS, "▁"),
        *SPECIAL,
    ),
    "ends in blanks": (
        *spelled(
            *(f"{w} " for w in WORDS),
            *(f"{w}\n" for w in SIGNS),
            "to the ",
            "for a ",
            "a\nb",
            "the \n",
        ),
        *BLANKS,
    ),
    "characters": tuple(
        {
            chr(code).encode()
            for code in (*range(1, 127), 0xE9, 0x3BB, 0x65E5, 0x2028, 0x85, 0x1F600)
        }
    ),
    "one string, many ids": spelled(
        *WORDS, *WORDS, *(f" {w}" for w in WORDS), *WORDS, *SIGNS, *SIGNS
    ),
    "blanks only": BLANKS,
    "nothing": (b"", b"", b"a"),
}
