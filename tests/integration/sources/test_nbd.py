"""NBD exports of real servers: qemu-nbd over a Unix socket and TCP, with TLS, and when connections break."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chunker.errors import InvalidAddress, SourceMisconfigured, SourceMissing, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.open import Sources
from chunker.testing import HOLE, SIZE_BYTES, SourceContract, content_with_hole, opened, read
from tests.support.loop_device import required
from tests.support.servers.process import Missing, ServerProcess, free_port
from tests.support.servers.storage_daemon import connects

Serve = Callable[..., ServerProcess]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory with a short path, as sockets need."""
    path = Path(tempfile.mkdtemp(prefix="nbd-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def serve(request: pytest.FixtureRequest, directory: Path) -> Iterator[Serve]:
    """Return what serves an image by qemu-nbd until the test ends."""
    with ExitStack() as running:

        def start(
            content: bytes, *options: str, port: int | None = None, shared: int = 8, is_persistent: bool = True
        ) -> ServerProcess:
            with required(request.config):
                if shutil.which("qemu-nbd") is None:
                    raise Missing("qemu-nbd is missing: install qemu-utils")
            image, path = directory / "image", directory / "nbd.sock"
            with image.open("wb") as file:
                file.write(content[: HOLE.offset_bytes])
                file.seek(HOLE.end_bytes)
                file.write(content[HOLE.end_bytes :])
            place = ("-p", str(port)) if port else ("-k", str(path))
            lasting = ("-t",) if is_persistent else ()
            command = ["qemu-nbd", "-r", "-f", "raw", *lasting, "-x", "an export", "-e", str(shared), *place, *options]
            server = ServerProcess(
                "qemu-nbd", [*command, str(image)], directory=directory, is_ready=lambda: listens(port, path)
            )
            running.callback(server.kill)
            server.start()
            return server

        yield start


def listens(port: int | None, path: Path) -> bool:
    if port is None:
        return path.exists() and connects(path)
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def source_of(directory: Path, **options: Any) -> Source:
    sources = Sources({"nbd": {"sockets": [str(directory)], "timeout_s": 10, **options}})
    return sources.open(f"nbd+unix:///an%20export?socket={directory}/nbd.sock")


class TestUnixSocket(SourceContract):
    shared = 8
    server: ServerProcess

    def make_missing(self) -> Source:
        self.serve(b"")
        return Sources({"nbd": {"sockets": [str(self.directory)]}}).open(
            f"nbd+unix:///another?socket={self.directory}/nbd.sock"
        )

    def swap(self, source: Source) -> None:
        self.server.kill()
        (self.directory / "nbd.sock").unlink()
        self.server = self.serve(bytes(2 * SIZE_BYTES), shared=self.shared)

    @pytest.fixture(autouse=True)
    def _server(self, serve: Serve, directory: Path) -> None:
        self.serve = serve
        self.directory = directory

    def make_source(self, content: bytes) -> Source:
        self.server = self.serve(content, shared=self.shared)
        return source_of(self.directory)

    def test_hole_is_not_data(self) -> None:
        with self._open() as point:
            assert next(iter(point.data_extents(Extent(0, SIZE_BYTES)))) == Extent(0, HOLE.offset_bytes)


class TestServerOfOneConnection(TestUnixSocket):
    shared = 1


class TestTcp(SourceContract):
    server: ServerProcess
    port: int

    @pytest.fixture(autouse=True)
    def _server(self, serve: Serve) -> None:
        self.serve = serve

    def make_source(self, content: bytes) -> Source:
        self.port = free_port()
        self.server = self.serve(content, port=self.port)
        return Sources({"nbd": {"hosts": ["127.0.0.1"]}}).open(f"nbd://127.0.0.1:{self.port}/an%20export")

    def make_missing(self) -> Source:
        return Sources({"nbd": {"hosts": ["127.0.0.1"]}}).open(f"nbd://127.0.0.1:{free_port()}/x")

    def swap(self, source: Source) -> None:
        self.server.kill()
        self.server = self.serve(bytes(2 * SIZE_BYTES), port=self.port)


@pytest.fixture
def certificates(directory: Path) -> Path:
    """Return a directory of the files that QEMU's TLS wants, signed by an authority of our own."""
    made = directory / "pki"
    made.mkdir()
    authority = ["-subj", "/CN=authority", "-keyout", f"{made}/ca-key.pem", "-out", f"{made}/ca-cert.pem"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    server = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    signed = ["-CA", f"{made}/ca-cert.pem", "-CAkey", f"{made}/ca-key.pem"]
    files = ["-keyout", f"{made}/server-key.pem", "-out", f"{made}/server-cert.pem"]
    plain = ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*new, *authority], check=True, capture_output=True)
    subprocess.run([*new, *server, *plain, *signed, *files], check=True, capture_output=True)
    return made


def test_tls_is_demanded_and_the_server_is_known_by_its_authority(serve: Serve, certificates: Path) -> None:
    port = free_port()
    identity = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,dir={certificates}"
    serve(content_with_hole(), "--object", identity, "--tls-creds", "tls", port=port)
    options = {"hosts": [f"127.0.0.1:{port}"], "tls_ca_file": str(certificates / "ca-cert.pem")}
    with opened(Sources({"nbd": options}).open(f"nbds://127.0.0.1:{port}/an%20export")) as point:
        assert read(point, Extent(0, SIZE_BYTES)) == content_with_hole()
    with pytest.raises(SourceMissing, match="the server demands TLS"):
        Sources({"nbd": options}).open(f"nbd://127.0.0.1:{port}/an%20export").open()
    del options["tls_ca_file"]
    with pytest.raises(SourceMissing, match="its certificate is not accepted"):
        Sources({"nbd": options}).open(f"nbds://127.0.0.1:{port}/an%20export").open()


def test_a_server_without_tls_is_not_read_where_tls_is_demanded(serve: Serve) -> None:
    port = free_port()
    serve(content_with_hole(), port=port)
    source = Sources({"nbd": {"hosts": ["127.0.0.1"]}}).open(f"nbds://127.0.0.1:{port}/an%20export")
    with pytest.raises(SourceMissing, match="TLS is refused"):
        source.open()


def test_connections_that_break_are_replaced(serve: Serve, directory: Path) -> None:
    server = serve(content_with_hole())
    with opened(source_of(directory)) as point:
        assert read(point, Extent(0, 10)) == content_with_hole()[:10]
        server.kill()
        (directory / "nbd.sock").unlink()
        server.start()
        assert read(point, Extent(0, SIZE_BYTES)) == content_with_hole()


def test_a_server_that_does_not_come_back_is_an_error_that_names_the_offset(serve: Serve, directory: Path) -> None:
    server = serve(content_with_hole())
    with opened(source_of(directory)) as point:
        server.kill()
        with pytest.raises(SourceUnreadable, match="cannot be read at byte 4096"):
            read(point, Extent(4096, 10))


def test_a_server_that_hangs_is_an_error(serve: Serve, directory: Path) -> None:
    server = serve(content_with_hole())
    with opened(source_of(directory, timeout_s=0.1)) as point:
        server.pause()
        with pytest.raises(SourceUnreadable, match="no answer in time"):
            read(point, Extent(0, 10))
        server.resume()


def test_an_export_that_is_not_there_is_told(serve: Serve, directory: Path) -> None:
    serve(content_with_hole())
    sources = Sources({"nbd": {"sockets": [str(directory)]}})
    with pytest.raises(SourceMissing, match="the export is refused: there is no such export"):
        sources.open(f"nbd+unix:///another?socket={directory}/nbd.sock").open()


def listed(**options: Any) -> list[tuple[str, int]]:
    """Return what the one place that is allowed lists."""
    (listing,) = Sources({"nbd": options}).listings().values()
    return [(one.source, one.size_bytes) for one in listing()]


def test_exports_in_a_directory_of_sockets_are_listed_by_addresses_that_open(serve: Serve, directory: Path) -> None:
    serve(content_with_hole())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "dead.sock"))
    ((address, size_bytes),) = listed(sockets=[str(directory)])
    assert (address, size_bytes) == (f"nbd+unix:///an%20export?socket={directory}/nbd.sock", SIZE_BYTES)
    assert listed(sockets=[f"{directory}/nbd.sock"]) == [(address, size_bytes)]
    with opened(Sources({"nbd": {"sockets": [str(directory)]}}).open(address)) as point:
        assert read(point, Extent(0, SIZE_BYTES)) == content_with_hole()


