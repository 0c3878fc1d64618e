"""The small classifier: what it learns on real digits, and that nothing but its seed decides."""

import pytest
import torch
from torch import Tensor

from thalweg.data.digits import DigitsConfig
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.facts import Facts
from thalweg.protocols import PooledEncoder
from thalweg.randomness import generator
from thalweg_authoring.kinds.metrics import numbers
from thalweg_eval.metrics.accuracy import Accuracy
from thalweg_eval.metrics.frechet import FrechetDistanceConfig
from thalweg_eval.small_classifier import SmallClassifier, SmallClassifierConfig, _shifted

DATA = DigitsConfig().build()
Pairs = tuple[Tensor, Tensor]


def pairs(part: str) -> Pairs:
    split = getattr(DATA, part)
    batch = split.batch(range(len(split)), generator(0, "test"))
    return DATA.images(batch.clean), batch.condition.labels


@pytest.fixture(scope="module")
def fitted() -> SmallClassifier:
    return SmallClassifierConfig().build(DATA.facts).fit(*pairs("train"), trained_on="digits")


def test_it_knows_held_out_digits(fitted: SmallClassifier) -> None:
    images, labels = pairs("validation")
    features = fitted(images)
    assert features.pooled.shape == (len(images), 64)
    assert numbers(Accuracy(), [features], labels=[labels])["accuracy"] >= 0.97


def test_its_name_says_what_it_has_seen(fitted: SmallClassifier) -> None:
    assert isinstance(fitted, PooledEncoder)
    assert "classes" in fitted.offers
    assert fitted.title == f"small_classifier trained on {len(DATA.train)} images of digits"
    assert fitted.number_name("frechet_distance") == "fd_small_classifier"


def test_its_identity_changes_with_what_it_has_learned(fitted: SmallClassifier) -> None:
    other = SmallClassifierConfig(steps=2).build(DATA.facts).fit(*pairs("train"), trained_on="digits")
    again = SmallClassifierConfig(steps=2).build(DATA.facts).fit(*pairs("train"), trained_on="digits")
    assert other.identity == again.identity
    assert other.identity["weights"] != fitted.identity["weights"]


def test_its_features_tell_real_digits_from_broken_ones(fitted: SmallClassifier) -> None:
    real, held_out = pairs("train")[0], pairs("validation")[0]
    one_class = held_out[pairs("validation")[1] == 3]
    noise = torch.randint(0, 256, held_out.shape, generator=generator(0, "test"), dtype=torch.uint8)

    def far(images: Tensor) -> float:
        metric = FrechetDistanceConfig().build(DATA.facts)
        return numbers(metric, [fitted(images)], [fitted(real)])["frechet_distance"]

    assert far(held_out) < far(one_class) / 5
    assert far(held_out) < far(noise) / 20
    assert far(held_out) < far(held_out.flip(3)) / 5


def test_the_seed_decides_alone_and_the_process_wide_generator_is_left_alone() -> None:
    images, labels = pairs("train")

    def weights(seed: int) -> Tensor:
        config = SmallClassifierConfig(seed=seed, steps=5, width=4)
        classifier = config.build(DATA.facts).fit(images, labels, "digits")
        return torch.nn.utils.parameters_to_vector(classifier.parameters())

    before = torch.random.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_fitting_again_starts_afresh_and_calls_change_nothing() -> None:
    images, labels = pairs("train")
    classifier = SmallClassifierConfig(steps=4, width=4).build(DATA.facts)
    first = classifier.fit(images, labels, "digits")(images).pooled
    assert torch.equal(classifier(images).pooled, first)
    assert torch.equal(classifier.fit(images, labels, "digits")(images).pooled, first)
    assert not first.requires_grad


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (3, 32, 24), (1, 4, 16)])
def test_other_tiny_images_fit_too(shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (10, *shape), generator=generator(0, "test"), dtype=torch.uint8)
    config = SmallClassifierConfig(steps=2, width=4, features=5, shift=0)
    features = config.build(Facts(shape=shape, classes=3)).fit(images, torch.arange(10) % 3, "noise")(images)
    assert features.pooled.shape == (10, 5)
    assert features.logits.shape == (10, 3)


def test_shifts_move_each_image_whole_and_repeat_its_border() -> None:
    images = torch.randn(200, 2, 5, 6, generator=generator(0, "test"))
    moved = _shifted(images, 2, generator(1, "test"))
    assert torch.equal(_shifted(images, 0, generator(1, "test")), images)
    seen = set()
    for image, result in zip(images, moved, strict=True):
        rows, columns = torch.arange(5), torch.arange(6)
        matches = [
            (down, across)
            for down in range(-2, 3)
            for across in range(-2, 3)
            if torch.equal(image[:, (rows + down).clamp(0, 4)][:, :, (columns + across).clamp(0, 5)], result)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 25


def test_what_cannot_be_learned_or_scored_is_refused() -> None:
    images, labels = pairs("validation")
    with pytest.raises(ConfigError, match="needs data with classes"):
        SmallClassifierConfig().build(Facts(shape=(1, 8, 8)))
    classifier = SmallClassifierConfig(steps=1).build(DATA.facts)
    with pytest.raises(ThalwegError, match="is not fitted yet"):
        classifier(images)
    with pytest.raises(DataError, match=r"\(1, 8, 7\) meet a small classifier for \(1, 8, 8\)"):
        classifier.fit(images[..., :7], labels, "digits")
    with pytest.raises(DataError, match="359 images but 5 labels"):
        classifier.fit(images, labels[:5], "digits")
    with pytest.raises(DataError, match=r"outside 0\.\.9"):
        classifier.fit(images, labels + 1, "digits")
    with pytest.raises(DataError, match="no samples"):
        classifier.fit(images[:0], labels[:0], "digits")
    with pytest.raises(DataError, match="meet a small classifier"):
        classifier.fit(images, labels, "digits")(images[..., :7])


@pytest.mark.parametrize("field", ["steps", "width", "features", "batch_size", "lr"])
def test_values_out_of_range_are_refused(field: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=f"'{field}' must be"):
        SmallClassifierConfig(**{field: 0})
