"""Profiles: which models are asked."""

from __future__ import annotations

import pytest

from promptlab.errors import DataError
from promptlab.models import profiles
from promptlab.records import Model

URL = "http://127.0.0.1:9"
TABLE = f"""
[tool.promptlab.profiles.local]
base_url = "{URL}"
classifier = {{ name = "small" }}
"""


def test_a_profile_without_a_critic_has_one_model(tmp_path):
    (tmp_path / "pyproject.toml").write_text(TABLE)
    profile = profiles.read(tmp_path / "pyproject.toml", live=True, name="local")
    assert (Model("small", base_url=URL),) == profile.models
    assert profile.critic is None


def test_a_critic_without_a_name_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text(TABLE + "critic = {}")
    with pytest.raises(DataError, match="profile 'local': critic has no name"):
        profiles.read(tmp_path / "pyproject.toml", live=True, name="local")


def test_a_profile_without_a_classifier_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text(TABLE.replace("classifier", "critic"))
    with pytest.raises(DataError, match="profile 'local': classifier has no name"):
        profiles.read(tmp_path / "pyproject.toml", live=True, name="local")
