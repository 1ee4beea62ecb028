"""The server behind the live page, spoken to by hand."""

import http.client
import json
import socket
import threading

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.viewer.server import MAX_REQUEST, Handler, ViewerServer

WALK = {"prompt": "a person walks", "seconds": 2.0, "seed": 5}


def motion(prompt, seconds, seed):
    if prompt == "":
        raise LampError("the prompt is empty; give words")
    if prompt == "fail":
        raise RuntimeError("a secret of the machine")
    joints = np.random.default_rng(seed).random((7, 22, 3))
    return Clip(joints, HUMANML3D, 20.0, np.zeros((7, 4), bool), [prompt] * 7, seed)


@pytest.fixture
def server():
    with ViewerServer("<p>the page ü</p>", motion) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, method="POST", path="/generate", body=None, **headers):
    """-> status, headers, body. `headers`: underscores for hyphens, None leaves one out."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(WALK if body is None else body).encode()
    wanted = {"Host": f"127.0.0.1:{server.server_port}", "Content_Type": "application/json"}
    wanted |= {"Content_Length": str(len(data))} | headers
    connection.putrequest(method, path, skip_host=True)
    for name, value in wanted.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(data if method == "POST" else None)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def test_the_page(server):
    status, headers, text = ask(server, "GET", "/", Content_Length=None)
    assert (status, text) == (200, "<p>the page ü</p>")
    assert headers["Content-Type"] == "text/html; charset=utf-8" and headers["X-Frame-Options"] == "DENY"


def test_a_motion(server):
    status, _, text = ask(server)
    described = json.loads(text)
    assert status == 200 and described["prompts"] == [[0, "a person walks"]]
    assert (described["frames"], described["name"]) == (7, "seed 5")


@pytest.mark.parametrize("seconds", [None, 3, 2.5])
def test_seconds(server, seconds):
    assert ask(server, body=WALK | {"seconds": seconds})[0] == 200


REFUSED = {
    "another page": ({"method": "GET", "path": "/etc/passwd"}, 404, "only one page"),
    "a path that climbs": ({"method": "GET", "path": "/../README.md"}, 404, "only one page"),
    "another place": ({"path": "/"}, 404, "/generate"),
    "another name for this machine": ({"Host": "evil.example:80"}, 403, "own page only"),
    "no host": ({"Host": None}, 403, "own page only"),
    "another site": ({"Origin": "https://evil.example"}, 403, "own page only"),
    "another site, reading": ({"method": "GET", "path": "/", "Origin": "null"}, 403, "own page only"),
    "a form": ({"Content_Type": "text/plain"}, 415, "application/json"),
    "no length": ({"Content_Length": None}, 411, "length"),
    "a negative length": ({"Content_Length": "-1"}, 411, "length"),
    "a length in other digits": ({"Content_Length": "²"}, 411, "length"),
    "too long": ({"body": WALK | {"prompt": "a" * MAX_REQUEST}}, 413, "shorter prompt"),
    "an absurd length": ({"Content_Length": "9" * 5000}, 413, "shorter prompt"),
    "no JSON": ({"body": b"{"}, 400, "no JSON"),
    "no UTF-8": ({"body": b'"\xff"'}, 400, "no JSON"),
    "deep JSON": ({"body": b"[" * 10_000}, 400, "no JSON"),
    "a list": ({"body": [1]}, 400, "prompt, seconds, seed"),
    "a field too many": ({"body": WALK | {"model": "x"}}, 400, "prompt, seconds, seed"),
    "a field too few": ({"body": {"prompt": "a"}}, 400, "prompt, seconds, seed"),
    "a number for words": ({"body": WALK | {"prompt": 7}}, 400, "prompt is '7'"),
    "words for a number": ({"body": WALK | {"seconds": "2"}}, 400, "seconds is '2'"),
    "half a seed": ({"body": WALK | {"seed": 0.5}}, 400, "seed is '0.5'"),
    "a truth for a seed": ({"body": WALK | {"seed": True}}, 400, "seed is 'True'"),
    "what the pipeline refuses": ({"body": WALK | {"prompt": ""}}, 400, "the prompt is empty; give words"),
}


@pytest.mark.parametrize("request_, status, sentence", REFUSED.values(), ids=REFUSED)
def test_refused(server, request_, status, sentence):
    answer = ask(server, **request_)
    assert answer[0] == status
    assert sentence in json.loads(answer[2])["error"]
    assert ask(server)[0] == 200, "the next request is served"


def test_a_model_that_fails(server, capfd):
    status, _, text = ask(server, body=WALK | {"prompt": "fail"})
    assert status == 500 and "secret" not in text
    assert "a secret of the machine" in capfd.readouterr().err


def test_a_request_that_never_ends(server, monkeypatch):
    monkeypatch.setattr(Handler, "timeout", 0.3)
    status, _, text = ask(server, Content_Length="500")
    assert status == 408 and "shorter than it says" in text


def test_one_generation_at_a_time(server):
    begun, go_on = threading.Event(), threading.Event()

    def slow(prompt, seconds, seed):
        begun.set()
        assert go_on.wait(30)
        return motion(prompt, seconds, seed)

    server.generate, answers = slow, []
    first = threading.Thread(target=lambda: answers.append(ask(server)[0]))
    first.start()
    assert begun.wait(30)
    status, _, text = ask(server)
    assert status == 503 and "try again" in text
    assert ask(server, "GET", "/", Content_Length=None)[0] == 200, "the page is served meanwhile"
    go_on.set()
    first.join()
    assert answers == [200] and ask(server)[0] == 200


def test_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_port(port):
    with pytest.raises(LampError, match=f"the port is {port}"):
        ViewerServer("", motion, port)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(LampError, match="cannot serve on port .* take another one"):
            ViewerServer("", motion, taken.getsockname()[1])