def test_listing_does_not_end_a_server_that_ends_with_its_last_client(serve: Serve) -> None:
    port = free_port()
    serve(content_with_hole(), port=port, is_persistent=False)
    for _ in range(2):
        assert listed(hosts=[f"127.0.0.1:{port}"]) == [(f"nbd://127.0.0.1:{port}/an%20export", SIZE_BYTES)]


def test_exports_of_a_server_that_demands_tls_are_listed(serve: Serve, certificates: Path) -> None:
    port = free_port()
    identity = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=off,dir={certificates}"
    serve(content_with_hole(), "--object", identity, "--tls-creds", "tls", port=port)
    place = {"hosts": [f"127.0.0.1:{port}"]}
    authority = str(certificates / "ca-cert.pem")
    assert listed(**place, tls_ca_file=authority) == [(f"nbds://127.0.0.1:{port}/an%20export", SIZE_BYTES)]
    with pytest.raises(
        SourceUnreadable, match="cannot be listed: TLS cannot be begun: its certificate is not accepted"
    ):
        listed(**place)


def test_a_place_where_nobody_listens_cannot_be_listed(directory: Path) -> None:
    for place in ({"hosts": [f"127.0.0.1:{free_port()}"]}, {"sockets": [f"{directory}/none"]}):
        with pytest.raises(SourceUnreadable, match="cannot be listed: cannot be reached"):
            listed(**place)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("nbd://other/x", "expected a host that is allowed by sources.nbd.hosts: good, better:7"),
        ("nbd://better:8/x", "expected a host that is allowed"),
        ("nbd:x", "expected nbd://HOST:PORT/EXPORT"),
        ("nbd://good/x?socket=/a", "option socket: unknown for nbd; expected no options"),
        ("nbd+unix:///x", r"expected nbd\+unix:///EXPORT\?socket=PATH"),
        ("nbd+unix:///x?socket=/etc/passwd", r"expected one of /run/nbd \(sources.nbd.sockets\)"),
        ("nbd+unix:///x?socket=/run/nbd/../a", 'expected an absolute path without ".."'),
        ("nbd+unix:///x?socket=/run/nbd/none", "expected a Unix socket that is there"),
    ],
)
def test_what_the_operator_does_not_allow_is_refused(address: str, expected: str) -> None:
    with pytest.raises(InvalidAddress, match=expected):
        Sources({"nbd": {"sockets": ["/run/nbd"], "hosts": ["good", "better:7"]}}).check(address)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"port": 1}, "nbd: option port: unknown for nbd, expected one of: connections_max"),
        ({"hosts": "a"}, "option hosts: a value of type str, expected a list of texts"),
        ({"connections_max": 0}, "option connections_max: expected a number from 1 to 64"),
        ({"tls_ca_file": "/nowhere"}, "option tls_ca_file: cannot be used: no such file"),
        ({"tls_key_file": "/nowhere"}, "option tls_certificate_file: missing"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(SourceMisconfigured, match=expected):
        Sources({"nbd": options})
