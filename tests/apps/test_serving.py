"""A server that strangers may reach: who gets in, by which names, and what it says when it cannot start."""

import json
import socket
import subprocess
import sys

import httpx
import pytest

pytest.importorskip("panel")

from aqqua_science.apps.serving import open_server


@pytest.fixture
def serve(maps):
    """Start `aqqua atlas` with options; gives its address."""
    servers = []

    def start(*options):
        command = [sys.executable, "-m", "aqqua_science", "atlas", str(maps), "--port", "0", "--json", *options]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        servers.append(server)
        told = server.stdout.readline()
        return json.loads(told)["address"] if told else pytest.fail(server.stderr.read())

    yield start
    for server in servers:
        server.terminate()
        server.communicate(timeout=30)


def test_with_login_only_those_in_the_file_see_the_page(serve, tmp_path):
    (tmp_path / "people.json").write_text('{"ada": "difference engine"}')
    with httpx.Client(base_url=serve("--login", str(tmp_path / "people.json")), follow_redirects=True) as browser:
        asked = browser.get("/")
        assert asked.url.path == "/login"
        assert "Sinking flux" not in asked.text
        for password, place in (("wrong", "/login"), ("difference engine", "/")):
            answer = browser.post("/login", data={"username": "ada", "password": password})
            assert answer.url.path == place
        assert browser.get("/").url.path == "/"
        assert httpx.get(browser.base_url.join("/liveness")).status_code == 200


def handshake(address, origin):
    """What a server answers a browser that wants to talk while it shows a page of `origin`."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": origin, "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "bokeh, x"}
    return httpx.get(f"{address}/ws", headers=headers).status_code


def test_other_pages_may_not_talk_to_it_but_by_the_names_it_was_told(serve):
    address = serve("--origin", "atlas.example.org")
    assert handshake(address, "https://evil.example.org") == 403
    assert handshake(address, "https://atlas.example.org") != 403


def test_files_beside_the_maps_are_not_served(serve, maps):
    (maps.parent / "secret.txt").write_text("x")
    address = serve()
    for path in ("/secret.txt", "/%2e%2e/secret.txt", "/static/%2e%2e/%2e%2e/secret.txt", "/flux/result.json"):
        assert httpx.get(address + path).status_code in (400, 403, 404)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read as JSON"),
        ("[1]", "a password for each name"),
        ('{"ada": ""}', "a password for each name"),
    ],
)
def test_a_file_of_names_that_is_none_is_refused(tmp_path, content, message):
    path = tmp_path / "people.json"
    if content:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        open_server(lambda: None, login=path)


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} of 127.0.0.1 cannot be used .* Pass another --port"):
            open_server(lambda: None, port=port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ValueError, match=r"203\.0\.113\.1 cannot be used .* --address of this machine"):
        open_server(lambda: None, address="203.0.113.1")
