"""tokenizers: training and using the usual models."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

_TEXT = ["the quick brown fox jumps over the lazy dog", "Grüße, naïve café! 東京 🙂", "a b c d e f g 1234567890"] * 30


def models_of_words() -> Any:
    """Each model, trained on a few sentences."""
    pairs = [
        (models.BPE, trainers.BpeTrainer),
        (models.WordPiece, trainers.WordPieceTrainer),
        (models.Unigram, trainers.UnigramTrainer),
        (models.WordLevel, trainers.WordLevelTrainer),
    ]
    found = []
    for model, trainer in pairs:
        tokenizer = Tokenizer(model())
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        options: dict[str, Any] = {"vocab_size": 90, "show_progress": False}
        tokenizer.train_from_iterator(_TEXT, trainer(**options))
        found.append([tokenizer.get_vocab_size(), len(tokenizer.encode(_TEXT[0]).ids) > 0])
    return found


def bytes_of_text() -> Any:
    """The byte-level encoding of GPT, there and back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        _TEXT, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer.decode(tokenizer.encode(_TEXT[1]).ids)
