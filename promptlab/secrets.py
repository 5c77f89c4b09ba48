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
from urllib.parse import quote

SHORTEST = 8  # characters; anything shorter is found in innocent text

#: Keys as their issuers write them: Anthropic, OpenAI and others, GitHub, Slack, AWS, Google, JWT, PEM.
SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|AIza[A-Za-z0-9_-]{30,}"
    r"|hf_[A-Za-z0-9]{30,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\\nr\s]*(?:-----END [A-Z ]*PRIVATE KEY-----)?)"
)

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
    """Replace everything that has the shape of a key; a JSON document stays one.

    Two keys get two replacements, so that texts that differ in nothing else stay different.
    """
    return SHAPES.sub(_mask, text)


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


def kept() -> tuple[tuple[str, str], ...]:
    """Return the credentials of the environment and of the SDK's profiles, each behind where it is from."""
    names = ("ANTHROPIC_", "CLAUDE_")
    found = {name: value for name, value in os.environ.items() if name.startswith(names)}
    known = [(name, value) for name, value in found.items() if SECRET_NAME.search(name)]
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
