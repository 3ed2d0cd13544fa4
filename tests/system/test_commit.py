"""Images made of containers that run or not, and an engine killed while it makes one."""

from __future__ import annotations

import gc
import io
import tarfile
from collections.abc import Iterator

import docker.errors
import pytest

from tests.system.conftest import EngineUnderTest, wait_until

# docker-py leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


@pytest.fixture
def client(engine: EngineUnderTest) -> Iterator[docker.DockerClient]:
    made = engine.client()
    made.images.pull("busybox")
    yield made
    made.close()


def list_layer(image: docker.models.images.Image) -> list[str]:
    """The names in the image's topmost layer."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(image.save()))) as saved:
        digest = image.attrs["RootFS"]["Layers"][-1].removeprefix("sha256:")
        layer = saved.extractfile(f"blobs/sha256/{digest}")
        assert layer is not None
        with tarfile.open(fileobj=io.BytesIO(layer.read())) as tar:
            return sorted(tar.getnames())


def test_a_commit_has_the_containers_own_changes_and_config(client: docker.DockerClient) -> None:
    work = "echo mine > /mine; rm /bin/wget; mkdir -p /d/e; echo v > /vol/v; touch /ready; sleep 1000"
    container = client.containers.run(
        "busybox", ["sh", "-c", work], detach=True, environment={"A": "1"}, volumes=["/vol", "named:/deep/in/it"]
    )
    wait_until(lambda: container.exec_run(["test", "-e", "/ready"]).exit_code == 0, "its work is done")
    image = container.commit(
        "made", "1", message="why", author="me", changes='CMD ["cat","/mine"]\nENV B=2', conf={"Labels": {"l": "m"}}
    )
    assert list_layer(image) == ["bin", "bin/.wh.wget", "d", "d/e", "mine", "ready"]
    base = client.images.get("busybox")
    assert image.attrs["Parent"] == base.id and image.tags == ["made:1"]
    assert image.attrs["Author"] == "me" and image.attrs["Comment"] == "why"
    assert image.attrs["Config"]["Env"][:2] == ["B=2", "A=1"] and image.attrs["Config"]["Labels"] == {"l": "m"}
    history = image.history()
    assert history[0]["Comment"] == "why" and history[0]["CreatedBy"] == f"sh -c {work}"
    assert len(history) == len(base.history()) + 1
    assert client.containers.run("made:1", remove=True) == b"mine\n"
    assert container.exec_run(["echo", "on"]).output == b"on\n"


def test_a_container_that_changed_nothing_adds_no_layer(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["true"], detach=True)
    container.wait()
    image = container.commit()
    assert image.attrs["RootFS"] == client.images.get("busybox").attrs["RootFS"] and image.tags == []


def test_a_paused_container_stays_paused(client: docker.DockerClient) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    container.pause()
    container.commit("paused")
    container.reload()
    assert container.status == "paused"
    container.unpause()


def test_an_image_outlives_the_collection_of_what_nothing_needs(
    engine: EngineUnderTest, client: docker.DockerClient
) -> None:
    container = client.containers.run("busybox", ["sh", "-c", "echo mine > /mine"], detach=True)
    container.wait()
    container.commit("kept")
    container.remove()
    client.images.prune()
    engine.stop()
    engine.start()
    assert client.containers.run("kept", ["cat", "/mine"], remove=True) == b"mine\n"
