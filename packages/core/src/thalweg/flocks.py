"""The kernel's locks of open files: taken, held by another process, or not known to the file system.

All else that locks goes through here, so that the three are distinguished everywhere. NFS without its lock
daemon answers ENOLCK, Lustre that is mounted without ``flock`` ENOSYS, some of FUSE ENOTSUP or EINVAL.
"""

import errno
import fcntl

_HELD = frozenset([errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES])
_UNKNOWN = frozenset([errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL])


class NoLocksError(OSError):
    """The file system knows no locks."""


def take(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file, or change how it is locked.

    Args:
        descriptor: of the file; open for writing, which NFS asks of a lock that is not shared.
        shared: together with others who share it.
        wait: until it is free.

    Returns:
        Whether it is locked; otherwise another process has it.

    Raises:
        NoLocksError: the file system knows no locks.
        OSError: something else went wrong.
    """
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _UNKNOWN:
            raise NoLocksError(error.errno, error.strerror) from error
        raise
    return True


def free(descriptor: int) -> None:
    """Unlock it now, rather than when the last copy of the descriptor is closed."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
