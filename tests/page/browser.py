#!/usr/bin/env python3
"""The page of `hstep report --html` and `hstep watch` in a real browser: headless Chromium by its driver.

    python3 tests/page/browser.py [--hstep target/release/hstep] [--keep DIR]

Needs `chromium` and `chromedriver`; Python's standard library otherwise. Checked: no error in the console; a row a run,
whatever is wrong with its folder; names are text; a film; sorting, hiding and filtering; a thousand runs of a thousand rows in
under 5 MB, drawn within 2 s, no task over 100 ms while it is scrolled; a served page follows a run, and another host's
name is refused.
"""

import argparse
import base64
import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = "<img src=x onerror=document.title='hurt'><script>document.title='hurt'"


def free_port():
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def until(what, said, seconds=30):
    """The first true answer of `what`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = what()
        if answer:
            return answer
        time.sleep(0.05)
    sys.exit(f"not within {seconds} s: {said}")


class Browser:
    """One window, by the WebDriver protocol."""

    def __init__(self, driver):
        self.root = driver
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1400,1000"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def of(self, method, path, body=None):
        return self.ask(method, f"/session/{self.session}{path}", body)

    def open(self, address):
        self.of("POST", "/url", {"url": address})

    def run(self, script, *arguments):
        return self.of("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def later(self, script):
        return self.of("POST", "/execute/async", {"script": script, "args": []})

    def errors(self):
        entries = self.of("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.of("GET", "/screenshot")))


@contextlib.contextmanager
def browser():
    port = free_port()
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def is_ready():
            with contextlib.suppress(OSError, urllib.error.URLError):
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5).status == 200

        until(is_ready, "chromedriver listens")
        window = Browser(f"http://127.0.0.1:{port}")
        yield window
        window.of("DELETE", "")
    finally:
        driver.terminate()
        driver.wait()


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: expected {wanted!r}, found {found!r}")
    print(f"ok  {what}")


def simulate(folder, algos, envs, seeds, rows):
    script = ROOT / "benches/many_runs/simulate.py"
    sizes = ["--algos", algos, "--envs", envs, "--seeds", seeds, "--rows", rows]
    subprocess.run([sys.executable, script, folder, *map(str, sizes)], check=True, stdout=subprocess.DEVNULL)


def page(hstep, folders, out):
    subprocess.run([hstep, "report", *folders, "--html", out], check=True, stdout=subprocess.DEVNULL)


def drawn(window):
    return until(lambda: window.run("return document.documentElement.dataset.drawn"), "the page is drawn")


def rows(window):
    return until(lambda: window.run(
        "const n = document.querySelectorAll('#runs tbody tr').length; return n === data.runs.filter(shown).length && n"),
        "all rows are there")


def small(hstep, window, root, keep):
    runs = root / "runs"
    simulate(runs, 3, 2, 5, 60)
    shutil.copytree(runs / "a0-e0-s0", runs / SCRIPT)
    (runs / SCRIPT / "config.toml").write_text((runs / "a0-e0-s0/config.toml").read_text().replace("seed = 0", "seed = 9"))
    (runs / "a1-e1-s1/DONE").unlink()
    (runs / "a1-e1-s1/FAILED").write_text("number: the critic's loss became NaN\n")
    (runs / "a2-e1-s2/metrics.csv").write_bytes(b"\xff\xfe not a table")
    (runs / "a2-e1-s3/config.toml").write_text("[run\n")
    (root / "stray").mkdir()
    # A film of one pixel, as `hstep render` leaves it.
    (runs / "a0-e0-s1/render").mkdir()
    film = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
    (runs / "a0-e0-s1/render/episode.gif").write_bytes(film)
    page(hstep, [runs, root / "stray"], root / "page.html")
    window.open(f"file://{root}/page.html")
    drawn(window)
    expect(rows(window), 3 * 2 * 5 + 1 + 1, "a row a run, the stray folder's among them")
    opened = "view.open = data.runs.find((run) => run.film).folder; details(false); return true"
    window.run(opened)
    until(lambda: window.run("return document.querySelector('.film')?.naturalWidth === 1"), "the film of a run is shown")
    expect(window.run("return data.runs.filter((run) => run.film).length"), 1, "a film where there is one")
    expect(window.run("return document.title"), "hstep: runs", "a name is no script")
    names = window.run("return [...document.querySelectorAll('#runs tbody td:first-child')].map((td) => td.textContent)")
    expect(SCRIPT in names, True, "a name is shown as it is")
    states = window.run("return [...document.querySelectorAll('#states button')].map((b) => b.textContent)")
    expect(any("1 failed" == s for s in states) and any("unreadable" in s for s in states), True, "states are counted")
    note = window.run("return [...document.querySelectorAll('#runs tbody tr')].map((tr) => tr.textContent).find((t) => t.includes('became NaN'))")
    expect(bool(note), True, "a failed run says why")
    for click in range(2):
        window.run("[...document.querySelectorAll('#runs th button')].find((b) => b.textContent === 'last return').click()")
        rows(window)
        values = window.run("return [...document.querySelectorAll('#runs tbody tr td:nth-child(7)')].map((td) => td.textContent).filter((t) => t !== '–').map((t) => Number(t.replaceAll(',', '')))")
        expect(values, sorted(values, reverse=click == 0), f"the runs are sorted by their return, {['falling', 'rising'][click]}")
    sort = window.run("return document.querySelector('#runs th[aria-sort=ascending]').textContent")
    expect(sort, "last return", "and the column says so")
    lines = window.run("return charts.get('e0').lines.length")
    window.run("document.querySelector('#legend button').click()")
    until(lambda: window.run("return charts.get('e0').lines.length") < lines, "a group is hidden")
    pressed = window.run("return document.querySelector('#legend button').getAttribute('aria-pressed')")
    expect(pressed, "false", "and its button says so")
    window.run("document.querySelector('#legend button').click()")
    window.run("const s = document.getElementById('search'); s.value = 'a1-'; s.dispatchEvent(new Event('input'))")
    until(lambda: rows(window) == 10, "the filter leaves ten")
    window.run("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")
    until(lambda: rows(window) == 32, "and all again")
    tip = window.run("const c = charts.get('e0').canvas; c.focus(); c.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft' })); return document.getElementById('tip').textContent")
    expect("seeds" in tip and ":" in tip, True, "arrow keys read a curve")
    window.run("[...document.querySelectorAll('#runs tbody td button')].find((b) => b.textContent === 'a0-e0-s1').click()")
    expect(window.run("return !document.getElementById('details').hidden && document.querySelectorAll('#details canvas').length > 3"), True, "a run opens")
    for name in ["light", "dark"]:
        window.run("document.documentElement.dataset.theme === arguments[0] || document.getElementById('theme').click(); scrollTo(0, 0)", name)
        if keep:
            window.picture(keep / f"page-{name}.png")
    expect(window.errors(), [], "no error in the console")


def large(hstep, window, root, keep):
    runs = root / "many"
    simulate(runs, 10, 10, 10, 1000)
    began = time.monotonic()
    page(hstep, [runs], root / "many.html")
    print(f"    1,000 runs of 1,000 rows: written in {time.monotonic() - began:.1f} s")
    size = (root / "many.html").stat().st_size
    print(f"    {size / 1e6:.2f} MB")
    expect(size < 5e6, True, "under 5 MB")
    window.open(f"file://{root}/many.html")
    milliseconds = float(drawn(window))
    print(f"    drawn after {milliseconds:.0f} ms")
    expect(milliseconds < 2000, True, "drawn within 2 s")
    rows(window)
    longest = window.later("""
        const done = arguments[arguments.length - 1], tasks = [];
        const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)));
        observer.observe({ type: 'longtask' });
        let y = 0;
        const step = () => {
          y += 400; scrollTo(0, y);
          if (y < document.body.scrollHeight) requestAnimationFrame(step); else setTimeout(() => done(Math.max(0, ...tasks)), 300);
        };
        step();""")
    print(f"    longest task while scrolling: {longest:.0f} ms (0: none over 50)")
    expect(longest < 100, True, "no task over 100 ms while it is scrolled")
    if keep:
        window.picture(keep / "many.png")
    expect(window.errors(), [], "no error in the console")


def served(hstep, window, root):
    port, run = free_port(), root / "runs/a0-e0-s0"
    server = subprocess.Popen([hstep, "watch", root / "runs", "--port", str(port)], stdout=subprocess.PIPE, text=True)
    try:
        expect(f"127.0.0.1:{port}" in server.stdout.readline(), True, "watch says where")
        window.open(f"http://127.0.0.1:{port}/")
        drawn(window)
        with open(run / "metrics.csv", "a") as file:
            file.write("77000,0,0,0,0,123.5" + "," * 21 + "\n")
        until(lambda: window.run("return data.runs.some((run) => run.last === 123.5)"), "the page follows a run")
        print("ok  the page follows a run")
        for host, method, wanted in [("elsewhere.example", "GET", 403), (f"127.0.0.1:{port}", "POST", 405)]:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", None, {"Host": host}, method=method)
            try:
                status = urllib.request.urlopen(request, timeout=10).status
            except urllib.error.HTTPError as error:
                status = error.code
            expect(status, wanted, f"{method} for {host} is refused")
        expect(window.errors(), [], "no error in the console")
        # Or it would go on asking a server that has ended.
        window.open("about:blank")
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hstep", default=ROOT / "target/release/hstep", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="keep pictures of the pages here")
    options = parser.parse_args()
    hstep = options.hstep.resolve()
    with tempfile.TemporaryDirectory() as temporary, browser() as window:
        root = pathlib.Path(temporary)
        small(hstep, window, root, options.keep)
        served(hstep, window, root)
        large(hstep, window, root, options.keep)


if __name__ == "__main__":
    main()
