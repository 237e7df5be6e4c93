"""What looks like a secret: by the name of a file, which is then not even opened, and by what is in it."""

from __future__ import annotations

import re

_NAMES = re.compile(
    r"\.env(rc|[._-].*)?|.*\.env|\.?secrets?(\.(json|ya?ml|toml|ini|txt|env|properties|enc))?|\.netrc|_netrc|\.npmrc|\.pypirc"
    r"|\.pgpass|\.my\.cnf|\.htpasswd|\.dockercfg|\.dockerconfigjson|\.git-credentials|\.boto|\.s3cfg|\.vault-token"
    r"|\.?credentials?(\.(json|ya?ml|toml|ini|txt|csv|db|xml))?|application_default_credentials\.json"
    r"|client_secrets?.*\.json|service[_-]?account.*\.json|kubeconfig|.*\.kubeconfig|master\.key|terraform\.tfstate.*"
    r"|.*\.tfstate|.*\.tfvars|id_(rsa|dsa|ecdsa|ed25519)(_sk)?([._-].*)?|.*_rsa|.*_ed25519|known_hosts|authorized_keys"
    r"|.*\.(pem|key|p12|pfx|p8|pkcs12|jks|jceks|keystore|kdb|kdbx|ppk|asc|gpg|pgp|ovpn|mobileprovision|keytab)",
    re.IGNORECASE | re.DOTALL,
)
_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".gcloud", ".kube", ".password-store", ".secrets"})

_CONTENT = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    rb"|\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"
    rb"|\bsk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}"
    rb"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[A-Za-z0-9_-]{20,}"
    rb"|\bxox[abeprs]-[A-Za-z0-9-]{20,}|\bxapp-[0-9]-[A-Za-z0-9-]{20,}|hooks\.slack\.com/services/T[A-Za-z0-9/]{20,}"
    rb"|\bAIza[A-Za-z0-9_-]{35}\b|\bya29\.[A-Za-z0-9_-]{30,}"
    rb"|\b[rs]k_live_[A-Za-z0-9]{20,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}"
    rb"|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[A-Za-z0-9_-]{50,}|\bhf_[A-Za-z0-9]{30,}\b|\bdop_v1_[a-f0-9]{64}\b"
    rb"|\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"
    rb"|\bAccountKey=[A-Za-z0-9+/=]{60,}"
    rb"|(?i:aws_secret_access_key)[\"']?\s{0,4}[=:]\s{0,4}[\"']?[A-Za-z0-9/+]{40}\b"
)

_MARKS = (
    b"PRIVATE KEY", b"AKIA", b"ASIA", b"ABIA", b"ACCA", b"sk-", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_",
    b"github_pat_", b"glpat-", b"xox", b"xapp-", b"hooks.slack.com", b"AIza", b"ya29.", b"k_live_", b"SG.", b"npm_",
    b"pypi-", b"hf_", b"dop_v1_", b"eyJ", b"AccountKey=", b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY",
)  # fmt: skip
"""What every secret above holds: looked for first, since the pattern takes ten times as long."""


def named_like_secret(path: str) -> bool:
    """Tells by its name whether a file is likely to hold a secret.

    Args:
        path: With slashes, inside the workspace.
    """
    *folders, name = path.split("/")
    if any(folder.lower() in _FOLDERS for folder in folders):
        return True
    return _NAMES.fullmatch(name) is not None and not name.endswith(".pub")


def holds_secret(raw: bytes) -> bool:
    """Tells whether something in a text looks like a key, a token or a password of a known kind.

    Args:
        raw: All of it.
    """
    return any(mark in raw for mark in _MARKS) and _CONTENT.search(raw) is not None
