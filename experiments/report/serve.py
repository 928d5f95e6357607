"""The page of a store at an address of this machine alone, made again once the store has changed."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from hclm_runner.refusal import ConfigError

HERE = "127.0.0.1"

EVERY = 30
"""Seconds after which a browser asks again."""


def server(folder: Path, build: Callable[[], str], port: int) -> HTTPServer:
    """Return a server of the page, which answers once its `serve_forever` is called.

    Args:
        folder: The store.
        build: Returns the page; what it refuses is the page meanwhile, with status 503.
        port: On 127.0.0.1; 0: any that is free.

    Raises:
        OSError: If the port is taken.
    """
    made: list[tuple[object, int, bytes]] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/":
                self.send_error(404)
                return
            now = _files(folder)
            if not made or made[0][0] != now:
                made[:] = [(now, *_made(build))]
            _, code, content = made[0]
            self.send_response(code)
            self.send_header("Content-Type", f"text/{'html' if code == 200 else 'plain'}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Refresh", str(EVERY))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing of a request."""

    return HTTPServer((HERE, port), Page)


def _made(build: Callable[[], str]) -> tuple[int, bytes]:
    try:
        return 200, build().encode()
    except (ConfigError, OSError) as error:  # no run yet
        return 503, str(error).encode()


def _files(folder: Path) -> object:
    """Return what changes when runs come, or verdicts or figures are made."""
    paths = [*folder.glob("runs/[!.]*.parquet"), *folder.glob("figures/*"), *folder.glob("claims.json")]
    return sorted((path, path.stat().st_mtime_ns) for path in paths if path.exists())
