#!/usr/bin/env python3
"""The page of `oneday serve` in a real browser, at the width of a phone and of a desktop.

Needs chromium and the Python packages playwright (tried with 1.49.1) and, for the check of accessibility,
axe-playwright-python; skips (exit code 77) without the first two. $ONEDAY_BINARY and $ONEDAY_SOURCE say what
is tested.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

SKIP = 77
CHROMIUM = shutil.which("chromium")
try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None
try:
    from axe_playwright_python.sync_playwright import Axe
except ImportError:
    Axe = None

WIDTHS = {"phone": (375, 740), "desktop": (1280, 900)}
NOT_BUSY = "document.getElementById('send').disabled === false"


def start(folder, *extra):
    port_file = os.path.join(folder, "port")
    model = os.path.join(os.environ["ONEDAY_SOURCE"], "examples", "toyworld", "base")
    server = subprocess.Popen([os.environ["ONEDAY_BINARY"], "serve", model, "--port", "0", "--port-file", port_file,
                               "--chat-template", "chatml", "--threads", "1", "-q", *extra])
    for _ in range(600):
        if os.path.exists(port_file) or server.poll() is not None:
            break
        time.sleep(0.05)
    with open(port_file, encoding="ascii") as file:
        return server, "http://127.0.0.1:%d/" % int(file.read())


def ask(page, mode, text):
    before = len(page.query_selector_all(".turn"))
    page.select_option("#mode", mode)
    page.fill("#question", text)
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.turn').length == %d && %s" % (before + 1, NOT_BUSY),
                           timeout=60000)


def stop(page):
    """Escape as soon as there is a token: what was said stays, and is part of the conversation."""
    page.fill("#temperature", "9")
    page.fill("#most", "400")
    page.evaluate("""new MutationObserver((changes, self) => {
        if (document.querySelector('.turn:last-child .token')) {
            document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}));
            self.disconnect();
        }}).observe(document.getElementById('talk'), {childList: true, subtree: true})""")
    ask(page, "chat", "a long one")
    assert "stopped" in page.inner_text(".turn:last-child"), page.inner_text(".turn:last-child")
    assert page.evaluate("talk[talk.length - 2].content") == "a long one"
    assert page.evaluate("talk[talk.length - 1].role") == "assistant"
    box = page.locator("#stop").bounding_box()
    assert 0 <= box["y"] < page.viewport_size["height"], box


def look_at(page, url, name):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_function("document.getElementById('model').options.length > 0")
    page.evaluate("document.getElementById('settings').open = true")
    page.fill("#temperature", "0")
    page.fill("#most", "40")
    page.select_option("#beside", "base")  # the model beside itself: both columns must agree
    ask(page, "text", "Question: <b>bold</b> is a word")
    texts = [answer.inner_text() for answer in page.query_selector_all(".answer .text")]
    assert len(texts) == 2 and texts[0] == texts[1] and len(texts[0]) > 5, texts
    assert page.query_selector(".question b") is None, "text became markup"
    page.click(".token >> nth=1")
    rows = page.query_selector_all(".detail tr")
    assert len(rows) == 5, len(rows)
    shares = [float(row.query_selector(".num").inner_text().split()[0]) for row in rows]
    assert shares == sorted(shares, reverse=True) and sum(shares) <= 100.5, shares
    page.focus(".token")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.previousElementSibling.className") == "token"
    assert page.evaluate("document.querySelectorAll('.token[tabindex=\"0\"]').length") == 2, "one tab stop an answer"
    ask(page, "chat", "hello")
    ask(page, "chat", "and then?")
    stop(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name + " scrolls sideways"
    if Axe:
        found = Axe().run(page).response["violations"]
        assert not found, [violation["id"] for violation in found]
    page.click("#forget")
    assert page.query_selector(".turn") is None
    assert not errors, errors


def look_with_key(page, url):
    page.goto(url)
    page.wait_for_function("document.getElementById('status').textContent.includes('key')")
    page.fill("#key", "secret")
    page.keyboard.press("Tab")
    page.wait_for_function("document.getElementById('model').options.length > 0")
    page.fill("#most", "5")
    ask(page, "chat", "hello")
    assert page.query_selector(".wrong") is None


def main():
    if not CHROMIUM or not sync_playwright:
        print("no chromium or no playwright: skipped")
        return SKIP
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        server, url = start(folder)
        try:
            for name, (width, height) in WIDTHS.items():
                look_at(browser.new_page(viewport={"width": width, "height": height}), url, name)
        finally:
            server.terminate()
            assert server.wait(timeout=60) == 0
        os.remove(os.path.join(folder, "port"))
        keys = os.path.join(folder, "keys")
        with open(keys, "w", encoding="ascii") as file:
            file.write("# test\nsecret\n")
        server, url = start(folder, "--api-keys", keys)
        try:
            look_with_key(browser.new_page(), url)
        finally:
            server.terminate()
            server.wait(timeout=60)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
