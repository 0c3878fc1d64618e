"""Folders of transformers that a stranger has made: nothing in them hangs, exhausts or runs anything."""

import json
import os
import time

import pytest
import torch
from safetensors.torch import save_file

from thalweg.errors import DataError
from thalweg.transformers_folder import load_folder

SMALL = {
    "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 8, "vocab_size": 20, "max_position_embeddings": 16,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    save_file({"embeddings.word_embeddings.weight": torch.ones(20, 8)}, tmp_path / "model.safetensors")
    return tmp_path


def loaded(folder):
    pytest.importorskip("transformers")
    return load_folder(folder, "BertModel", "a BERT", "its publisher", "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**6}, {"num_hidden_layers": 10**9}, {"hidden_size": 10**9},
        {"vocab_size": 10**12}, {"max_position_embeddings": 10**9}, {"auto_map": {"AutoModel": "evil.Model"}},
        {"quantization_config": {"quant_method": "awq"}}, {"attn_implementation": "evil/kernel"},
        {"text_config": {"_attn_implementation": "evil/kernel"}}, {"deep": {"er": [{"x": 10**10}]}},
    ],
    ids=str,
)  # fmt: skip
def test_settings_are_bounded_and_bring_no_code(folder, changes):
    (folder / "config.json").write_text(json.dumps({**SMALL, **changes}))
    begun = time.process_time()
    with pytest.raises(DataError, match=r"states .*, which is not taken|larger than the"):
        loaded(folder)
    assert time.process_time() - begun < 20  # transformers is imported on the way


def test_settings_of_any_size_and_depth(folder):
    for text in ("[" * 10**5, " " * 2 * 2**20, '{"a": NaN}', "\xff"):
        (folder / "config.json").write_text(text, encoding="latin-1")
        with pytest.raises(DataError, match="cannot be read as a BERT"):
            loaded(folder)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer.json"])
def test_a_fifo_is_no_file_of_a_folder(folder, name):
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(DataError):
        loaded(folder)
