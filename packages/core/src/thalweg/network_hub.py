"""Networks by their names on the Hugging Face Hub."""

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.storage.hub.address import hub_url

if TYPE_CHECKING:
    from typing import Self


class OnTheHub:
    """What a network takes from the Hub and gives to it.

    It is opened and sent by modules that stand above networks, and know the plugins of which they are made:
    they are imported with the first call.
    """

    @classmethod
    def from_pretrained(
        cls, name: str, *, revision: str | None = None, token: str | bool | None = None, **options: Any
    ) -> "Self":
        """The network of a repository, ready to sample: ``thalweg.load("hf://owner/name@revision")``.

        Args:
            name: ``owner/name``.
            revision: a branch, tag or commit; the main branch by default.
            token: of the user; by default the one that the user is logged in with, and False for none.
            options: of :func:`thalweg.load`: ``device``, ``average``, ``network``.

        Raises:
            ConfigError: the name is none, or huggingface_hub is not installed.
            DataError: there is no such network, it may not be read, or it is damaged.
            PluginError: a plugin is missing that it was made with.
        """
        credentials = None if token is None or token is True else {"token": token}
        load = importlib.import_module("thalweg.loading").load
        found: Self = load(hub_url(name, revision), storage_options=credentials, **options)
        return found

    def push_to_hub(self, name: str, *, branch: str | None = None, **options: Any) -> str:
        """Send the network to a repository, which is made if it is missing, in one commit.

        A run is better pushed by ``thalweg push``, with its configuration, metrics and passports.

        Args:
            name: ``owner/name``.
            branch: the main one by default; made if it is missing.
            options: of :func:`thalweg.hub.push`: ``private``, ``license``, ``passports``, ``message``,
                ``token`` and others.

        Returns:
            The address of the commit.

        Raises:
            ConfigError: the name is none, the network needs what a repository cannot hold, or
                huggingface_hub is not installed.
            DataError: nobody is logged in, the token may not write there, or the Hub cannot be reached.
        """
        push = importlib.import_module("thalweg.hub").push_network
        return str(push(self, hub_url(name, branch), **options).page)
