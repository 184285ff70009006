"""What keys, tokens and passwords look like: one table for our own logs and for people's texts.

A shape is recognized by form alone; no provider is ever asked whether a key is live, because asking would hand it over.
Every repetition is bounded or possessive, so that no text can make a pattern slow.
"""

from __future__ import annotations

from typing import NamedTuple


class SecretShape(NamedTuple):
    """One kind of secret.

    ``needles`` are literal texts of which a secret of this kind holds at least one (a cheap first look). Group
    ``value``, where the pattern has one, is the secret; else the whole match is.
    """

    name: str
    needles: tuple[str, ...]
    pattern: str


# Order matters where two shapes share a beginning: the narrower one comes first.
SECRET_SHAPES: tuple[SecretShape, ...] = (
    SecretShape("AWS", ("AKIA", "ASIA", "ABIA", "ACCA"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    SecretShape("GITHUB", ("gh", "github_pat_"), r"\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})"),
    SecretShape("GITLAB", ("glpat-",), r"\bglpat-[\w-]{16,255}"),
    SecretShape(
        "SLACK", ("xox", "hooks.slack.com"), r"\bxox[abeoprs]-[\w-]{10,255}|hooks\.slack\.com/services/[\w/]{20,255}"
    ),
    SecretShape("STRIPE", ("k_live_", "k_test_", "whsec_"), r"\b(?:[srp]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,255}"),
    SecretShape("ANTHROPIC", ("sk-ant-",), r"\bsk-ant-[\w-]{16,255}"),
    SecretShape("OPENAI", ("sk-", "rk-", "pk-"), r"\b[srp]k-[\w-]{16,255}"),
    SecretShape("HUGGINGFACE", ("hf_",), r"\bhf_[A-Za-z0-9]{20,255}"),
    SecretShape("GOOGLE", ("AIza", "GOCSPX-"), r"\b(?:AIza[\w-]{30,255}|GOCSPX-[\w-]{20,255})"),
    SecretShape("SENDGRID", ("SG.",), r"\bSG\.[\w-]{16,64}\.[\w-]{16,128}"),
    SecretShape("NPM", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    SecretShape("PYPI", ("pypi-",), r"\bpypi-[\w-]{50,512}"),
    SecretShape("DIGITALOCEAN", ("do",), r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
    SecretShape("TELEGRAM", (":AA",), r"\b\d{8,10}:AA[\w-]{32,34}(?![\w-])"),
    SecretShape("JWT", ("eyJ",), r"(?<![\w-])eyJ[\w-]{8,4096}+\.eyJ[\w-]{4,8192}+\.[\w-]{0,4096}+"),
    SecretShape(
        "PRIVATE_KEY",
        ("PRIVATE KEY",),
        # lines of base64 (also with \\n written out), headers of an encrypted key; the last line may be missing
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----\s{0,8}"
        r"(?:(?:[A-Z][\w-]{0,40}: [^\n]{0,200}|[A-Za-z0-9+/=\\]{16,}+)\s{0,8})*+[A-Za-z0-9+/=\\]{0,64}+"
        r"(?:\s{0,8}-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    SecretShape(
        "AWS_SECRET",
        ("aws", "AWS", "Aws"),
        r"(?i:aws|amazon)[\w. -]{0,20}?(?i:secret|key)[\w. -]{0,20}[\"']?\s{0,3}(?:[:=]|is)\s{0,3}[\"']?"
        r"(?P<value>(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    SecretShape("AZURE", ("AccountKey=",), r"AccountKey=(?P<value>[A-Za-z0-9+/]{40,88}={0,2})"),
)
