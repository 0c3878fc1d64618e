"""A branch of a repository on the Hub that is written to."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.storage.failures import classify
from thalweg.storage.hub.address import MAIN, HubAddress, hub_address
from thalweg.storage.hub.client import Token, client, package
from thalweg.storage.retrying import cause_of, told

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

_COMMIT = re.compile(r"[0-9a-f]{40}")


@attrs.frozen
class Pushed:
    """What was sent, or would be.

    Attributes:
        url: of the repository, as ``hf://owner/name@branch``.
        page: the address for browsers; empty if nothing was sent.
        commit: its SHA-1; empty if nothing was sent.
        created: whether the repository was made for it.
        files: bytes of each file by its path.
        removed: what a former push had put there, and what is no longer true of this one.
    """

    url: str
    page: str
    commit: str
    created: bool
    files: Mapping[str, int]
    removed: tuple[str, ...] = ()


def target_of(url: str) -> HubAddress:
    """The repository and branch that a URL names.

    Raises:
        ConfigError: it names none to which a network can be pushed.
    """
    if not url.startswith("hf://"):
        raise ConfigError(
            f"{url!r} is no repository of the Hub; write hf://owner/name, or hf://owner/name@branch"
        )
    there = hub_address(url.rstrip("/"))
    if there.kind != "model" or there.path:
        raise ConfigError(
            f"{there} is no repository of a model; write hf://owner/name, or hf://owner/name@branch with %2F "
            "for a slash in the branch's name"
        )
    branch = there.revision or MAIN
    if _COMMIT.fullmatch(branch) or branch.startswith("refs/"):
        raise ConfigError(
            f"{there} is no branch, and only to a branch can be pushed; name one, such as @{MAIN}"
        )
    return there.at(branch)


class Target:
    """A branch, as it is found; what is missing of it is made by :meth:`prepare`.

    Args:
        address: with its branch.
        token: of the user; by default the one that the user is logged in with.

    Raises:
        ConfigError: huggingface_hub is not installed.
        DataError: nobody is logged in, or the token is not accepted; requests are ruled out; or the branch is
            a tag.
    """

    def __init__(self, address: HubAddress, token: Token = None) -> None:
        self._address, self._branch = address, address.revision or MAIN
        self._api: HfApi = client(token)
        self._name = str(address)
        self.account = str(self._asked(self._api.whoami).get("name", ""))
        info = self._found()
        self.exists = info is not None
        self.private = bool(info.private) if info is not None else False
        self._head = self._checked_branch() if self.exists else ""

    @property
    def files(self) -> list[str]:
        """What is in the branch, or in the main one if the branch is yet to be made."""
        if not self.exists:
            return []
        at = self._head or MAIN
        return self._asked(lambda: self._api.list_repo_files(self._address.name, revision=at))

    def prepare(self, *, private: bool) -> None:
        """Make repository and branch, if they are not there.

        Raises:
            DataError: the token may not.
            ConfigError: the repository is to be private, and is there and public.
        """
        name = self._address.name
        if self.exists and private and not self.private:
            raise ConfigError(
                f"hf://{name} exists and is public; leave out --private, or make it private there"
            )
        if not self.exists:
            self._asked(lambda: self._api.create_repo(name, private=private or None))
        if not self._head:
            if self._branch != MAIN:
                self._asked(lambda: self._api.create_branch(name, branch=self._branch, exist_ok=True))
            self._head = self._checked_branch()

    def commit(
        self, files: Mapping[str, bytes | Path], removed: tuple[str, ...], message: str
    ) -> tuple[str, str]:
        """Send all of it as one commit: it is there as a whole, or nothing of it is.

        Returns:
            The commit, and its page; the commit before if nothing has changed.

        Raises:
            DataError: it could not be sent, or the branch has moved meanwhile.
        """
        hub = package()
        operations = [
            *(hub.CommitOperationAdd(name, _source(content)) for name, content in files.items()),
            *(hub.CommitOperationDelete(name, is_folder=False) for name in removed),
        ]
        made: Any = self._asked(
            lambda: self._api.create_commit(
                self._address.name,
                operations,
                commit_message=message,
                revision=self._branch,
                parent_commit=self._head or None,
            )
        )
        return str(made.oid), str(made.commit_url)

    def _found(self) -> Any:
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return self._asked(lambda: self._api.repo_info(self._address.name), RepositoryNotFoundError)
        except RepositoryNotFoundError:
            return None

    def _checked_branch(self) -> str:
        """The commit of the branch; empty if there is no such branch."""
        refs = self._asked(lambda: self._api.list_repo_refs(self._address.name))
        if any(one.name == self._branch for one in refs.tags):
            raise DataError(f"{self._name} is a tag, which stays where it is; name a branch")
        return next((one.target_commit for one in refs.branches if one.name == self._branch), "")

    def _asked(self, call: Callable[[], T], *through: type[Exception]) -> T:
        try:
            return call()
        except Exception as error:
            if isinstance(error, (ThalwegError, *through)):
                raise
            failure = error
        raise _fault(self._name, self._address.name, failure) from cause_of(failure)


def _source(content: bytes | Path) -> Any:
    return content if isinstance(content, bytes) else str(content)


def _fault(name: str, repository: str, error: Exception) -> ThalwegError:
    """What went wrong, and what to do."""
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # huggingface_hub puts its own around what a thread of it meets
    if type(error).__name__ == "LocalTokenNotFoundError":
        return DataError(
            "nobody is logged in to the Hub; set HF_TOKEN to a token that may write, or run 'hf auth login'"
        )
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        return DataError(
            "the Hub does not accept the token (401); set HF_TOKEN to a valid one, or run 'hf auth login'"
        )
    if status == 403:
        return DataError(
            f"the token may not write to {repository} (403); take one with permission to write there, or "
            "push to an owner that is yours"
        )
    if status in (409, 412):
        return DataError(f"{name} was changed by somebody else meanwhile; look at it, and push again")
    return told(name, classify(error), "; nothing of it was committed")
