"""A browser to drive: headless Chromium, over the two pipes of its debugging protocol."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PICTURES = os.environ.get("LAMP_FAST_PICTURES")
SECONDS = 60  # a busy machine draws slowly in software


class Chromium:
    def __init__(self, profile):
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        command += ["--hide-scrollbars", "--disable-gpu-sandbox", "--no-first-run", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={profile}", "about:blank"]
        # Chromium reads the pipe from descriptor 3 and writes to 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "chromium", *command]
        self.process = subprocess.Popen(
            shell, pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands), os.close(answers)
        self._numbers, self._buffer, self._events = itertools.count(1), b"", []

    def send(self, method, session=None, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            message = self._receive(method)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message}"
                return message["result"]
            self._events.append(message)

    def _receive(self, method):
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], SECONDS)[0], f"Chromium does not answer to {method}"
            data = os.read(self._read, 1 << 16)
            assert data, "Chromium has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def events(self, session):
        self.send("Browser.getVersion")  # whatever happened before has arrived when this is answered
        return [event for event in self._events if event.get("sessionId") == session]

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            self.send("Browser.close")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._read), os.close(self._write)


class Page:
    """One page, `width` x `height`. `offline` cuts it off from every network."""

    def __init__(self, chromium, url, width=900, height=700, offline=False, mobile=False):
        self.chromium = chromium
        target = chromium.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = chromium.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        if offline:
            speed = {"latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            self.send("Network.emulateNetworkConditions", offline=True, **speed)
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def send(self, method, **parameters):
        return self.chromium.send(method, self.session, **parameters)

    def run(self, code):
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, code, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, f"never came true: {code}"
            time.sleep(0.05)

    def press(self, key, shift=False):
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 * shift, **text)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start, end):
        self.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
        self.mouse("mouseMoved", *end, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def screenshot(self, name):
        """(H, W, 3) int, after the page has drawn; kept in the folder LAMP_FAST_PICTURES, if that is set."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        picture = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        path = os.path.join(PICTURES or self.chromium.pictures, f"{name}.png")
        with open(path, "wb") as file:
            file.write(picture)
        return np.asarray(Image.open(path).convert("RGB")).astype(int)

    def troubles(self):
        """What the console complains about, and every address that was asked for beside the page's own."""
        found = []
        for event in self.chromium.events(self.session):
            kind, details = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                found.append(details["exceptionDetails"]["exception"]["description"])
            elif kind == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
                found.append(str(details["args"]))
            elif kind == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
                found.append(details["entry"]["text"])
        return found

    def requests(self):
        events = self.chromium.events(self.session)
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith("data:")]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    browser.pictures = tmp_path_factory.mktemp("pictures")
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium):
    return lambda url, **options: Page(chromium, url, **options)
