"""What an autoencoder keeps."""

import torch

from thalweg_authoring.encoders import require_identity
from thalweg_authoring.numbers import images, require_near, require_shape
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject

SIZES = ((16, 16), (32, 16))


def _images() -> torch.Tensor:
    return images(3, 3, 16, 16)


@rule("autoencoder")
def the_shape_is_that_of_what_is_encoded(subject: Subject) -> None:
    """``shape`` says what ``encode`` gives: float32, a deviation above 0 or None, and no graph."""
    one = subject.build()
    for height, width in SIZES:
        mean, std = one.encode(torch.zeros(2, 3, height, width, dtype=torch.uint8))
        require_shape("the mean of encode(...)", mean, (2, *one.shape(3, height, width)), torch.float32)
        require(
            not mean.requires_grad,
            "the mean of encode(...) holds on to a graph; encode under torch.no_grad()",
        )
        if std is not None:
            require_shape("the deviation of encode(...)", std, tuple(mean.shape), torch.float32)
            require(
                (std > 0).all(),
                "the deviation of encode(...) is not above 0; return None where there is no spread",
            )
            require(not std.requires_grad, "the deviation of encode(...) holds on to a graph")


@rule("autoencoder")
def decoding_gives_images_of_the_same_size(subject: Subject) -> None:
    """``decode`` takes latents after ``scale`` back to bytes of the images' size."""
    one = subject.build()
    mean, _ = one.encode(_images())
    require_shape("decode(...)", one.decode(mean * one.scale), (3, 3, 16, 16), torch.uint8)


@rule("autoencoder")
def a_sample_does_not_depend_on_its_neighbours(subject: Subject) -> None:
    """An image is encoded and decoded alike alone and in a batch."""
    one = subject.build()
    mean, _ = one.encode(_images())
    alone, _ = one.encode(_images()[1:2])
    # To rounding: a kernel may sum in another order for another number of images.
    require_near(alone[0], mean[1], "an image is encoded differently in a batch; set eval mode", 1e-4, 1e-5)
    decoded = one.decode(mean * one.scale).float()
    gap = float((one.decode(mean[1:2] * one.scale).float()[0] - decoded[1]).abs().max())
    require(gap <= 1, f"an image is decoded otherwise in a batch, by up to {gap:.0f} levels")


@rule("autoencoder")
def encoding_twice_gives_the_same(subject: Subject) -> None:
    """Nothing is drawn in ``encode``: it returns mean and deviation, and another of one config the same."""
    one = subject.build()
    first, again, elsewhere = (each.encode(_images()) for each in (one, one, subject.build()))
    for tensor, same, too in zip(first, again, elsewhere, strict=True):
        equal = tensor is None or (torch.equal(tensor, same) and torch.equal(tensor, too))
        require(equal, "two encodings of the same images differ; return the posterior, and draw nothing")


@rule("autoencoder")
def the_identity_is_plain_and_the_same_every_time(subject: Subject) -> None:
    """``identity`` is plain data that names the type, ``scale`` a number above 0."""
    one = subject.build()
    require_identity(subject, one)
    require(one.scale > 0, f"scale is {one.scale}; it must be above 0")
