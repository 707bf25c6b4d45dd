"""sentencepiece: training a small model, and using it."""

from __future__ import annotations

import io
from typing import Any

import sentencepiece


def training() -> Any:
    """A unigram model and a BPE model."""
    lines = ["the quick brown fox jumps over the lazy dog", "pack my box with five dozen liquor jugs"] * 30
    found = []
    for kind in ("unigram", "bpe"):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            vocab_size=40,
            model_type=kind,
            hard_vocab_limit=False,
            minloglevel=2,
            num_threads=1,
        )
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        found.append(processor.decode(processor.encode(lines[0])))
    return found
