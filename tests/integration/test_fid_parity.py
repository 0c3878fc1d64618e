"""The numbers against torch-fidelity, called directly on the same images and weights."""

import math
import warnings

import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.utils.data import Dataset

from inception_maker import LAYERS, pictures, random_inception, textures
from thalweg.config import component
from thalweg.facts import Facts
from thalweg.types import Features
from thalweg_authoring.kinds import metrics as metric_runs
from thalweg_backbones.vision.inception import InceptionConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch_fidelity
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

FACTS = Facts(shape=(3, 32, 32), classes=10)
SAMPLES = torch.cat([pictures(112, seed=0), textures(16, seed=0)])
REFERENCE = torch.cat([textures(112, seed=1), pictures(16, seed=1)])
BATCH, SUBSET, FEW = 32, 100, 12

pytestmark = pytest.mark.timeout(900)  # 256 images of 299x299 through both networks


class Images(Dataset):
    """Images as torch-fidelity takes them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    return path, random_inception(path)


@pytest.fixture(scope="module")
def extractor(weights):
    path, sha256 = weights
    return InceptionConfig(weights=str(path), sha256=sha256).build(FACTS)


@pytest.fixture(scope="module")
def seen(extractor):
    """Features of both sides, batch by batch."""
    return [[extractor(part) for part in side.split(BATCH)] for side in (SAMPLES, REFERENCE)]


@pytest.fixture(scope="module")
def theirs(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_fidelity.calculate_metrics(
            input1=Images(SAMPLES),
            input2=Images(REFERENCE),
            isc=True,
            fid=True,
            kid=True,
            prc=True,
            kid_subset_size=SUBSET,
            feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=str(weights[0]),
            cuda=False,
            cache=False,
            verbose=False,
            save_cpu_ram=True,
            batch_size=BATCH,
        )


def numbers(metric, seen, order=(0, 1, 2, 3), **options):
    """A metric's numbers, the batches arriving in some order."""
    built = component("metric", {"type": metric, **options}).build(FACTS)
    sides = []
    for side, asked in zip(seen, (built.statistics(128), built.reference_statistics(128)), strict=True):
        made = {key: fresh() for key, fresh in asked.items()}
        for batch in order:
            for one in made.values():
                one.update(side[batch], None, range(batch * BATCH, (batch + 1) * BATCH))
        sides.append(made)
    return built(*sides)


@pytest.fixture(scope="module")
def direct(weights):
    """torch-fidelity's network on the first images of both sides: features, logits, a block inside."""
    network = FeatureExtractorInceptionV3("x", LAYERS, feature_extractor_weights_path=str(weights[0]))
    caught = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: caught.append(out))
    with torch.no_grad():
        pooled, logits = network(torch.cat([SAMPLES[:FEW], REFERENCE[:FEW]]))
    return pooled, logits, caught[0][:, :7].permute(0, 2, 3, 1).flatten(1)


@pytest.mark.parametrize("kind", ["pooled", "logits", "spatial"])
def test_features_are_those_of_torch_fidelity(seen, direct, kind):
    expected = direct[["pooled", "logits", "spatial"].index(kind)]
    ours = torch.cat([getattr(side[0], kind)[:FEW] for side in seen])
    assert expected.std(0).max() > 0.1  # else equality would mean little
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_fid(seen, theirs):
    ours = numbers("frechet_distance", seen)["frechet_distance"]
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


def test_fid_of_fewer_images_than_features_is_exact_where_torch_fidelity_is_not():
    draws = torch.Generator().manual_seed(0)
    one, two = (torch.randn(60, 400, generator=draws) * scale for scale in (1.0, 1.5))
    stats = [fid_features_to_statistics(side) for side in (one, two)]
    theirs = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    centred = [(side.double() - side.double().mean(0)) / math.sqrt(59) for side in (one, two)]
    # S_i = C_i^T C_i, so tr (S_1 S_2)^(1/2) is the sum of the singular values of C_1 C_2^T.
    trace = float(torch.linalg.svdvals(centred[0] @ centred[1].T).sum())
    shift = one.double().mean(0) - two.double().mean(0)
    exact = float(shift.square().sum() + sum(side.square().sum() for side in centred)) - 2 * trace
    ours = metric_runs.numbers(
        component("metric", "frechet_distance").build(FACTS), [Features(one)], [Features(two)]
    )
    assert ours["frechet_distance"] == pytest.approx(exact, rel=1e-10)
    assert theirs == pytest.approx(exact, rel=1e-4)


def test_inception_score(seen, theirs):
    ours = numbers("inception_score", seen, order=(3, 1, 0, 2))
    assert theirs["inception_score_mean"] > 1.05
    assert ours["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert ours["inception_score_std"] == pytest.approx(theirs["inception_score_std"], rel=1e-4)


def test_kid(seen, theirs):
    ours = numbers("kid", seen, order=(3, 1, 0, 2), subset_size=SUBSET)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert ours["kid_std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-4)


def test_precision_and_recall(seen, theirs):
    ours = numbers("precision_recall", seen, block=37)
    assert 0 < theirs["precision"] < 1
    assert 0 < theirs["recall"] < 1
    assert ours == {key: pytest.approx(theirs[key], rel=1e-6) for key in ("precision", "recall")}


def test_sfid_against_a_direct_computation(seen, direct):
    sides = direct[2].double().numpy().reshape(2, FEW, 17 * 17 * 7)
    shift = sides[0].mean(0) - sides[1].mean(0)
    centred = [(side - side.mean(0)) / math.sqrt(FEW - 1) for side in sides]
    trace = scipy.linalg.svdvals(centred[0] @ centred[1].T).sum()
    expected = (shift**2).sum() + sum((side**2).sum() for side in centred) - 2 * trace
    few = [[Features(side[0].pooled[:FEW], None, side[0].spatial[:FEW])] for side in seen]
    metric = component("metric", "spatial_frechet_distance").build(FACTS)
    ours = metric_runs.numbers(metric, *few)
    assert ours == {"spatial_frechet_distance": pytest.approx(expected, rel=1e-5)}
