"""Sentences on what is there instead of images."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from thalweg.errors import DataError
from thalweg.storage import Location

_COMPRESSED_TARS = (
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.zst",
    ".tzst",
    ".tar.lz4",
    ".tar.z",
)
_ARCHIVES = (".zip", ".7z", ".rar")
_OTHER_IMAGES = (".avif", ".bmp", ".gif", ".heic", ".jp2", ".jxl", ".pgm", ".ppm", ".tif", ".tiff")
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
}
"""How files begin, by what they are compressed with, and what decompresses them."""

_LATENTS = "img-mean-std-"  # as REPA's preprocessing names what an autoencoder made of its images


def is_compressed_tar(name: str) -> bool:
    """Whether a file's name is that of a compressed tar."""
    return name.lower().endswith(_COMPRESSED_TARS)


def compressed(where: Location | str) -> DataError:
    """Of a file with the name of a compressed tar."""
    return DataError(
        f"{where} is a compressed tar, of which nothing can be read without all that stands before; "
        "decompress it and give the .tar"
    )


def of_content(where: Location | str, start: bytes) -> DataError | None:
    """Of a file that should be a tar, by its first bytes; None if they say nothing else."""
    for magic, (method, command) in _COMPRESSED.items():
        if start.startswith(magic):
            return DataError(
                f"{where} is compressed with {method}, whatever its name, and of a compressed tar nothing "
                f"can be read without all that stands before; decompress it, as {command} does"
            )
    return zipped(where) if start.startswith(b"PK\x03\x04") else None


def zipped(where: Location | str) -> DataError:
    """Of an archive of another kind."""
    return DataError(
        f"{where} is an archive of a kind that is not read; unpack it, dataset.json along with the images, "
        "and give the folder"
    )


def is_folder_here(location: Location) -> bool:
    """Whether this is a folder on this machine; servers are not asked, as some answer with the whole file."""
    return location.local is not None and location.is_dir()


def is_tar(location: Location) -> bool:
    """Whether this is named like a tar file, and no folder."""
    return location.name.lower().endswith(".tar") and not is_folder_here(location)


def check_place(location: Location) -> None:
    """Refuse what is named like an archive that is not read.

    Raises:
        DataError: naming it and what to do.
    """
    archive = location.name.lower().endswith(_ARCHIVES)
    if (archive or is_compressed_tar(location.name)) and not is_folder_here(location):
        raise zipped(location) if archive else compressed(location)


def no_folder(root: Location) -> DataError:
    """Where a folder of images should be."""
    if root.exists():
        return DataError(f"{root} is a file, not a folder; set the source's url to the folder of the images")
    return DataError(f"there is no folder {root}; set the source's url to the folder that holds the images")


def no_images(where: Location | str, names: Iterable[str]) -> DataError:
    """Where there is none that can be read.

    Args:
        where: the folder or archive.
        names: of the files in it that are not hidden.
    """
    hint = "put at least one there"
    for name in names:
        base = PurePosixPath(name).name
        if base.startswith(_LATENTS) and base.endswith(".npy"):
            hint = (
                f"files such as {name} are latents that REPA's preprocessing stored, which are not read: "
                "give the folder of images that they were made from, and store latents with thalweg encode"
            )
            break
        if is_compressed_tar(base) or base.lower().endswith(_ARCHIVES):
            hint = f"unpack archives such as {name}"
            break
        if base.lower().endswith((".parquet", ".arrow", ".tfrecord", ".npy", ".npz", ".h5", ".hdf5")):
            hint = f"of files such as {name} no image is read: store each as a file of its own"
            break
        if base.lower().endswith(_OTHER_IMAGES):
            hint = f"convert images such as {name}"
            break
    return DataError(f"{where} holds no jpg, png or webp image; {hint}")
