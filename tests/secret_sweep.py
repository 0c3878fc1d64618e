"""Looking for a secret where it must not be."""

import base64
from pathlib import Path
from urllib.parse import quote, quote_plus


def forms_of(secret):
    """The secret as bytes: plain, quoted for URLs, and in base64, whatever stands before it."""
    plain = secret.encode()
    forms = {plain, quote(secret).encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + plain)
        # The first and last letters depend on what stands around it.
        inner = encoded[(0, 2, 3)[lead] : len(encoded) // 4 * 4 - 4]
        if len(inner) >= 6:
            forms |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return forms


def assert_absent(secret, *folders, texts=()):
    """No file below the folders, no file name and no text holds the secret in any form."""
    forms = forms_of(secret)
    for folder in map(Path, folders):
        assert folder.exists(), folder
        for path in [folder, *sorted(folder.rglob("*"))]:
            hits = [form for form in forms if form in str(path.relative_to(folder.parent)).encode()]
            assert not hits, f"the name {path} holds it"
            if path.is_file():
                content = path.read_bytes()
                assert not any(form in content for form in forms), f"{path} holds it"
    for number, text in enumerate(texts):
        data = text if isinstance(text, bytes) else str(text).encode()
        assert not any(form in data for form in forms), f"text {number} holds it"
