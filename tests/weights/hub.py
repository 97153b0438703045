"""A small Hub on this machine: it states a checksum, redirects to another host, and may misbehave.

What the real one does: HEAD and GET of `/owner/name/resolve/revision/file` answer with a redirect
to a host for large files, with the size, SHA-256 and commit of the file beside it.
"""

from __future__ import annotations

import hashlib
import http.server
import threading

COMMIT = "c" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Serves `content` as every large file, `texts` by name as small ones.

    stated: the SHA-256 that it states, by default the true one. cuts: after how many bytes of it
    each of the next answers ends. ranges: whether it can begin in the middle. gone: as if the file
    had been removed. false: whether it states wrong hashes of texts. gate: while it is closed, an
    answer stops half-way. asked: the requests of files, each with method, path, the range asked for
    and whether a token came with it.
    """

    daemon_threads = True
    request_queue_size = 20

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.stated, self.commit = content, "", COMMIT
        self.texts: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.ranges, self.gone, self.false = True, False, False
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[tuple[str, str, str, bool]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def elsewhere(self) -> str:
        """The same server under the name of another host."""
        return f"http://localhost:{self.server_port}"

    @property
    def sha256(self) -> str:
        return self.stated or hashlib.sha256(self.content).hexdigest()

    @property
    def sent(self) -> list[str]:
        """The ranges asked for of contents, "" for a whole one."""
        return [part for method, path, part, _ in self.asked if method == "GET" and "/cdn/" in path]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up, as some tests do, is no fault."""


class Answer(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        hub, wanted = self.server, self.headers.get("Range", "")
        if "/resolve/" not in self.path and "/cdn/" not in self.path:
            self._head(404, {"Content-Length": "0"})  # the Hub's client asks for other things too
            return
        hub.asked.append((self.command, self.path, wanted, "Authorization" in self.headers))
        name = self.path.partition("/resolve/")[2].partition("/")[2]
        if hub.gone:
            self._head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        elif name in hub.texts:
            self._text(hub.texts[name], body)
        elif "/resolve/" in self.path:
            self._head(302, self._facts() | {"Location": f"{hub.elsewhere}/cdn/file"})
        elif wanted and hub.ranges:
            self._content(int(wanted.removeprefix("bytes=").rstrip("-")), 206, body)
        else:
            self._content(0, 200, body)

    def _facts(self) -> dict[str, str]:
        hub = self.server
        tag = {"X-Linked-Etag": f'"{hub.sha256}"', "X-Linked-Size": str(len(hub.content))}
        return tag | {"X-Repo-Commit": hub.commit, "Content-Length": "0"}

    def _text(self, text: bytes, body: bool) -> None:
        said = text[::-1] if self.server.false else text
        git = hashlib.sha1(b"blob %d\0" % len(said) + said).hexdigest()
        facts = {"ETag": f'"{git}"', "X-Repo-Commit": self.server.commit}
        self._head(200, facts | {"Content-Length": str(len(text))})
        if body:
            self.wfile.write(text)

    def _content(self, start: int, status: int, body: bool) -> None:
        hub, content = self.server, self.server.content
        if start >= len(content):
            self._head(416, {"Content-Length": "0"})
            return
        facts = {"Content-Length": str(len(content) - start), "ETag": '"a-version"'}
        if status == 206:
            facts["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(status, facts)
        end = start + hub.cuts.pop(0) if body and hub.cuts else len(content)
        if body:
            half = (start + end) // 2
            self.wfile.write(content[start:half])
            hub.gate.wait(20)
            self.wfile.write(content[half:end])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
