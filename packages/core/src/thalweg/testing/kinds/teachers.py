"""What a teacher keeps."""

import torch

from thalweg.errors import DataError
from thalweg.facts import StoredFeatures
from thalweg.testing.encoders import plain, require_frozen, require_identity
from thalweg.testing.numbers import images, require_near, require_shape
from thalweg.testing.rules import require, rule
from thalweg.testing.subject import Subject

GRIDS = ((2, 2), (3, 2))


def pictures(count: int = 2, channels: int = 3) -> torch.Tensor:
    """Some images."""
    return images(count, channels, 64, 64)


@rule("teacher")
def a_finite_token_for_each_place(subject: Subject) -> None:
    """Of grey and coloured images it gives a finite float32 token for each place of any grid."""
    one = subject.build()
    for grid in GRIDS:
        for channels in (1, 3):
            seen = one(pictures(channels=channels), grid)
            require_shape(f"tokens of a {grid} grid", seen, (2, grid[0] * grid[1], one.width), torch.float32)
            require(torch.isfinite(seen).all(), "its tokens are not finite")
            require(seen.std() > 0, "its tokens are all the same")


@rule("teacher")
def tokens_come_row_by_row(subject: Subject) -> None:
    """A change in the lower left of an image changes the token of that place most."""
    one = subject.build()
    shown = torch.full((2, 3, 64, 96), 128, dtype=torch.uint8)
    shown[1, :, 32:, :32] = 255
    plain, changed = one(shown, (2, 3))
    place = int((changed - plain).norm(dim=-1).argmax())
    require(
        place == 3,
        f"a change of place 3 of a 2 x 3 grid shows at {place}; order tokens row by row, no class token",
    )


@rule("teacher")
def a_sample_does_not_depend_on_its_neighbours_nor_on_the_call(subject: Subject) -> None:
    """An image is seen alike alone and in a batch, and by another one of the same config."""
    one, shown = subject.build(), pictures(3)
    whole = one(shown, (2, 2))
    # bfloat16 keeps 8 bits, and how sums are split depends on the batch.
    require_near(one(shown[1:2], (2, 2)), whole[1:2], "an image is seen otherwise in a batch", 2**-6, 2**-6)
    require_near(subject.build()(shown, (2, 2)), whole, "another one of the same config sees something else")


@rule("teacher")
def it_is_frozen(subject: Subject) -> None:
    """No gradient flows into it, and it is in eval mode."""
    one = subject.build()
    require(
        not one(pictures(), (2, 2)).requires_grad, "its tokens hold on to a graph; see under torch.no_grad()"
    )
    require_frozen(one)


@rule("teacher")
def its_name_is_known_before_it_is_loaded(subject: Subject) -> None:
    """The config knows the name under which features are stored."""
    config = subject.config()
    require(hasattr(config, "name"), "its config has no property 'name'")
    name, built = config.name, subject.build().name
    require(name == built, f"the config is named '{name}' and what it builds '{built}'; make both agree")


@rule("teacher")
def the_identity_is_plain_and_the_same_every_time(subject: Subject) -> None:
    """``identity`` is plain data that names the type."""
    require_identity(subject, subject.build())


@rule("teacher")
def what_it_stored_is_its_own_and_nothing_else_is(subject: Subject) -> None:
    """``check_stored`` takes features that it stored and refuses those of another teacher."""
    one, config = subject.build(), subject.config()
    require(hasattr(config, "check_stored"), "its config has no method check_stored(stored)")
    stored = StoredFeatures((2, 2), one.width, plain(one.identity) or {})
    config.check_stored(stored)
    try:
        config.check_stored(StoredFeatures((2, 2), one.width, {**stored.identity, "type": "another"}))
    except DataError:
        return
    require(
        False,
        "check_stored takes features of another teacher; compare identities and raise thalweg.DataError",
    )
