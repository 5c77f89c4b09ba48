"""What must never reach a file: credentials in use, and text with the shape of one.

A credential in use is what the request itself was sent with, and what the environment and the SDK's
profile files hold. It is searched for as it is, percent-encoded, in hexadecimal and in base64.
"""

import base64
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SHORTEST = 8  # characters; anything shorter is found in innocent text
LONG = 16  # characters of a part of a path that may be a credential

DIGIT = r"(?=[A-Za-z_.-]{0,100}[0-9])"  # follows, so that hyphened-words-are-not-taken-for-keys
#: Keys as their issuers write them: the prefixes that vendors publish, as of November 2026, and what follows.
VENDORS: dict[str, tuple[tuple[str, ...], str]] = {
    "Anthropic, OpenAI and others": (("sk-",), DIGIT + r"[A-Za-z0-9_-]{20,}"),
    "GitHub": (("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"[A-Za-z0-9_]{30,}"),
    "GitLab": (
        ("glpat-", "gloas-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-"),
        DIGIT + r"[A-Za-z0-9_.-]{20,}",
    ),
    "Slack": (
        ("xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
        DIGIT + r"[A-Za-z0-9.-]{10,}",
    ),
    "AWS": (("AKIA", "ASIA", "ABIA", "ACCA"), r"[A-Z0-9]{16}"),
    "Google": (("AIza", "GOCSPX-", "ya29.", "1//0"), r"[A-Za-z0-9_.-]{20,}"),
    "Stripe": (
        ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "whsec_"),
        r"[A-Za-z0-9+/=]{16,}",
    ),
    "SendGrid": (("SG.",), r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}"),
    "npm": (("npm_",), r"[A-Za-z0-9]{30,}"),
    "PyPI": (("pypi-",), DIGIT + r"[A-Za-z0-9_-]{30,}"),
    "Hugging Face": (("hf_", "api_org_"), r"[A-Za-z0-9]{30,}"),
    "xAI": (("xai-",), DIGIT + r"[A-Za-z0-9_-]{20,}"),
    "Groq": (("gsk_",), r"[A-Za-z0-9]{30,}"),
    "Replicate": (("r8_",), r"[A-Za-z0-9]{30,}"),
    "DigitalOcean": (("dop_v1_", "doo_v1_", "dor_v1_"), r"[a-f0-9]{40,}"),
    "Databricks": (("dapi",), r"[a-f0-9]{32}(?:-[0-9])?"),
    "HashiCorp Vault": (("hvs.", "hvb.", "hvr."), r"[A-Za-z0-9_-]{20,}"),
    "Shopify": (("shpat_", "shpca_", "shppa_", "shpss_"), r"[A-Fa-f0-9]{32}"),
    "Linear": (("lin_api_", "lin_oauth_"), r"[A-Za-z0-9]{30,}"),
    "New Relic": (("NRAA-", "NRAK-", "NRII-", "NRJS-", "NRRA-", "NRSP-"), r"[A-Za-z0-9]{19,}"),
    "LangSmith": (("lsv2_pt_", "lsv2_sk_"), r"[A-Za-z0-9_]{32,}"),
    "age": (("AGE-SECRET-KEY-1",), r"[A-Z0-9]{40,}"),
    "JSON web tokens": (("eyJ",), r"[A-Za-z0-9_-]{10,999}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "PEM and PGP, with or without headers and end": (
        ("-----BEGIN ",),
        r"[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?:[^-]|-(?!----)){0,20000}"
        r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\\\s]*)",
    ),
    "HTTP headers": (
        ("Bearer", "bearer", "BEARER", "Basic", "basic", "BASIC"),
        r"\s+(?=[^\s0-9]*[0-9])[A-Za-z0-9+/=._~-]{20,}",
    ),
}
PREFIXES = (*(prefix for prefixes, _ in VENDORS.values() for prefix in prefixes), "://")
#: The same by a character that each holds, if it holds any of these: few texts have all of them.
BY_MARK = {
    mark: tuple(one for one in PREFIXES if next((c for c in "-_./" if c in one), "") == mark)
    for mark in ("-", "_", ".", "/", "")
}

#: Where one begins: not within a word, but behind an escape, whose letter is none, as in a repr or in JSON.
START = r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
OF_URL = r"(?<=://)[^\s/@:\"'<>\\]{0,200}:[^\s/@\"'<>\\]{1,200}(?=@)"  # user and password
_EACH = (f"(?:{'|'.join(map(re.escape, prefixes))}){rest}" for prefixes, rest in VENDORS.values())
SHAPES = re.compile(f"{START}(?:{'|'.join(_EACH)})|{OF_URL}")

#: Request headers that say nothing secret; each other one may be a credential.
HARMLESS = re.compile(
    r"accept|accept-encoding|connection|content-length|content-type|host|user-agent|transfer-encoding"
    r"|anthropic-version|anthropic-beta|idempotency-key|x-stainless-.*",
    re.IGNORECASE,
)
SECRET_NAME = re.compile(
    r"key|token|secret|password|credential|assertion|authorization|cookie", re.IGNORECASE
)
#: Variables of other tools that hold a credential: OPENAI_API_KEY, HF_TOKEN, DB_PASSWORD.
ENDS_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|SECRET(?:_KEY)?|ACCESS_KEY|TOKEN|PASSWORD|PASSWD)$", re.IGNORECASE
)


