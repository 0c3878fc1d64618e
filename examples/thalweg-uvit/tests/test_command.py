from click.testing import CliRunner

import thalweg
from thalweg.facts import Facts
from thalweg_uvit.command import skips


def saved(folder, **backbone):
    network = thalweg.compose(backbone={"width": 16, "heads": 2, **backbone}, facts=Facts(shape=(1, 8, 8)))
    thalweg.save(folder, network)
    return str(folder)


def test_a_line_for_each_skip_of_a_saved_network(tmp_path):
    done = CliRunner().invoke(skips, [saved(tmp_path / "model", type="uvit", depth=4)])
    assert done.output == "block 2 -> block 3: 0.000\nblock 1 -> block 4: 0.000\n"


def test_another_backbone_is_said(tmp_path):
    done = CliRunner().invoke(skips, [saved(tmp_path / "model", type="dit", depth=2)])
    assert isinstance(done.exception, thalweg.ConfigError)
    assert "holds no U-ViT, but a DiT" in str(done.exception)
