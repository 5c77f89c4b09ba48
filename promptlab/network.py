"""Which connections may be opened while `lab` works.

The check is an audit hook of the interpreter: it sees every socket that Python opens, in every thread
and every library, and no library can bypass it. It does not see sockets that C libraries open for
themselves, nor other processes.
"""

import contextlib
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies

from promptlab.errors import NetworkBlocked

LOOPBACK_NAMES = ("", "localhost", "localhost.localdomain", "ip6-localhost")


@dataclass
class _Rule:
    who: str  # what is at work, for the error, where pytest names no test
    hosts: frozenset[str]  # names beyond loopback that may be reached
    closed_ports: frozenset[int]  # ports of loopback that may not
    addresses: set[str] = field(default_factory=set)  # what `hosts` have resolved to so far


_rule: _Rule | None = None
_hooked = False
_resolving = threading.local()


@contextlib.contextmanager
def only_loopback(
    who: str,
    *,
    hosts: frozenset[str] = frozenset(),
    closed_ports: frozenset[int] = frozenset(),
    proxies: bool = False,
) -> Iterator[None]:
    """Refuse every connection beyond loopback and `hosts`, and to `closed_ports` of loopback.

    A proxy on loopback leads beyond it, so those that the environment names are refused, unless `proxies`.
    NetworkBlocked is raised in whoever tries, naming the address, and the test or else `who`.
    """
    global _rule, _hooked
    if not _hooked:  # a hook cannot be removed, so there is one, and it is idle without a rule
        sys.addaudithook(_audit)
        _hooked = True
    through = () if proxies else getproxies().values()
    before, _rule = _rule, _Rule(who, hosts, closed_ports | _ports(through))
    try:
        yield
    finally:
        _rule = before


def only_to(who: str, urls: Iterable[str]) -> AbstractContextManager[None]:
    """Refuse every connection beyond loopback but those to these servers and to the proxies in use."""
    hosts = (urlsplit(url).hostname for url in (*urls, *getproxies().values()))
    return only_loopback(who, hosts=frozenset(filter(None, hosts)), proxies=True)


def not_even_to(who: str, urls: Iterable[str]) -> AbstractContextManager[None]:
    """Refuse every connection beyond loopback, and to these servers where they are on loopback."""
    return only_loopback(who, closed_ports=_ports(urls))


def _ports(urls: Iterable[str]) -> frozenset[int]:
    """Return the ports of the servers that are on loopback."""
    servers = [urlsplit(url if "://" in url else f"http://{url}") for url in urls]
    return frozenset(one.port for one in servers if one.port and is_loopback(one.hostname or ""))


def is_loopback(host: str) -> bool:
    """Say whether a host name or address is this machine; nothing is looked up."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _rule is None or not event.startswith("socket."):
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        _check_name(_rule, args[0])
    elif event == "socket.getnameinfo":
        _check_address(_rule, (*args[0][:1], None) if isinstance(args[0], tuple) else args[0])
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        _check_address(_rule, args[1])


def _check_name(rule: _Rule, host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or (isinstance(name, str) and is_loopback(name)):
        return
    if name not in rule.hosts and name not in rule.addresses:
        raise _blocked(rule, str(name))
    if not getattr(_resolving, "now", False):
        _resolving.now = True
        with contextlib.suppress(OSError):
            rule.addresses.update(str(info[4][0]) for info in socket.getaddrinfo(str(name), None))
        _resolving.now = False


def _check_address(rule: _Rule, address: object) -> None:
    if not isinstance(address, tuple):  # a Unix socket, or a connected datagram socket
        return
    host, port = str(address[0]), address[1]
    if is_loopback(host) and port not in rule.closed_ports:
        return
    if host not in rule.hosts and host not in rule.addresses:
        raise _blocked(rule, f"{host}:{port}")


def _blocked(rule: _Rule, address: str) -> NetworkBlocked:
    who = os.environ.get("PYTEST_CURRENT_TEST", rule.who).rsplit(" (", 1)[0]
    return NetworkBlocked(
        f"{who} tried to reach {address}. Recorded calls are being replayed, so only loopback is "
        f"allowed. Record with pytest --live, from Python with live='changed'; or connect before."
    )
