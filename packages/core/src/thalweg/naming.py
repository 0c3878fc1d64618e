"""What numbers are called: each in the features of another network bears another name."""


def qualified(number: str, features: str) -> str:
    """A metric's number in features that have no name of their own in the field.

    ``frechet_distance`` in ``lite0`` is ``fd_lite0``, ``kid`` is ``kid_lite0``. FID and sFID are reserved for
    Inception with its published weights.
    """
    short = {"frechet_distance": "fd", "spatial_frechet_distance": "spatial_fd"}.get(number, number)
    return f"{short}_{features}"
