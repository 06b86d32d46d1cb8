# SPDX-License-Identifier: GPL-2.0-or-later
"""A real browser for tests: Chromium without a window, driven by its DevTools protocol over two pipes.

Source: the DevTools protocol's own description (https://chromedevtools.github.io/devtools-protocol/).  Messages
are JSON, each ended by a NUL; the browser reads them at descriptor 3 and writes at 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = "chromium", "chromium-browser", "google-chrome"
SECONDS = 60
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """A page in it.  ``requests`` are the addresses that it asked for, ``problems`` its errors."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.requests: list[str] = []
        self.problems: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser ended"
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        given = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(given["request"]["url"])
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(given["exceptionDetails"])[:500])
            case "Log.entryAdded":
                self.problems.append(given["entry"]["text"])
        return message

    def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """What the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while (answer := self._message()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, address: str) -> None:
        """Show it, and wait until it is there."""
        self.ask("Page.navigate", url="about:blank")  # an address that differs in its fragment only is not loaded anew
        self.ask("Page.navigate", url=address)
        while self.run("document.readyState") != "complete":
            pass

    def run(self, code: str) -> Any:
        """The value of JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screen(self, width: int, height: int, *, dark: bool = False, touch: bool = False) -> None:
        """As large as this; a phone has ``touch``."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if touch else 1, mobile=touch,
        )  # fmt: skip
        self.ask("Emulation.setTouchEmulationEnabled", enabled=touch)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[feature])

    def key(self, key: str) -> None:
        """Press it."""
        more = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": 9, "code": key} if key == "Tab" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def swipe(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """A finger, from one place to the other."""
        for kind, at in (("touchStart", start), ("touchMove", end)):
            self.ask("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": at[0], "y": at[1]}])
        self.ask("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def picture(self, path: Path) -> None:
        """A PNG of what is seen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def names(self) -> list[tuple[str, str]]:
        """(role, name) of all that a screen reader is told."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
        ]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty page; where there is none, skips the test, or with CI in the environment fails it."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        commands, ours_out = os.pipe()
        ours_in, answers = os.pipe()

        def descriptors() -> None:
            kept = os.dup(commands), os.dup(answers)
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={folder}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=descriptors, close_fds=False, start_new_session=True, env=os.environ | {"HOME": folder},
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        try:
            made = Browser(ours_out, ours_in)
            yield made
            made.ask("Browser.close")
        finally:
            os.close(ours_out)
            os.close(ours_in)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
