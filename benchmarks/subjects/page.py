"""docs/subjects.md: the table of what was measured, written and read."""

from collections.abc import Sequence

import transformers

from benchmarks.subjects.measure import Row

COLUMNS = ("resid_pre", "resid_mid", "resid_post", "mlp_in", "mlp_act", "mlp_out", "z", "attn_out")


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    read = [row for row in rows if not row.refused]
    lines = [
        "# Subjects: which sites are proven in which architecture",
        "",
        (
            f"All {len(rows)} causal architectures of transformers {transformers.__version__}, each"
            " as a random model of a few"
        ),
        (
            "layers and 32 dimensions, measured by `python -m benchmarks.subjects`, which writes"
            " this page. How sites are found and"
        ),
        (
            "proven is in [sites](sites.md). A trained model is proven again whenever it is loaded:"
            " its own layers count then."
        ),
        "",
        *counts(rows),
        "",
        (
            "`●` in every layer, `◐` in some (a hybrid has attention in some layers only), `·` in"
            " none. `hidden` says whether the"
        ),
        (
            "`hidden_states` of transformers are what gloss reads at `resid_pre` or, as some models"
            " count them, at `resid_post`: an"
        ),
        "independent check, which some models do not allow (`-`).",
        "",
        (
            f"| architecture | {' | '.join(f'`{kind}`' for kind in COLUMNS)} | hidden | what is not"
            " there, and why |"
        ),
        f"|---|{'---|' * len(COLUMNS)}---|---|",
        *(line(row) for row in sorted(read, key=lambda row: row.model_type)),
        "",
        "## Refused, or not tried",
        "",
        "| architecture | why |",
        "|---|---|",
        *(
            f"| `{row.model_type}` | {cell(row.reason)} |"
            for row in sorted(rows, key=lambda row: row.model_type)
            if row.refused
        ),
    ]
    return "\n".join(lines) + "\n"


def counts(rows: Sequence[Row]) -> list[str]:
    """What the table adds up to."""
    read = [row for row in rows if not row.refused]
    held = [row.hidden_states for row in read if row.hidden_states is not None]
    return [
        "| proven | architectures |",
        "|---|---|",
        f"| `resid_pre` and `resid_post` in every layer | {len(read)} |",
        (
            "| every residual equation in every layer: `resid_pre + attn_out + mlp_out =="
            f" resid_post` | {len(summed(rows))} |"
        ),
        f"| `mlp_act` (the neurons) in every layer | {full(read, 'mlp_act')} |",
        f"| `z` (the heads) in every layer | {full(read, 'z')} |",
        (
            f"| `hidden_states` of transformers say the same | {sum(held)} of {len(held)} that give"
            " them |"
        ),
        (
            "| an edit of `resid_post.0` changes the logits |"
            f" {sum(bool(row.edits) for row in read)} of {len(read)} |"
        ),
        f"| refused in one sentence | {sum(row.refused and not row.unmade for row in rows)} |",
        (
            "| not tried: no tiny model could be made from its configuration |"
            f" {sum(row.unmade for row in rows)} |"
        ),
    ]


def summed(rows: Sequence[Row]) -> list[Row]:
    """The architectures in which all that is added to the stream is proven, in every layer."""
    return [row for row in rows if not row.refused and row.sums == row.layers]


def full(rows: Sequence[Row], kind: str) -> int:
    """How many have this kind in every layer."""
    return sum(row.proven is not None and row.proven[kind] == row.layers for row in rows)


def line(row: Row) -> str:
    """One architecture's row of the table."""
    assert row.proven is not None
    marks = [
        "●" if row.proven[kind] == row.layers else "◐" if row.proven[kind] else "·"
        for kind in COLUMNS
    ]
    hidden = {True: "equal", False: "differs", None: "-"}[row.hidden_states]
    return f"| `{row.model_type}` | {' | '.join(marks)} | {hidden} | {cell(row.reason)} |"


def cell(text: str) -> str:
    """Text that breaks no table."""
    return text.replace("|", "\\|")
