"""What went wrong with a storage, in one sentence, and whether trying again may help."""

import re
from collections.abc import Iterator
from typing import Any

import attrs

from thalweg.errors import DataError
from thalweg.storage.redaction import redacted
from thalweg.suggestions import one_line

_BUSY = frozenset([408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529])

# By name, as their packages are optional.
_TRANSIENT = frozenset(
    [
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.HTTPClientError",
        "botocore.exceptions.IncompleteReadError",
        "botocore.exceptions.ResponseStreamingError",
        "botocore.parsers.ResponseParserError",
        "httpx2.TransportError",
        "requests.exceptions.RequestException",
        "urllib3.exceptions.HTTPError",
    ]
)
_CERTIFICATE = frozenset(
    ["aiohttp.client_exceptions.ClientConnectorCertificateError", "botocore.exceptions.SSLError"]
)
_NO_CREDENTIALS = frozenset(
    [
        "botocore.exceptions.NoCredentialsError",
        "botocore.exceptions.PartialCredentialsError",
        "botocore.exceptions.ProfileNotFound",
        "google.auth.exceptions.DefaultCredentialsError",
    ]
)
_HUB = {
    "huggingface_hub.errors.GatedRepoError": (
        "may not be read before its owner has granted access; ask on its page, and set HF_TOKEN"
    ),
    "huggingface_hub.errors.RepositoryNotFoundError": (
        "does not exist, or is private and may not be read; check the name, and set HF_TOKEN to a token that "
        "may read it"
    ),
    "huggingface_hub.errors.RevisionNotFoundError": (
        "does not exist: the repository has no such branch, tag or commit"
    ),
}
"""What errors of the Hub mean, the narrower ones first."""


class MissingError(DataError):
    """A file or folder does not exist."""


class TransientError(Exception):
    """An answer that was cut short or is not the one that was requested: the next may be right."""


@attrs.frozen
class Failure:
    """What an error means.

    Attributes:
        reason: it, as the end of a sentence that begins with the place.
        transient: whether the same request may succeed later.
        kind: what is raised if not.
    """

    reason: str
    transient: bool = False
    kind: type[DataError] = DataError


def classify(error: BaseException) -> Failure:
    """What an error of a storage means."""
    chain = list(_chain(error))
    names = {f"{cls.__module__}.{cls.__qualname__}" for one in chain for cls in type(one).__mro__}
    status = next((found for one in chain if (found := _status(one)) is not None), None)
    if isinstance(error, TransientError):
        return Failure(str(error), transient=True)
    if names & _NO_CREDENTIALS:
        return Failure(
            f"needs credentials ({redacted(one_line(error))}); set them in storage_options or in the "
            "environment, or anon = true for public data"
        )
    if of_hub := next((reason for name, reason in _HUB.items() if name in names), ""):
        return Failure(of_hub, kind=MissingError if of_hub.startswith("does not") else DataError)
    if status == 404 or (status is None and _any(chain, FileNotFoundError)):
        return Failure("does not exist", kind=MissingError)
    if status in (401, 403) or (status is None and _forbidden(chain)):
        answer = f"{status}" if status else "permission denied"
        return Failure(f"may not be accessed ({answer}); check the credentials and what they allow")
    if status is not None:
        code = next((code for one in chain if (code := _code(one))), "")
        return Failure(
            f"the server answered {status}{f' ({redacted(code)})' if code else ''}", transient=status in _BUSY
        )
    if names & _CERTIFICATE:
        return Failure(f"the server's certificate is not accepted ({redacted(one_line(error))})")
    if _any(chain, TimeoutError) or "httpx2.TimeoutException" in names:
        return Failure("the server went silent", transient=True)
    reason = redacted(one_line(error))
    return Failure(reason, transient=_any(chain, ConnectionError) or bool(names & _TRANSIENT))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _any(chain: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(one, kind) for one in chain)


def _forbidden(chain: list[BaseException]) -> bool:
    # gcsfs says it in words.
    return any(isinstance(one, PermissionError) or str(one).startswith("Forbidden: ") for one in chain)


def _status(error: BaseException) -> int | None:
    """The status of an answer: as botocore, aiohttp, gcsfs or httpx keep it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        # aiohttp gives a cut body the code 400, which no server answered.
        named = "code" if type(error).__module__.startswith("gcsfs") else "status"
        found = getattr(error, named, None) or getattr(response, "status_code", None)
    text = str(found)
    return int(text) if re.fullmatch(r"[1-5]\d\d", text) else None


def _code(error: BaseException) -> str:
    response: Any = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    return code if isinstance(code, str) and not code.isdigit() else ""
