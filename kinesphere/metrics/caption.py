"""Caption metrics: BLEU, ROUGE-L and CIDEr by the COCO caption code, and Google's ROUGE-L.

Both come from libraries (``pip install kinesphere[captions]``); only their pure Python parts are used, no Java.
Sentences are split at spaces after lower-casing and dropping punctuation, as motion captioning papers do.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kinesphere.errors import InputError


@dataclass(frozen=True)
class CaptionScores:
    """bleu: 1 to 4 grams, 0..1. rouge_l: COCO's (recall-weighted F, 0..1). cider: 0..10.

    rouge_l_google: the ``rouge-score`` package's F, the best over a caption's references.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider: float
    rouge_l_google: float


def caption_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Scores of one caption a motion against its references (at least 1 each).

    Raises InputError on empty input or unequal counts, ImportError (with what to install) without the libraries.
    """
    if not hypotheses or len(hypotheses) != len(references) or not all(references):
        raise InputError(
            "references",
            f"{len(hypotheses)} hypotheses and {len(references)} lists of references; equal, none empty",
        )
    try:
        from pycocoevalcap.bleu.bleu import Bleu  # type: ignore[import-untyped, unused-ignore]
        from pycocoevalcap.cider.cider import Cider  # type: ignore[import-untyped, unused-ignore]
        from pycocoevalcap.rouge.rouge import Rouge  # type: ignore[import-untyped, unused-ignore]
        from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(
            "caption metrics need 'kinesphere[captions]' (pycocoevalcap, rouge-score)"
        ) from error
    generated = {index: [normalised(text)] for index, text in enumerate(hypotheses)}
    truth = {index: [normalised(text) for text in texts] for index, texts in enumerate(references)}
    # The COCO code prints its lengths.
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(truth, generated)
    rouge, _ = Rouge().compute_score(truth, generated)
    cider, _ = Cider().compute_score(truth, generated)
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    google = [
        max(
            float(scorer.score(reference, generated[index][0])["rougeL"].fmeasure)
            for reference in truth[index]
        )
        for index in generated
    ]
    one, two, three, four = (float(value) for value in bleu)
    return CaptionScores((one, two, three, four), float(rouge), float(cider), sum(google) / len(google))


def normalised(text: str) -> str:
    """Lower case, words only, single spaces."""
    return " ".join(re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower()))
