"""The settings in [tool.promptlab] of pyproject.toml: above all, which models are asked.

The profile "claude" exists without being written, and can be overwritten.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from promptlab.errors import DataError, shorten
from promptlab.records import Model, Price

ROLES = ("classifier", "critic")
MODEL_FIELDS = tuple(field.name for field in fields(Model) if field.name != "price")


@dataclass(frozen=True)
class Profile:
    """A classifier, and for optimizations a critic; the name is the folder of their recordings."""

    name: str
    classifier: Model
    critic: Model | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that it names, the classifier first."""
        return (self.classifier, self.critic) if self.critic else (self.classifier,)


CLAUDE = Profile(
    "claude",
    Model("claude-haiku-5-5", max_tokens=2048, effort="low"),  # thinking is part of both
    Model("claude-opus-5-5", max_tokens=16_000),
)
PRICES = ("input", "output", "cache_write", "cache_read")


def read(pyproject: Path, *, live: bool, name: str | None = None) -> Profile:
    """Read the profile to replay, or to use live; `name` overrides the file's choice.

    Raises:
        DataError: for a file, a profile or a field that cannot be used.
    """
    settings = _settings(pyproject)
    chosen = name or settings.get("live" if live else "replay", CLAUDE.name)
    profiles = settings.get("profiles", {})
    if chosen in profiles or chosen == CLAUDE.name:
        profile = _profile(pyproject, chosen, profiles[chosen]) if chosen in profiles else CLAUDE
        prices = _prices(pyproject, settings.get("prices", {}))
        return Profile(profile.name, *(replace(one, price=prices.get(one.name)) for one in profile.models))
    raise DataError(
        f"{pyproject}: no profile {chosen!r}, only {', '.join([*profiles, CLAUDE.name])}. "
        f"Define it under [tool.promptlab.profiles.{chosen}]"
    )


def publishes_texts(pyproject: Path) -> bool:
    """Whether comment, pages and JUnit may show examples and replies; DataError where the file is unclear."""
    given = _settings(pyproject).get("publish_texts", True)
    if not isinstance(given, bool):
        raise DataError(f"{pyproject}: publish_texts is {shorten(given)}, expected true or false")
    return given


def _settings(pyproject: Path) -> Mapping[str, Any]:
    try:
        text = pyproject.read_text(encoding="utf-8") if pyproject.exists() else ""
        settings: Mapping[str, Any] = tomllib.loads(text).get("tool", {}).get("promptlab", {})
    except (OSError, ValueError) as error:
        raise DataError(f"{pyproject}: cannot be read: {error}") from error
    _known(
        f"{pyproject}, [tool.promptlab]", settings, ("replay", "live", "profiles", "prices", "publish_texts")
    )
    return settings


def _profile(pyproject: Path, name: str, table: Mapping[str, Any]) -> Profile:
    where = f"{pyproject}, profile {name!r}"
    _known(where, table, ("base_url", *ROLES))
    models = {}
    for role in ROLES if "critic" in table else ROLES[:1]:
        given: dict[str, Any] = {"base_url": table.get("base_url")} | dict(table.get(role, {}))
        _known(f"{where}, {role}", given, MODEL_FIELDS)
        if "name" not in given:
            raise DataError(f"{where}: {role} has no name, expected {role} = {{ name = '...' }}")
        models[role] = Model(**given)
    return Profile(name, **models)


def _prices(pyproject: Path, tables: Mapping[str, Any]) -> dict[str, Price]:
    """Read the prices of models, by their names."""
    found = {}
    for name, table in tables.items():
        where = f'{pyproject}, [tool.promptlab.prices."{name}"]'
        _known(where, table, PRICES)
        for field in PRICES:
            value = table.get(field, None if field in PRICES[:2] else 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise DataError(
                    f"{where}: {field} is {shorten(table.get(field))}, expected dollars per million tokens"
                )
        found[name] = Price(**table)
    return found


def _known(where: str, table: Mapping[str, Any], expected: tuple[str, ...]) -> None:
    for key in table:
        if key not in expected:
            raise DataError(f"{where}: {shorten(key)} is not known, expected one of {', '.join(expected)}")
