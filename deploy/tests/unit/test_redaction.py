from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentr.redaction import REDACTED, SHORTEST, Redactor, redacted

SCRAM = "SCRAM-SHA-256$4096:6cRHzRyr0sIXjnTkCQxSiw==$2hVsnP3cYMHWcOBE4bHzcZ2/sJ4=:Xn3mGQ0i7Y5hDFeiXHC1VUGXEwM="
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.KqK3vRwwy2Gmwn0K2dn5pTpjkYnGmFmxcnfP2k8Oq4E"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("connecting to postgresql://app_rw:hunter2@db:5432/x", "hunter2"),
        ("connecting to redis://:p@ss:w/rd@redis:6379/0", "ss:w"),
        ("FATAL: bad DSN host=db password=hunter2 user=x", "hunter2"),
        ("dsn: password='two words' user=x", "two words"),
        (r"password='it\'s one' rest", "s one"),
        ('{"password": "a\\"b", "x": 1}', 'b"'),
        ('sent {\\"password\\": \\"hunter2\\"}', "hunter2"),
        ("STATEMENT:  ALTER ROLE app_rw PASSWORD 'hunter''2';", "hunter"),
        ("STATEMENT:  alter role app_rw\n\tpassword\n\t'hunter2'", "hunter2"),
        ("STATEMENT:  create user x PASSWORD 'cut off in the midd", "cut off"),
        (f"CONTEXT:  {SCRAM}", SCRAM[22:]),
        ("verifier md5a3556571e93b0d20722ba62be61e8c2d of a role", "a3556571e93b0d20722ba62be61e8c2d"),
        (
            "DETAIL:  Failing row contains (1, $2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234, t).",
            "$2b$12$a",
        ),
        ("DETAIL:  Failing row contains (1, $argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA, t).", "c2FsdA"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("'authorization': 'Bearer abc'", "abc"),
        ("got Bearer 0123456789abcdef0", "0123456789abcdef0"),
        (f"cookie {JWT}; path=/", JWT),
        ("GET /api/files?access_token=abc&x=1", "abc"),
        ("jwt_secret=abcdef", "abcdef"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_blotted_out(line: str, secret: str):
    assert secret in line
    assert secret not in redacted(line)
    assert REDACTED in redacted(line)


@pytest.mark.parametrize(
    "line",
    [
        'FATAL:  password authentication failed for user "app_rw"',
        "invalid token: expected a comma",
        "GET /api/files 200 in 3 ms from http://api:8000/x",
        'LOG:  parameter "password_encryption" changed to "scram-sha-256"',
        "a basic thing, and a bearer of news",
        "user@example.com wrote to https://example.com/a:b",
    ],
)
def test_what_only_speaks_of_secrets_stays(line: str):
    assert redacted(line) == line


@given(secret=st.text(min_size=SHORTEST).filter(str.strip), before=st.text(), after=st.text())
def test_a_known_value_is_found_anywhere_and_as_json_and_urls_write_it(secret: str, before: str, after: str):
    redactor = Redactor([secret])
    assert secret not in redactor.text(before + secret + after) or secret in REDACTED
    assert json.dumps(secret)[1:-1] not in redactor.text(json.dumps(secret)) or secret in REDACTED


def test_of_two_values_the_longer_goes_first():
    assert Redactor(["secret", "secret-and-more"]).text("x secret-and-more x") == f"x {REDACTED} x"


def test_fields_lose_secrets_at_any_depth_and_whatever_is_named_like_one():
    found = Redactor(["hunter2"]).fields(
        {"jwt_secret": "x", "ms": 3, "args": [{"api_key": 17, "url": "see hunter2"}, None], "hunter2": True}
    )
    assert found == {
        "jwt_secret": REDACTED,
        "ms": 3,
        "args": [{"api_key": 17, "url": f"see {REDACTED}"}, None],
        REDACTED: True,
    }


HOSTILE = (
    "://a:",
    "password",
    "password=",
    "password='",
    "token=",
    'token"',
    "authorization:",
    "bearer ",
    "bearer x",
    "eyJ",
    "eyJaaaaaaaaa.",
    "-eyJ",
    "SCRAM-SHA-256$",
    "$argon2id$",
    "$2b$12$",
    "md5",
    "-----BEGIN PRIVATE KEY-----",
    "\\",
    "'",
    '"',
    "password '",
    "password \\",
    'secret\\"',
)


@pytest.mark.parametrize("part", HOSTILE)
def test_a_line_of_a_megabyte_takes_seconds_at_most_whatever_it_repeats(part: str):
    line = "@ ://x password token authorization bearer eyJ private key scram-sha-256$ " + part * (
        1_000_000 // len(part)
    )
    began = time.process_time()
    redacted(line)
    assert time.process_time() - began < 5
