"""A visitor without a browser: what widgets do, called by the names of their listeners."""

from __future__ import annotations

from gradio_client import Client

from demos.kit.api import PAGE


class Visitor(Client):
    """The Python client, for the pages' own listeners, which are no part of the API."""

    def __init__(self, url: str) -> None:
        # Without certificates, which are loaded anew for every request otherwise: 80 ms each.
        super().__init__(url, verbose=False, ssl_verify=False)
        self.listeners = {
            f"/{found['api_name'].removeprefix(PAGE)}": found["id"]
            for found in self.config["dependencies"]
            if str(found.get("api_name")).startswith(PAGE)
        }
        for endpoint in self.endpoints.values():
            endpoint.is_valid = True

    def _infer_fn_index(self, api_name: str | None, fn_index: int | None) -> int:
        if api_name in self.listeners:
            return self.listeners[api_name]
        return super()._infer_fn_index(api_name, fn_index)
