"""A page in a real Chromium, of another origin, that uses the gateway: websockets with the token among
the protocols, fetch with CORS (preflights, too), HTTP/1.1, and HTTP/2 under TLS.

usage: chromium_client.py TLS_PORT PLAIN_PORT TOKEN
Exit status 77 (skipped) without chromium and chromedriver.
"""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request

from server import PATIENCE, SKIPPED

tls_port, plain_port, token = sys.argv[1:]
for program in ("chromium", "chromedriver"):
    if not shutil.which(program):
        print("skipped: no", program)
        sys.exit(SKIPPED)


class Driver:
    """As much of WebDriver as is needed."""

    def __init__(self):
        self.base = self.start()
        # It would wait for somebody to read what it says.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.profile = tempfile.mkdtemp(prefix="keelson-chromium-")
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--ignore-certificate-errors", "--user-data-dir=" + self.profile],
                   "binary": shutil.which("chromium")}
        session = self.ask("", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "timeouts": {"script": PATIENCE * 1000}}}})
        self.path = "/" + session["sessionId"]
        self.version = session["capabilities"]["browserVersion"]

    def start(self):
        """Its address. It takes a port of IPv4's choosing for IPv6, too, and ends where that is another's."""
        for _ in range(10):
            self.process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True)
            said = ""
            for line in self.process.stdout:
                said += line
                if found := re.search(r"on port ([1-9][0-9]*)", line):
                    return "http://127.0.0.1:" + found.group(1)
            print("chromedriver ended with", self.process.wait(), "and said:", said)
        raise RuntimeError("chromedriver does not start")

    def ask(self, path, body, method="POST"):
        request = urllib.request.Request(f"{self.base}/session{path}",
                                         json.dumps(body).encode() if body is not None else None,
                                         {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=2 * PATIENCE) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.ask(self.path + "/url", {"url": url})

    def run(self, *arguments):
        script = ("const done = arguments[arguments.length - 1];"
                  "run(arguments[0], arguments[1]).then(done, (error) => done(String(error.stack)));")
        return self.ask(self.path + "/execute/async", {"script": script, "args": arguments})

    def close(self):
        self.ask(self.path, None, "DELETE")
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=here))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    driver = Driver()
    failures = 0
    try:
        driver.open(f"http://127.0.0.1:{pages.server_port}/page.html")
        for base in (f"http://127.0.0.1:{plain_port}", f"https://127.0.0.1:{tls_port}"):
            said = driver.run(base, token)
            print(base.split(":")[0], "in Chromium", driver.version + ":", said)
            failures += said != "ok"
    finally:
        driver.close()
    sys.exit(1 if failures else 0)


main()
