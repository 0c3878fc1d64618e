"""Sets of images: an ``.npz``, a folder, a tar file."""
