"""What looks like a secret is known by its name or by what is in it; what merely sounds like one is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.workspace.secrets import holds_secret, named_like_secret

A = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0"

NAMES = """
    .env .env.local .env.production .envrc prod.env deploy/.env .netrc _netrc .npmrc .pypirc .pgpass
    .git-credentials .htpasswd id_rsa id_ed25519 id_ecdsa_sk id_rsa.old server.pem tls/server.key SERVER.KEY
    cert.p12 cert.pfx store.jks debug.keystore passwords.kdbx putty.ppk credentials credentials.json
    Credentials.YAML client_secret.json client_secret_12.json service-account.json service_account_prod.json
    secrets.yaml secrets.toml secret.json kubeconfig terraform.tfstate terraform.tfstate.backup prod.tfvars
    .aws/config home/.ssh/config .gnupg/x master.key private.asc krb5.keytab .env.example
"""

HARMLESS = """
    app.py environment.py env.py secrets.py workspace/secrets.py credentials.py test_credentials.rs keys.ts
    keyboard.js id_rsa.pub monkey.md token.go secret_santa.rb docs/secrets.md publickey.txt
    environments/prod.yaml
"""

CONTENTS = [
    "-----BEGIN PRIVATE " + "KEY-----",
    "-----BEGIN RSA PRIVATE " + "KEY-----",
    "-----BEGIN OPENSSH PRIVATE " + "KEY-----",
    "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "IOSFODNN7EXAMPLE",
    "aws_secret_access_key = " + A,
    "AWS_SECRET_ACCESS_KEY=" + A,
    "sk-" + A[:24],
    "sk-ant-" + A,
    "sk-proj-" + A,
    "ghp_" + A[:36],
    "github_pat_" + A,
    "glpat-" + A[:20],
    "xoxb-" + "1" * 24,
    "https://hooks.slack" + ".com/services/T0000000/B0000000/" + A[:24],
    "AIza" + A[:35],
    "sk_live_" + A[:24],
    "SG." + A[:22] + "." + A[:40],
    "npm_" + A[:36],
    "hf_" + A[:34],
    "eyJ" + A[:20] + ".eyJ" + A[:20] + "." + A[:30],
]


@pytest.mark.parametrize("path", NAMES.split())
def test_a_file_is_known_by_its_name(path: str) -> None:
    assert named_like_secret(path)


@pytest.mark.parametrize("path", HARMLESS.split())
def test_code_about_secrets_is_no_secret(path: str) -> None:
    assert not named_like_secret(path)


@pytest.mark.parametrize("text", CONTENTS)
def test_a_key_is_known_wherever_it_stands(text: str) -> None:
    for around in ("{}", "x = '{}'\n", '# a comment\nkey: "{}"\n', "a\r\n{}\r\nb"):
        assert holds_secret(around.format(text).encode())


@pytest.mark.parametrize(
    "text",
    [
        "api_key = os.environ['API_KEY']",
        "the risk-adjusted-return-of-the-portfolio",
        "task-abcdefghijklmnopqrstuvwxyz",
        "AKIA is how such keys begin",
        "-----BEGIN PUBLIC " + "KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "ghp_short",
        "aws_secret_access_key = get_secret()",
        "sha256:" + "0123456789abcdef" * 4,
    ],
)
def test_talk_about_keys_is_no_key(text: str) -> None:
    assert not holds_secret(text.encode())


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(CONTENTS), st.text(max_size=60))
def test_text_around_a_key_on_lines_of_its_own_hides_nothing(before: str, key: str, after: str) -> None:
    assert holds_secret(f"{before}\n{key}\n{after}".encode())


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_can_be_asked(raw: bytes) -> None:
    assert holds_secret(raw) in (True, False)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_name_can_be_asked(path: str) -> None:
    assert named_like_secret(path) in (True, False)
