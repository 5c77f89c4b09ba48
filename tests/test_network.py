from __future__ import annotations

import _socket
import asyncio
import gc
import socket
import sys
import threading
import urllib.request

import pytest

from promptlab.errors import NetworkBlocked
from promptlab.network import is_loopback, not_even_to, only_loopback, only_to

from .server import serving

FAR = ("192.0.2.1", 9)  # an address that no machine may have (RFC 5737)


WAYS_OUT = {
    "connection": lambda: socket.create_connection(FAR, timeout=1),
    "connection by name": lambda: socket.create_connection(("example.invalid", 9), timeout=1),
    "look-up": lambda: socket.getaddrinfo("example.invalid", 80),
    "reverse look-up": lambda: socket.gethostbyaddr(FAR[0]),
    "another reverse look-up": lambda: socket.getnameinfo(FAR, 0),
    "old look-up": lambda: socket.gethostbyname("example.invalid"),
    "connect_ex": lambda: socket.socket().connect_ex(FAR),
    "the C module": lambda: _socket.socket().connect(FAR),
    "datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", FAR),
    "message": lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, FAR),
    "IPv6": lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 9, 0, 0)),
    "urllib": lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=1),
    "asyncio": lambda: asyncio.run(asyncio.open_connection(*FAR)),
}


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", WAYS_OUT)
def test_no_way_out_beyond_loopback(way):
    with (
        only_loopback("this test"),
        pytest.raises(NetworkBlocked, match=r"test_network.py::test_.+ tried to reach"),
    ):
        WAYS_OUT[way]()


@pytest.mark.filterwarnings("ignore:unclosed")
def test_threads_are_held_too():
    caught = []

    def go_out():
        try:
            socket.create_connection(FAR, timeout=1)
        except NetworkBlocked as error:
            caught.append(error)

    with only_loopback("this test"):
        thread = threading.Thread(target=go_out)
        thread.start()
        thread.join()
    assert len(caught) == 1
    caught.clear()
    gc.collect()


def test_loopback_stays_open():
    with only_loopback("this test"), serving(lambda body: "") as server:
        port = int(server.url.rpartition(":")[2])
        for host in ("localhost", "127.0.0.1"):
            with socket.create_connection((host, port)) as sock:
                assert ("127.0.0.1", port) == sock.getpeername()


def test_a_port_of_loopback_can_be_closed():
    with serving(lambda body: "") as server:
        port = int(server.url.rpartition(":")[2])
        with only_loopback("this test", closed_ports=frozenset([port])):
            with socket.socket() as sock, pytest.raises(NetworkBlocked, match=f"127.0.0.1:{port}"):
                sock.connect(("127.0.0.1", port))
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_named_host_may_be_reached():
    """The interpreter's event is raised by hand, since nobody is at that address."""
    with only_loopback("this test", hosts=frozenset([FAR[0]])):
        assert sys.audit("socket.sendto", None, FAR) is None
        with pytest.raises(NetworkBlocked, match=r"192\.0\.2\.2:9"):
            sys.audit("socket.sendto", None, ("192.0.2.2", 9))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_these_are_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "api.anthropic.com", "localhost.example.com", "::2"])
def test_these_are_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_proxy_on_loopback_leads_beyond_it_and_is_closed_on_replay(monkeypatch):
    with serving(lambda body: "x") as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
        port = int(server.url.rpartition(":")[2])
        with not_even_to("this test", []), pytest.raises(NetworkBlocked):
            socket.create_connection(("127.0.0.1", port))
        with only_loopback("this test"), pytest.raises(NetworkBlocked):
            socket.create_connection(("127.0.0.1", port))
        with only_to("this test", []):
            socket.create_connection(("127.0.0.1", port)).close()
