import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.storage import redacted, register_secrets, register_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/key.tar", "s3://bucket/key.tar"),
        ("/data/a?b=c", "/data/a?b=c"),
        ("a@b.c wrote to ada:byron@x", "a@b.c wrote to ada:byron@x"),
        ("s3://AK:SK@bucket/key", "s3://***@bucket/key"),
        ("s3://AK:S/K@bucket/key", "s3://***@bucket/key"),
        ("https://ada@host/x", "https://***@host/x"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("https://h/x?sig=a%2Fb&v=1#part", "https://h/x?sig=***&v=***"),
        ("https://h/x?bare", "https://h/x?***"),
        ("https://h/x#access_token=1", "https://h/x#access_token=***"),
        ("s3://bucket/x#1.png", "s3://bucket/x#1.png"),
        ('{"url": "https://u:p@h/?a=1", "n": 2}', '{"url": "https://***@h/?a=***", "n": 2}'),
        ("from gs://a:b@c to https://h/?d=e now", "from gs://***@c to https://h/?d=*** now"),
        ("s3://***@bucket/x?a=***", "s3://***@bucket/x?a=***"),
    ],
)
def test_urls_lose_user_info_and_query_values(text, shown):
    assert redacted(text) == shown


SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=6, max_size=40)
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(SECRETS, WORDS, WORDS)
def test_a_registered_secret_goes_in_every_form(secret, before, after):
    register_secrets({"key": secret})
    for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret), repr(secret)):
        shown = redacted(before + form + after)
        assert secret not in shown
        assert quote(secret, safe="") not in shown


@given(
    st.text(min_size=1, max_size=20).map(lambda text: "@@" + text),
    st.text(min_size=1, max_size=20).map(lambda text: "//" + text),
    st.text(min_size=1, max_size=20).map(lambda text: "==" + text),
)
def test_a_url_is_masked_without_anything_registered(user, password, value):
    user, password, value = (
        quote(one.encode("utf-8", "replace"), safe="") for one in (user, password, value)
    )
    shown = redacted(f"cannot open 'https://{user}:{password}@host/place?sig={value}&v={value}' now")
    assert shown == "cannot open 'https://***@host/place?sig=***&v=***' now"


@given(st.text(max_size=60))
def test_redaction_is_idempotent(text):
    register_secrets({"key": "abcdef", "other": "defghi"})
    assert redacted(redacted(text)) == redacted(text)


def test_nested_options_are_secrets_and_harmless_ones_are_not():
    register_secrets(
        {
            "key": "AKIAXXXX",
            "client_kwargs": {"region_name": "us-east-1", "extra": ["nested-secret-1"]},
            "endpoint_url": "http://ada:lovelace@minio:9000",
            "headers": {"Authorization": "Bearer tokentoken", "Accept": "text/plain"},
            "token": "google_default",
            "anon": False,
            "short": "abc",
            "acl": "bucket-owner-full-control",
            "default_block_size": 5242880,
            "password": "sesame",
        }
    )
    text = (
        "AKIAXXXX us-east-1 nested-secret-1 minio:9000 lovelace tokentoken text/plain google_default abc "
        "bucket-owner-full-control 5242880 sesame"
    )
    assert redacted(text) == (
        "*** us-east-1 *** minio:9000 *** *** text/plain google_default abc "
        "bucket-owner-full-control 5242880 ***"
    )


def test_a_secret_within_another_leaves_no_rest():
    register_secrets({"key": "secret", "token": "secret-and-more"})
    assert redacted("secret-and-more, secret") == "***, ***"


def test_parts_of_urls_that_look_secret_are_known_beyond_the_url():
    register_url("https://ada:love%20lace@host/x?sig=abcdef123&page=images&blob=0123456789abcdef")
    assert redacted("love lace abcdef123 images 0123456789abcdef host") == "*** *** images *** host"
