"""Small random text encoders in the layouts in which the real ones are published."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from vision_makers import WORDS, random_clip, seeded

ENCODERS = {
    "minilm": {"weights": "minilm", "length": 6, "sha256": ""},
    "clip": {"weights": "clip", "length": 8},
    "t5": {"weights": "t5", "length": 6},
}


def random_minilm(folder: Path, words: Sequence[str] = WORDS) -> BertModel:
    """A tiny BERT as wide as MiniLM, with a tokenizer of these words."""
    config = BertConfig(
        vocab_size=4 + len(words), hidden_size=384, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    model = seeded(lambda: BertModel(config)).eval()
    model.save_pretrained(folder)
    vocabulary = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words]
    tokenizer = _tokenizer(vocabulary, unknown="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    _save(tokenizer, folder, pad="[PAD]", unknown="[UNK]")
    return model


def random_t5(folder: Path) -> T5EncoderModel:
    """A tiny T5 encoder, tokenizer included."""
    config = T5Config(
        vocab_size=3 + len(WORDS), d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    model = seeded(lambda: T5EncoderModel(config)).eval()
    model.save_pretrained(folder)
    tokenizer = _tokenizer(["<pad>", "</s>", "<unk>", *WORDS], unknown="<unk>")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    _save(tokenizer, folder, pad="<pad>", unknown="<unk>")
    return model


def every_encoder(folder: Path) -> None:
    """The weights of all text encoders."""
    random_minilm(folder / "minilm")
    random_clip(folder / "clip")
    random_t5(folder / "t5")


def _tokenizer(vocabulary: list[str], unknown: str) -> Tokenizer:
    numbers = {word: place for place, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _save(tokenizer: Tokenizer, folder: Path, pad: str, unknown: str) -> None:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown)
    fast.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    told = json.loads(settings.read_text())
    settings.write_text(json.dumps({**told, "tokenizer_class": "PreTrainedTokenizerFast"}))
