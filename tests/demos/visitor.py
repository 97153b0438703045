"""A visitor without a browser: what widgets do, called by the names of their listeners."""

from __future__ import annotations

import time
from collections.abc import Callable

from gradio_client import Client

from demos.kit.api import PAGE


def leave(client: Client) -> None:
    """End a client. Its thread that holds the session ends by itself at the server's next sign of
    life, in 15 s at most; `Client.close` waits a second for it, in vain."""
    client._kill_heartbeat.set()


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it, as long as a busy machine may take, and no longer than it takes."""
    patience = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < patience, f"it did not happen in {seconds} s"
        time.sleep(0.01)


class Visitor(Client):
    """The Python client, for the pages' own listeners, which are no part of the API."""

    def __init__(self, url: str) -> None:
        # Without certificates, which are loaded anew for every request otherwise: 80 ms each.
        patient = {"timeout": 120}  # 5 s is not enough where the machine is busy
        super().__init__(url, verbose=False, ssl_verify=False, httpx_kwargs=patient)
        self.listeners = {
            f"/{found['api_name'].removeprefix(PAGE)}": found["id"]
            for found in self.config["dependencies"]
            if str(found.get("api_name")).startswith(PAGE)
        }
        for endpoint in self.endpoints.values():
            endpoint.is_valid = True

    def close(self) -> None:
        leave(self)

    def _infer_fn_index(self, api_name: str | None, fn_index: int | None) -> int:
        if api_name in self.listeners:
            return self.listeners[api_name]
        return super()._infer_fn_index(api_name, fn_index)
