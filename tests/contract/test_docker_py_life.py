"""docker-py and a container's life: limits, stats, health, restarts, waits, shared namespaces."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import docker
import docker.errors
import docker.types
import pytest

from .clients import Engine, wait_until


@pytest.fixture
def client(engine: Engine, clean: None) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", timeout=60)
    yield found
    found.close()


def test_limits_are_shown_as_sent_and_changed_by_an_update(client: Any) -> None:
    made = client.containers.run(
        "busybox", ["sleep", "60"], detach=True, mem_limit="64m", nano_cpus=500_000_000, pids_limit=50
    )
    shown = made.attrs["HostConfig"]
    assert (shown["Memory"], shown["NanoCpus"], shown["PidsLimit"]) == (64 << 20, 500_000_000, 50)
    answer = made.update(mem_limit="128m", restart_policy={"Name": "on-failure", "MaximumRetryCount": 4})
    assert any("memory limit is watched" in warning for warning in answer["Warnings"])
    made.reload()
    shown = made.attrs["HostConfig"]
    assert shown["Memory"] == 128 << 20
    assert shown["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 4}
    with pytest.raises(docker.errors.APIError, match="Minimum memory limit allowed is 6MB"):
        made.update(mem_limit=5)
    made.stop(timeout=0)


def test_stats_have_what_clients_compute_with(client: Any) -> None:
    made = client.containers.run("busybox", ["sleep", "60"], detach=True)
    found = made.stats(stream=False)
    for part in ("cpu_stats", "precpu_stats"):
        assert found[part]["system_cpu_usage"] > 0
        assert found[part]["cpu_usage"]["total_usage"] >= 0
        assert found[part]["online_cpus"] >= 1
    assert found["memory_stats"]["limit"] > found["memory_stats"]["usage"] > 0
    assert found["networks"]["eth0"].keys() >= {"rx_bytes", "tx_bytes", "rx_packets", "tx_dropped"}
    assert found["pids_stats"]["current"] == 1
    assert [entry["op"] for entry in found["blkio_stats"]["io_service_bytes_recursive"]] == ["read", "write"]
    made.stop(timeout=0)


def test_a_healthcheck_is_run_and_told(client: Any) -> None:
    check = docker.types.Healthcheck(test=["CMD", "test", "-e", "/tmp"], interval=100_000_000, retries=1)
    made = client.containers.run("busybox", ["sleep", "60"], detach=True, healthcheck=check)
    wait_until(lambda: client.containers.get(made.id).health == "healthy", "it is healthy")
    assert [c.id for c in client.containers.list(filters={"health": "healthy"})] == [made.id]
    made.stop(timeout=0)
    with pytest.raises(docker.errors.APIError, match="Interval in Healthcheck cannot be less than 1ms"):
        client.containers.create("busybox", healthcheck=docker.types.Healthcheck(test="x", interval=5))


def test_an_images_healthcheck_is_run_and_a_container_may_refuse_it(client: Any) -> None:
    script = b"FROM busybox\nHEALTHCHECK --interval=100ms --retries=1 CMD echo looked\n"
    client.images.build(fileobj=io.BytesIO(script), tag="checked")
    made = client.containers.run("checked", ["sleep", "60"], detach=True)
    wait_until(lambda: client.containers.get(made.id).health == "healthy", "it is healthy")
    made.reload()
    assert made.attrs["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "echo looked"], "Interval": 100_000_000, "Retries": 1,
    }  # fmt: skip
    assert made.attrs["State"]["Health"]["Log"][-1]["Output"] == "looked\n"
    refusing = docker.types.Healthcheck(test=["NONE"])
    other = client.containers.run("checked", ["sleep", "60"], detach=True, healthcheck=refusing)
    other.reload()
    assert "Health" not in other.attrs["State"]
    for each in (made, other):
        each.remove(force=True)


def test_with_restart_always_wait_returns_at_the_first_end_and_removing_is_a_conflict(client: Any) -> None:
    made = client.containers.create("busybox", ["true"], restart_policy={"Name": "always"})
    made.start()
    assert made.wait()["StatusCode"] == 0
    with pytest.raises(docker.errors.APIError) as caught:
        made.remove()
    assert caught.value.status_code == 409
    assert "Stop the container before" in caught.value.explanation
    made.remove(force=True)


def test_a_failing_container_is_restarted_as_often_as_it_may(client: Any) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    made = client.containers.run("busybox", ["sh", "-c", "echo run; exit 3"], detach=True, restart_policy=policy)
    wait_until(lambda: client.containers.get(made.id).status == "exited", "it has ended")
    made.reload()
    assert (made.attrs["RestartCount"], made.attrs["State"]["ExitCode"]) == (2, 3)
    assert made.logs() == b"run\n" * 3
    assert made.wait()["StatusCode"] == 3


def test_a_removal_is_waited_for_from_before_the_start(client: Any) -> None:
    made = client.api.create_container("busybox", ["sh", "-c", "exit 4"], host_config={"AutoRemove": True})["Id"]
    response = client.api._post(
        client.api._url("/containers/{0}/wait", made), params={"condition": "removed"}, stream=True
    )
    assert response.status_code == 200
    client.api.start(made)
    assert response.json()["StatusCode"] == 4
    with pytest.raises(docker.errors.NotFound):
        client.api.inspect_container(made)


def test_namespaces_are_shared_and_what_cannot_be_shared_says_why(client: Any) -> None:
    donor = client.containers.run("busybox", ["sleep", "60"], detach=True, ipc_mode="shareable")
    assert donor.exec_run(["sh", "-c", "echo handed > /dev/shm/over"]).exit_code == 0
    shared = f"container:{donor.name}"
    seen = client.containers.run(
        "busybox", ["sh", "-c", "cat /dev/shm/over; ps"], ipc_mode=shared, pid_mode=shared, remove=True
    )
    assert b"handed" in seen
    assert b"sleep 60" in seen
    donor.stop(timeout=0)
    with pytest.raises(docker.errors.APIError, match="is not running"):
        client.containers.run("busybox", ["true"], pid_mode=shared)


def test_top_takes_ps_options_and_an_exec_takes_user_folder_and_variables(client: Any) -> None:
    made = client.containers.run("busybox", ["sleep", "60"], detach=True)
    assert made.top()["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    shown = made.top(ps_args="waux")
    assert shown["Titles"][:2] == ["USER", "PID"]
    assert shown["Processes"][0][10] == "sleep 60"
    script = "id -u; pwd; echo $WHAT; grep NoNewPrivs /proc/self/status"
    done = made.exec_run(["sh", "-c", script], user="1000", workdir="/tmp", environment={"WHAT": "given"})
    assert done.output.split()[:3] == [b"1000", b"/tmp", b"given"]
    privileged = made.exec_run(["grep", "CapEff", "/proc/self/status"], privileged=True)
    assert int(privileged.output.split()[1], 16) == (1 << 41) - 1
    made.stop(timeout=0)


def test_a_restarted_auto_removed_container_stays_until_it_is_stopped(client: Any) -> None:
    made = client.containers.run("busybox", ["sleep", "60"], detach=True, remove=True)
    made.restart(timeout=0)
    made.reload()
    assert made.status == "running"
    made.stop(timeout=0)
    wait_until(lambda: client.containers.list(all=True, ignore_removed=True) == [], "it is removed")
