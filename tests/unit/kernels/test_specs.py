"""Kernelspecs: what is written into them, found again, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from labdock.errors import Conflict, InvalidRequest, NotFound
from labdock.kernels import adding, specs
from labdock.kernels.specs import KernelSpec, Settings


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's data folder."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    return tmp_path / "jupyter"


def spec_for(image: str = "python:3.13", **settings: object) -> KernelSpec:
    name = specs.name_for(image)
    return KernelSpec(
        name=name,
        display_name=f"Python 3.13 in {image}",
        settings=Settings(image=image, **settings),  # type: ignore[arg-type]
        folder=str(specs.user_folder() / name),
        language_version="3.13.0",
        debugger=True,
        notes=("a note",),
    )


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("python:3.13", "python-3.13"),
        ("python", "python"),
        ("python:latest", "python"),
        ("localhost:5000/class/Data_Tools:2", "data_tools-2"),
        ("docker.io/jupyter/base-notebook@sha256:" + "0" * 64, "base-notebook"),
        ("sha256:" + "a" * 64, "sha256-" + "a" * 64),
    ],
)
def test_a_kernel_is_named_for_its_image(image: str, name: str) -> None:
    assert specs.name_for(image) == name
    assert specs.check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "../x", ".hidden", "a/b", "ü"])
def test_names_that_jupyter_would_not_take_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="can't be a kernel's name"):
        specs.check_name(name)


def test_what_is_written_is_found_again(jupyter: Path) -> None:
    spec = spec_for(mounts=("/data:/data:ro",), memory=1 << 30, nano_cpus=1_500_000_000, network="none")
    specs.write(spec, {}, replace=False)
    assert specs.find_all() == [spec]
    assert [path.name for path in (jupyter / "kernels").iterdir()] == ["python-3.13"], "nothing is left beside it"


def test_jupyter_reads_it_and_knows_the_provisioner(jupyter: Path) -> None:
    specs.write(spec_for(memory=1 << 30), {"GREETING": "hello"}, replace=False)
    read = KernelSpecManager(ensure_native_kernel=False).get_kernel_spec("python-3.13")
    assert read.interrupt_mode == "message"
    assert read.metadata["debugger"] is True
    assert read.metadata["kernel_provisioner"] == {
        "provisioner_name": "labdock-provisioner",
        "config": {"image": "python:3.13", "memory": 1 << 30},
    }
    assert read.resource_dir == str(jupyter / "kernels/python-3.13")
    assert (jupyter / "kernels/python-3.13/logo-svg.svg").read_text().startswith("<svg")


def test_the_command_says_all_that_the_provisioner_is_told() -> None:
    settings = Settings(
        image="app",
        image_id="sha256:1",
        python="/opt/bin/python",
        mounts=("/a:/b", "v:/c:ro"),
        network="none",
        memory=1024,
        nano_cpus=1_500_000_000,
        user="1000",
    )
    argv = specs.argv_for(settings, {"TOKEN": "hunter2"})
    assert Path(argv[0]).name == "labdock"
    assert (
        argv[1:]
        == (
            "kernel launch --image app -f {connection_file} --image-id sha256:1 --python /opt/bin/python "
            "--network none --memory 1024 --cpus 1.5 --user 1000 --mount /a:/b --mount v:/c:ro --env TOKEN"
        ).split()
    )


def test_values_are_no_templates_and_nobody_elses_to_read(jupyter: Path) -> None:
    specs.write(spec_for(), {"PRICE": "$HOME", "TOKEN": "hunter2"}, replace=False)
    file = jupyter / "kernels/python-3.13/kernel.json"
    assert json.loads(file.read_text())["env"] == {"PRICE": "$$HOME", "TOKEN": "hunter2"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in json.dumps(json.loads(file.read_text())["argv"])


def test_a_kernel_without_provisioner_has_only_its_command(jupyter: Path) -> None:
    import msgspec

    specs.write(msgspec.structs.replace(spec_for(), provisioner=False), {}, replace=False)
    wire = json.loads((jupyter / "kernels/python-3.13/kernel.json").read_text())
    assert "kernel_provisioner" not in wire["metadata"]
    assert not specs.find_all()[0].provisioner


def test_a_name_that_is_taken(jupyter: Path) -> None:
    import msgspec

    first = spec_for()
    specs.write(first, {}, replace=False)
    specs.write(first, {}, replace=False)  # The same image: it is what was looked at last.
    other = msgspec.structs.replace(first, settings=Settings(image="other"))
    with pytest.raises(Conflict, match=r"the kernel python-3\.13 runs in python:3\.13"):
        specs.write(other, {}, replace=False)
    specs.write(other, {}, replace=True)
    assert specs.find_all()[0].image == "other"


def test_kernels_of_others_are_neither_replaced_nor_removed(jupyter: Path) -> None:
    folder = jupyter / "kernels/python-3.13"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["x"], "display_name": "mine", "metadata": {}}')
    with pytest.raises(Conflict, match="not labdock's"):
        specs.write(spec_for(), {}, replace=True)
    with pytest.raises(NotFound, match="not labdock's"):
        specs.remove("python-3.13")
    assert specs.find_all() == []
    assert (folder / "kernel.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"metadata": {"labdock": 3}}', '{"metadata": {"labdock": {}}}'])
def test_what_can_t_be_read_is_not_listed(jupyter: Path, text: str) -> None:
    folder = jupyter / "kernels/broken"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(text)
    assert specs.find_all() == []


def test_removing(jupyter: Path) -> None:
    specs.write(spec_for(), {}, replace=False)
    assert specs.remove("Python-3.13").image == "python:3.13"
    assert specs.find_all() == []
    with pytest.raises(NotFound, match=r"no such kernel: python-3\.13"):
        specs.remove("python-3.13")


@pytest.mark.parametrize(
    ("image", "derived"),
    [
        ("python:3.13", "python-kernel:3.13"),
        ("python", "python-kernel:latest"),
        ("localhost:5000/a/b", "localhost:5000/a/b-kernel:latest"),
        ("localhost:5000/a/b:1@sha256:" + "0" * 64, "localhost:5000/a/b-kernel:1"),
    ],
)
def test_an_image_with_a_kernel_in_it_is_named_for_its_base(image: str, derived: str) -> None:
    assert adding.derived_name(image) == derived


def test_the_build_needs_no_shell_and_leaves_the_user() -> None:
    text = adding.dockerfile_for("app", "/opt/python", "jovyan", wheels=False, settings=("PIP_INDEX_URL",))
    lines = text.splitlines()
    assert lines[0] == "FROM app"
    assert lines[-1] == "USER jovyan"
    run = next(line for line in lines if line.startswith("RUN"))
    assert run.startswith('RUN --mount=type=secret,id=PIP_INDEX_URL,env=PIP_INDEX_URL ["/opt/python","-m","pip"')
    assert '"ipywidgets>=8"' in run
    wheels = adding.dockerfile_for("app", "python3", "", wheels=True)
    assert "--no-index" in wheels
    assert "type=bind" in wheels
    assert wheels.count("\nUSER ") == 1


def test_mounts_are_made_absolute_and_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert adding.absolute("./data:/data:ro") == f"{tmp_path}/data:/data:ro"
    assert adding.absolute("~/data:/data") == f"{tmp_path}/data:/data"
    assert adding.absolute("volume:/data") == "volume:/data"
    # The engine's own takes its place: it need not be there.
    assert adding.absolute("/var/run/docker.sock:/x.sock") == "/var/run/docker.sock:/x.sock"
    with pytest.raises(InvalidRequest, match="there is no"):
        adding.absolute("./nowhere:/data")
