"""A secret as it may stand in texts: in URLs, in JSON, in TOML, in HTML, in shells, in Python's messages."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus


def forms_of(secret: str) -> set[str]:
    """All forms, the plain one included."""
    data = secret.encode("utf-8", "surrogatepass")
    encoded = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    written = {
        secret,
        secret.lower(),  # of a URL's scheme and host
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        repr("'" + secret)[2:-1],
        repr("'\"" + secret)[4:-1],
        secret.encode(errors="replace").decode(),
        secret.encode("ascii", "backslashreplace").decode(),
        secret.replace("'", "'\"'\"'"),
        secret.replace("|", "\\|"),
        # pathlib leaves one slash of several, and no dot by itself.
        re.sub(r"/(\./|/)+", "/", secret),
    }
    return {
        *written,
        *map(_html, written),
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
        *encoded,
        *(form.rstrip("=") for form in encoded),
    } - {""}


def _html(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")  # as Jinja does
