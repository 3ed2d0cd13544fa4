"""TLS: certificates in docker's layout, ones that do not hold, and proxies in between."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labdock.errors import InvalidRequest, SystemFailure
from labdock.registry.settings import Settings
from labdock.registry.trust import Trust
from tests.registries import Basic, Registry, serving
from tests.unit.registry.standins import client_of, repository


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.crt`` and ``ca.key`` for registry.example, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=registry.example", "-addext", "subjectAltName=DNS:registry.example"]
    subprocess.run(
        [*command.split(), *"-keyout ca.key -out ca.crt".split(), *subject],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "ca.key")
    return context


def trusting(tmp_path: Path, host: str, text: str) -> tuple[Path, ...]:
    place = tmp_path / host
    place.mkdir()
    (place / "own.crt").write_text(text)
    return (tmp_path / "no such folder", tmp_path)


def test_an_own_ca_is_believed_for_its_host(certificate: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(Registry(), tls=server_context(certificate), name="registry.example") as registry:
            registry.put("a/b", "v1", b"{}")
            folders = trusting(tmp_path, registry.host, (certificate / "ca.crt").read_text())
            async with client_of(settings=Settings(ca_folders=folders)) as client:
                await client.manifest(repository(registry), "v1")
            async with client_of(settings=Settings()) as client:
                with pytest.raises(SystemFailure, match="tls: failed to verify certificate") as caught:
                    await client.manifest(repository(registry), "v1")
                assert f"~/.docker/certs.d/{registry.host}/ca.crt" in (caught.value.hint or "")
            assert len(registry.seen) == 1

    asyncio.run(main())


def test_a_certificate_for_another_name_is_not_believed(certificate: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(Registry(), tls=server_context(certificate), name="other.example") as registry:
            folders = trusting(tmp_path, registry.host, (certificate / "ca.crt").read_text())
            async with client_of(settings=Settings(ca_folders=folders)) as client:
                with pytest.raises(SystemFailure, match="failed to verify certificate"):
                    await client.manifest(repository(registry), "v1")

    asyncio.run(main())


@pytest.mark.parametrize(("name", "insecure"), [("registry.example", ("registry.example",)), ("127.0.0.1", ())])
def test_where_no_certificate_is_asked_for(certificate: Path, name: str, insecure: tuple[str, ...]) -> None:
    async def main() -> None:
        async with serving(Registry(), tls=server_context(certificate), name=name) as registry:
            registry.put("a/b", "v1", b"{}")
            async with client_of(settings=Settings(insecure=insecure)) as client:
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_a_file_that_is_no_certificate_is_named(certificate: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(Registry(), tls=server_context(certificate), name="registry.example") as registry:
            folders = trusting(tmp_path, registry.host, "not a certificate")
            async with client_of(settings=Settings(ca_folders=folders)) as client:
                for _ in range(2):
                    with pytest.raises(InvalidRequest, match=r"own\.crt"):
                        await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_plain_http_behind_a_tls_address_is_said() -> None:
    async def main() -> None:
        async with (
            serving(Registry(Basic()), name="registry.example") as registry,
            client_of(settings=Settings()) as client,
        ):
            with pytest.raises(SystemFailure, match="http: server gave HTTP response to HTTPS client") as caught:
                await client.manifest(repository(registry), "v1")
            assert f"LABDOCK_INSECURE={registry.host}" in (caught.value.hint or "")

    asyncio.run(main())


@contextlib.asynccontextmanager
async def proxy(answer: bytes, asked: list[str]) -> AsyncIterator[str]:
    """A proxy that takes CONNECT to this machine's ports; gives its address."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        writer.write(answer)
        if b"200" not in answer:
            writer.close()
            return
        port = int(head.split()[1].rpartition(":")[2])
        there, out = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, out), copy(there, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.05)


def test_through_a_proxy(certificate: Path, tmp_path: Path) -> None:
    async def main() -> None:
        asked: list[str] = []
        async with (
            serving(Registry(), tls=server_context(certificate), name="registry.example") as registry,
            proxy(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n", asked) as address,
        ):
            registry.put("a/b", "v1", b"{}")
            folders = trusting(tmp_path, registry.host, (certificate / "ca.crt").read_text())
            settings = Settings(ca_folders=folders, proxy=f"http://me:hush@{address}")
            async with client_of(settings=settings) as client:
                await client.manifest(repository(registry), "v1")
            assert asked[0].startswith(f"CONNECT {registry.host} HTTP/1.1\r\n")
            assert "Proxy-Authorization: Basic bWU6aHVzaA==" in asked[0]

    asyncio.run(main())


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"", b"x" * 100_000])
def test_a_proxy_that_does_not_connect(answer: bytes) -> None:
    async def main() -> None:
        async with (
            serving(Registry(), name="registry.example") as registry,
            proxy(answer, []) as address,
            client_of(settings=Settings(proxy=f"http://{address}")) as client,
        ):
            with pytest.raises(SystemFailure, match=r"the proxy 127\.0\.0\.1 does not connect to registry\.example"):
                await client.manifest(repository(registry), "v1")

    asyncio.run(main())


def test_a_folder_of_certificates_that_may_not_be_read_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """As for an engine of the machine's root that is mapped to another id, and root's own home."""
    closed = tmp_path / "home"
    (closed / "certs.d").mkdir(parents=True)
    closed.chmod(0)
    try:
        context = asyncio.run(Trust((closed / "certs.d",)).context("registry.example"))
    finally:
        closed.chmod(0o700)
    assert context.verify_mode == ssl.CERT_REQUIRED
