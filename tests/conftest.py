"""The whole suite runs with the network beyond loopback closed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from promptlab import network

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

# The first example of a property imports scikit-learn or the SDK, which no deadline allows for.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def closed_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse every connection beyond loopback."""
    with network.only_loopback(request.node.nodeid):
        yield


@pytest.fixture(autouse=True, scope="session")
def plain_environment() -> Iterator[None]:
    """Hide the keys and addresses of whoever runs the tests, and coverage from nested sessions."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "COVERAGE_"))]:
            patch.delenv(name)
        yield
