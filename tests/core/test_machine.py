import pytest
import torch

from thalweg import machine


def test_native_precision_is_bf16_only_where_the_processor_computes_in_it(monkeypatch):
    for native, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert machine.native_precision("cpu") == precision
    assert machine.native_precision("mps") == "32-true"


def test_a_compiler_is_taken_from_cxx_or_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert machine.compiler() is None
    own = tmp_path / "mycc"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("CXX", str(own))
    assert machine.compiler() == str(own)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_compiling_pays_from_some_amount_of_work_on(device):
    import thalweg

    network = thalweg.compose(
        backbone={"type": "dit", "size": "S", "depth": 1},
        facts=thalweg.Facts(shape=(4, 32, 32)),
        device="meta",
    )
    pays = [machine.compiling_pays(network, 10**power, 6, device) for power in range(12)]
    assert pays == sorted(pays)
    assert not pays[0]
    assert pays[-1]
