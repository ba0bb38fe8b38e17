"""Faults that must never pass: what stands in a file, and what is put in its place.

Keyed by the place of `benchmarks.mutants` whose tests fail on them.
"""

KnownMutant = tuple[
    str, str, str
]  # file below src/gloss, what stands there once, what is put there

KNOWN: dict[str, tuple[KnownMutant, ...]] = {
    "statistics": (
        ("statistics/intervals.py", "(outside, 1 - outside)", "(2 * outside, 1 - 2 * outside)"),
        ("statistics/intervals.py", "yield min(most,", "yield max(most,"),
        ("statistics/intervals.py", "/ (len(v) - 1) for part", "/ len(v) for part"),
        ("statistics/intervals.py", "successes + 0.5, trials - successes", "successes, trials"),
        ("statistics/intervals.py", "for side in (firing, ~firing):", "for side in (firing,):"),
        ("statistics/ranking.py", "ranked.above + ranked.down_to)", "2 * ranked.down_to)"),
        ("statistics/ranking.py", ", np.flatnonzero(~hard))", ")"),
        ("statistics/ranking.py", "fill_failed(inactive, np.inf)", "wrong"),
        (
            "statistics/scale_calibration.py",
            "np.bincount(level, np.sort(a))",
            "np.bincount(level, a)",
        ),
    ),
    "keys": (
        ("run/keys.py", "[__version__, *parts]", "[*parts]"),
        ("run/keys.py", 'f"{name}\\0{cached_file_digest(file)}\\0"', 'f"{name}\\0"'),
        ("run/keys.py", "[:12]", "[:0]"),
    ),
    "splits": (
        ("store/corpus.py", "self.hashes[self.groups] <", "self.hashes <"),
        (
            "store/corpus.py",
            "if split is Split.TRAIN else ~self.in_train",
            "if split is Split.TRAIN else self.in_train",
        ),
        (
            "rules/occurrences.py",
            "self.order[self.offsets[token] :",
            "self.order[self.offsets[token] + 1 :",
        ),
        ("store/contexts.py", "np.argsort(~self.in_train +", "np.argsort(self.in_train +"),
        (
            "store/contexts.py",
            "np.append(self.starts, len(self.corpus))",
            "np.append(self.starts, len(self.corpus))[::-1]",
        ),
        ("store/window_shares.py", "borders) - length, 0)", "borders) - length + 1, 0)"),
        ("sample/samplers.py", "bits, ~bits & 0x7FFFFFFF", "bits, bits"),
        ("sample/samplers.py", "ranks = np.sort(ranks)", "ranks = ranks"),
        ("sample/samplers.py", "+ start\n", "\n"),
        ("sample/samplers.py", "- starts[slices] < shares", "< shares"),
        ("sample/negatives.py", "size=tried))", "size=tried) // 2)"),
        ("sample/negatives.py", "known = turns < limit", "known = turns < np.inf"),
        ("sample/windows.py", "positions - width // 2", "positions - width // 2 + 1"),
        ("sample/windows.py", "row in np.argsort(-strengths", "row in np.argsort(strengths"),
        ("sample/examples.py", "(-windows.maxima[rows], h", "(windows.maxima[rows], h"),
        ("sample/examples.py", "search.besides(windows.starts)", "search"),
        ("collect/near_copies.py", ">= COPY_SIMILARITY", "> 2 * COPY_SIMILARITY"),
        ("collect/near_copies.py", "[line for line in lines if line not in common]", "lines"),
    ),
    "scores": (
        ("score/execution.py", "2 * hits / (positive + true)", "hits / (positive + true)"),
        ("score/execution.py", "each in (predicted, fires))", "each in (fires, predicted))"),
        (
            "score/held_out_text.py",
            "~corpus.documents_in_train[corpus",
            "corpus.documents_in_train[corpus",
        ),
        (
            "score/held_out_text.py",
            "look_up(self.numbers, found.positions[counts])",
            "found.positions[counts]",
        ),
        ("score/execution.py", "(sa - s * a)", "(sa + s * a)"),
        ("score/simulation_metrics.py", "and int(bare) <= highest", "and int(bare) < highest"),
        ("score/mark_matching.py", "left[taken] = False", "pass"),
    ),
    "judging": (
        ("statistics/rates.py", "(true_positive + true_negative) / 2", "true_positive"),
        (
            "score/judge/verdict_metrics.py",
            "inactive.share_of(inactive.no)",
            "inactive.share_of(inactive.yes)",
        ),
        (
            "score/judge/verdict_metrics.py",
            "true[name], true_draws[name]",
            "values[name], draws[name]",
        ),
        (
            "score/judge/verdict_metrics.py",
            "self.yes + self.no + self.failed",
            "self.yes + self.no",
        ),
        (
            "score/judge/error_correction.py",
            "skill = sensitivity - false",
            "skill = sensitivity + false",
        ),
        (
            "score/judge/position_bias.py",
            "np.diff(given.position) == 1",
            "np.diff(given.position) == 0",
        ),
        (
            "score/judge/position_bias.py",
            "-one.residuals, one.residuals",
            "one.residuals, one.residuals",
        ),
    ),
    "faithfulness": (
        (
            "attribute/result/faithfulness.py",
            "predict_values(before, held_out.masks)",
            "predict_values(after, held_out.masks)",
        ),
        (
            "attribute/result/faithfulness.py",
            "predict_values(before, near.masks)",
            "predict_values(after, near.masks)",
        ),
        (
            "attribute/result/faithfulness.py",
            " * (kind == NEAR_KIND)",
            "",
        ),
        (
            "attribute/result/prediction_r2.py",
            "error = (values - predicted) ** 2",
            "error = spread * 0",
        ),
    ),
}