def masked(text: str) -> str:
    """Replace everything that has the shape of a key.

    Two keys get two replacements, so that texts that differ in nothing else stay different. The text is one
    that people wrote: within JSON, HTML or Markdown, an escape may stand where a key begins.
    """
    return SHAPES.sub(_mask, text) if _may_hold_key(text) else text


def _may_hold_key(text: str) -> bool:
    """Say whether any prefix is in a text: nearly never, and found out much faster than by the pattern."""
    for mark, prefixes in BY_MARK.items():
        if mark in text:
            for prefix in prefixes:
                if prefix in text:
                    return True
    return False


def screened(value: Any) -> Any:
    """Mask each string of a JSON value, names included: before it is written in whatever form."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {screened(name): screened(field) for name, field in value.items()}
    return [screened(item) for item in value] if isinstance(value, list | tuple) else value


MASKED = re.compile(r"\[masked [0-9a-f]{8}\]")  # what stands in place of a key


def _mask(found: re.Match[str]) -> str:
    return f"[masked {hashlib.blake2b(found[0].encode('utf-8', 'replace'), digest_size=4).hexdigest()}]"


def places(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield each string of a JSON value and its place ("request.messages[0].content")."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, field in value.items():
            yield from places(name, f"a name in {path}")
            yield from places(field, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, f"{path}[{number}]")


def credential_in(
    value: Any, path: str, headers: Mapping[str, str], others: Iterable[tuple[str, str]]
) -> tuple[str, str] | None:
    """Find a credential in a JSON value: one that a request was sent with, or another.

    Returns where it is and whose, never the credential itself; None where there is none.
    """
    texts = list(places(value, path))
    whole = "\n".join(text for _, text in texts)  # one search through all of it is nearly always enough
    for name, secret in (*others, *_sent(headers)):
        forms = [form for form in _forms(secret) if form in whole] if len(secret) >= SHORTEST else ()
        for place, text in texts if forms else ():
            if any(form in text for form in forms):
                return place, name
    return None


def _sent(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if not HARMLESS.fullmatch(name):
            yield f"the request's header {name!r}", str(value).removeprefix("Bearer ").strip()


def in_url(url: str) -> Iterator[str]:
    """Yield what of a URL may be a credential: user, password, and parts of its path with a digit."""
    parts = urlsplit(url)
    yield from (unquote(one) for one in (parts.username, parts.password) if one)
    yield from (unquote(one) for one in parts.path.split("/") if len(one) >= LONG and re.search("[0-9]", one))


def kept() -> tuple[tuple[str, str], ...]:
    """Return the credentials of the environment and of the SDK's profiles, each behind where it is from."""
    names = ("ANTHROPIC_", "CLAUDE_")
    found = {name: value for name, value in os.environ.items() if name.startswith(names)}
    known = [(name, value) for name, value in found.items() if SECRET_NAME.search(name)]
    known += [(name, part) for name, value in found.items() if "://" in value for part in in_url(value)]
    others = ((name, value) for name, value in os.environ.items() if name not in found)
    known += [(name, value) for name, value in others if ENDS_SECRET.search(name) and not _a_word(value)]
    for one in found.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines():
        name, _, value = one.partition(":")
        if not HARMLESS.fullmatch(name.strip()):
            known.append((f"header {name.strip()!r} of ANTHROPIC_CUSTOM_HEADERS", value.strip()))
    folder = Path(found.get("ANTHROPIC_CONFIG_DIR", "~/.config/anthropic")).expanduser()
    files = [*folder.glob("**/*.json"), *(Path(found[name]) for name in found if name.endswith("_FILE"))]
    return (*known, *(pair for path in files for pair in _in_file(path)))


def _a_word(value: str) -> bool:
    """Say whether a value may be an ordinary word, as in POSTGRES_PASSWORD=postgres."""
    return value.isalpha() and len(value) < 16 and value.casefold() == value


def _in_file(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ()
    try:
        fields = list(places(json.loads(text), "file"))
    except ValueError:
        return ((str(path), text.strip()),)
    return tuple((str(path), value) for name, value in fields if SECRET_NAME.search(name))


@functools.lru_cache(maxsize=256)
def _forms(secret: str) -> frozenset[str]:
    """Return the forms in which a secret may occur in a text."""
    raw = secret.encode()
    forms = {secret, quote(secret, safe=""), raw.hex(), raw.hex().upper()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):  # its offset among other bytes; the first and last characters mix
            inner = encode(b"\0" * shift + raw).decode().rstrip("=")
            forms.add(inner[4 if shift else 0 : len(inner) - 1])
    forms |= {json.dumps(form)[1:-1] for form in (secret, repr(secret)[1:-1])}
    return frozenset(form for form in forms if len(form) >= SHORTEST)
