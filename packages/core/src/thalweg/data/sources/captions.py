"""Captions as text files hold them."""

from thalweg.errors import DataError


def captions_of(data: bytes, name: str) -> tuple[str, ...]:
    """The captions of a text file, one a line.

    Raises:
        DataError: if it is not UTF-8 or holds none.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    captions = tuple(line.strip() for line in lines if line.strip())
    if not captions:
        raise DataError(f"{name} holds no caption; write at least one line")
    return captions
