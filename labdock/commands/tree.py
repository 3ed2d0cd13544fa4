"""The one command tree: ``labdock run`` in a terminal and ``%container run`` in a cell are the same command.

A command's module is imported when the command is used: listing names and helps imports none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face

F = TypeVar("F", bound=Callable[..., Any])
TRUE, FALSE = ("true", "1", "t"), ("false", "0", "f")


class Command(click.Command):
    """A command with Docker's habit of ``--flag=false`` beside ``--flag``; ``--json`` is ``--format json``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._plain_flags(args))

    def _plain_flags(self, args: list[str]) -> list[str]:
        """*args* with ``--flag=true`` as ``--flag`` and ``--flag=false`` as its opposite or nothing."""
        options = {name: p for p in self.params if isinstance(p, click.Option) for name in p.opts}
        plain: list[str] = []
        rest = list(args)
        while rest:
            arg = rest.pop(0)
            if arg == "--" or (not arg.startswith("-") and not self.allow_interspersed_args):
                return [*plain, arg, *rest]
            if arg == "--json" and "--format" in options and arg not in options:
                plain += ["--format", "json"]
                continue
            name, given, value = arg.partition("=")
            option = options.get(name)
            if option is not None and option.is_flag and given:
                if value.lower() not in TRUE + FALSE:
                    raise click.BadParameter(f'invalid argument "{value}" for "{name}" flag: it is true or false')
                plain += [name] if value.lower() in TRUE else option.secondary_opts[:1]
                continue
            plain.append(arg)
            if rest and _wants_value(arg, options):
                plain.append(rest.pop(0))
        return plain


def _wants_value(arg: str, options: Mapping[str, click.Option]) -> bool:
    """Whether *arg* is an option whose value is the next argument."""
    if arg.startswith("--"):
        option = options.get(arg)
        return option is not None and not option.is_flag
    letters = arg[1:] if arg.startswith("-") else ""
    for index, letter in enumerate(letters):
        option = options.get(f"-{letter}")
        if option is None or not option.is_flag:
            return option is not None and index == len(letters) - 1
    return False


class LazyGroup(click.Group):
    """A group whose commands are named with their place and their short help. A name may be two words."""

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str]],
        aliases: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy
        self.aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(name for name, (_, text) in self.lazy.items() if text)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name not in self.lazy:
            return None
        module, _, name = self.lazy[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(f"labdock.commands.{module}"), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (both := " ".join(args[:2])) in self.lazy and len(args) > 1:
            return both, self.get_command(ctx, both), args[2:]
        if args[0] not in self.lazy and args[0] not in self.aliases and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], self.lazy, n=2)
            hint = "did you mean " + " or ".join(close) + "?" if close else f"see {ctx.command_path} --help"
            raise InvalidRequest(f"'{args[0]}' is not a {ctx.command_path} command.", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lazy[name][1]) for name in self.list_commands(ctx)])
        if self.aliases:
            with formatter.section("Aliases"):
                formatter.write_dl([(alias, name) for alias, name in self.aliases.items()])


def command(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """``click.command`` for this tree; *stops*: options end at the first argument, as in ``docker run``."""
    if settings.pop("stops", False):
        settings["context_settings"] = {"allow_interspersed_args": False}
    return click.command(name, cls=Command, **settings)


def group(name: str, lazy: Mapping[str, tuple[str, str]], text: str) -> LazyGroup:
    aliases = {alias: command for alias, command in ALIASES.items() if command in lazy and alias not in lazy}
    if lazy is CONTAINER:
        aliases["ps"] = "ls"
    return LazyGroup(name, lazy=lazy, aliases=aliases, help=text)


#: Docker's other names, in groups that have the command.
ALIASES = {"list": "ls", "remove": "rm"}


CONTAINER = {
    "attach": ("talking:attach", "Attach to a running container's input, output and errors"),
    "commit": ("copying:commit", "Create a new image from a container's changes"),
    "cp": ("copying:copy", "Copy files between a container and this machine"),
    "create": ("running:create", "Create a new container"),
    "diff": ("copying:diff", "Inspect changes to a container's files"),
    "exec": ("talking:execute", "Execute a command in a running container"),
    "export": ("copying:export", "Export a container's files as a tar archive"),
    "inspect": ("inspecting:inspect_container", "Display detailed information on containers"),
    "kill": ("lifecycle:kill", "Kill one or more running containers"),
    "logs": ("talking:logs", "Fetch the logs of a container"),
    "ls": ("listing:ps", "List containers"),
    "pause": ("lifecycle:pause", "Pause all processes within one or more containers"),
    "port": ("listing:port", "List port mappings of a container"),
    "prune": ("updating:prune", "Remove all stopped containers"),
    "rename": ("lifecycle:rename", "Rename a container"),
    "restart": ("lifecycle:restart", "Restart one or more containers"),
    "rm": ("lifecycle:remove", "Remove one or more containers"),
    "run": ("running:run", "Create and run a new container from an image"),
    "start": ("lifecycle:start", "Start one or more stopped containers"),
    "stats": ("usage:stats", "Display a live stream of containers' resource usage"),
    "stop": ("lifecycle:stop", "Stop one or more running containers"),
    "top": ("listing:top", "Display the running processes of a container"),
    "unpause": ("lifecycle:unpause", "Unpause all processes within one or more containers"),
    "update": ("updating:update", "Update configuration of one or more containers"),
    "wait": ("lifecycle:wait", "Block until containers stop, then print their exit codes"),
}
#: Docker's groups for what there is not here: not listed, and they say so.
FOREIGN = ("checkpoint", "config", "node", "secret", "service", "stack", "swarm", "trust")
IMAGE = {
    "bootstrap": ("images:bootstrap", "Make a base image from a distribution's packages"),
    "build": ("building:build", "Build an image from a Dockerfile"),
    "bundle": ("bundling:bundle", "Write images to a folder or tar for machines without a network"),
    "history": ("images:history", "Show the history of an image"),
    "import": ("pulling:import_tar", "Make an image from a tar of a root file system"),
    "inspect": ("inspecting:inspect_image", "Display detailed information on images"),
    "load": ("images:load", "Load images from a tar archive or standard input"),
    "ls": ("images:images", "List images"),
    "prune": ("disk:prune_images", "Remove unused images"),
    "pull": ("pulling:pull", "Download an image from a registry"),
    "push": ("pulling:push", "Upload an image to a registry"),
    "rm": ("images:remove", "Remove one or more images"),
    "save": ("images:save", "Save images to a tar archive"),
    "tag": ("images:tag", "Give an image another name"),
}
MANIFEST = {
    "annotate": ("manifests:annotate", "Add additional information to a local image manifest"),
    "create": ("manifests:create", "Create a local manifest list for annotating and pushing to a registry"),
    "inspect": ("manifests:inspect", "Display an image manifest, or manifest list"),
    "push": ("manifests:push", "Push a manifest list to a repository"),
    "rm": ("manifests:remove", "Delete one or more manifest lists from local storage"),
}
PLUGIN = {
    **{name: (f"plugins:{name}", "") for name in ("create", "install", "push", "upgrade")},
    "disable": ("plugins:disable", "Disable a plugin"),
    "enable": ("plugins:enable", "Enable a plugin"),
    "inspect": ("plugins:inspect", "Display detailed information on plugins"),
    "ls": ("plugins:listing", "List plugins"),
    "rm": ("plugins:remove", "Remove one or more plugins"),
    "set": ("plugins:change", "Change settings for a plugin"),
}
REGISTRY = {
    "serve": ("serving:serve", "Serve the engine's images as a registry"),
    "status": ("serving:status", "Say whether and where the engine's images are served"),
    "stop": ("serving:stop", "Stop serving the engine's images"),
}
NETWORK = {
    "connect": ("networks:connect", "Connect a container to a network"),
    "create": ("networks:create", "Create a network"),
    "disconnect": ("networks:disconnect", "Disconnect a container from a network"),
    "graph": ("network_map:graph", "Draw networks and the containers in them"),
    "inspect": ("networks:inspect", "Display detailed information on networks"),
    "ls": ("networks:listing", "List networks"),
    "prune": ("networks:prune", "Remove all unused networks"),
    "rm": ("networks:remove", "Remove one or more networks"),
}
VOLUME = {
    "create": ("volumes:create", "Create a volume"),
    "export": ("volumes:export", "Write a volume's files to a tar archive"),
    "import": ("volumes:import_tar", "Make a volume of a tar archive"),
    "inspect": ("volumes:inspect", "Display detailed information on volumes"),
    "ls": ("volumes:listing", "List volumes"),
    "prune": ("volumes:prune", "Remove unused volumes"),
    "rm": ("volumes:remove", "Remove one or more volumes"),
    "update": ("volumes:update", "Update a volume (cluster volumes only)"),
}
CONTEXT = {
    "create": ("contexts:create", "Create a context"),
    "export": ("contexts:export", "Export a context to a tar archive"),
    "import": ("contexts:import_archive", "Import a context from a tar archive"),
    "inspect": ("contexts:inspect", "Display detailed information on contexts"),
    "ls": ("contexts:listing", "List contexts"),
    "rm": ("contexts:remove", "Remove one or more contexts"),
    "show": ("contexts:show", "Print the name of the current context"),
    "update": ("contexts:update", "Update a context"),
    "use": ("contexts:use", "Set the current context"),
}
SYSTEM = {
    "dial-stdio": ("contexts:dial_stdio", ""),
    "df": ("disk:df", "Show disk usage"),
    "events": ("system:events", "Get real time events from the engine"),
    "info": ("system:info", "Display system-wide information"),
    "prune": ("pruning:prune", "Remove unused data"),
}
ENGINE = {
    "env": ("engine:environment", "Print the shell line that points docker at this engine"),
    "logs": ("engine:logs", "Show the engine's own log"),
    "start": ("engine:start", "Start the engine if it does not run"),
    "status": ("engine:status", "Say whether the engine runs, and how"),
    "stop": ("engine:stop", "Stop the engine and everything in it"),
}
COMPOSE = {
    "attach": ("compose_service:attach", "Attach to a service's running container"),
    "bridge": ("compose_listing:refused", ""),
    "build": ("compose_images:build", "Build or rebuild services"),
    "commit": ("compose_service:commit", "Create a new image from a service container's changes"),
    "config": ("compose_showing:config", "Check the files and show them as they are understood"),
    "convert": ("compose_showing:config", ""),
    "cp": ("compose_running:copy", "Copy files between a service container and this machine"),
    "create": ("compose_up:create", "Create containers for services, without starting them"),
    "down": ("compose_life:down", "Stop and remove containers and networks"),
    "events": ("compose_showing:events", "Receive real time events from containers"),
    "exec": ("compose_running:execute", "Execute a command in a running container"),
    "export": ("compose_service:export", "Export a service container's files as a tar archive"),
    "images": ("compose_images:images", "List images used by the created containers"),
    "kill": ("compose_life:kill", "Force stop service containers"),
    "logs": ("compose_logs:logs", "View output from containers"),
    "ls": ("compose_listing:projects", "List projects"),
    "pause": ("compose_life:pause", "Pause services"),
    "port": ("compose_showing:port", "Print the public port for a port binding"),
    "ps": ("compose_showing:ps", "List containers"),
    "publish": ("compose_listing:refused", ""),
    "pull": ("compose_images:pull", "Pull service images"),
    "push": ("compose_images:push", "Push the images of services that are built"),
    "restart": ("compose_life:restart", "Restart service containers"),
    "rm": ("compose_life:remove", "Remove stopped service containers"),
    "run": ("compose_running:run", "Run a one-off command on a service"),
    "scale": ("compose_up:scale", "Scale services"),
    "start": ("compose_life:start", "Start services"),
    "stats": ("compose_service:stats", "Display a live stream of the containers' resource usage"),
    "stop": ("compose_life:stop", "Stop services"),
    "top": ("compose_showing:top", "Display the running processes"),
    "unpause": ("compose_life:unpause", "Unpause services"),
    "up": ("compose_up:up", "Create and start containers"),
    "version": ("compose_listing:version", "Show which Compose this is"),
    "volumes": ("compose_listing:volumes", "List volumes"),
    "wait": ("compose_service:wait", "Block until containers of all the services stop"),
    "watch": ("compose_listing:refused", "Refused: files are not watched"),
}
KERNEL = {
    "add": ("kernels:add", "Make an image a notebook kernel"),
    "launch": ("kernels:launch", "Run a kernel for a front end that ignores provisioners"),
    **dict.fromkeys(("list", "ls"), ("kernels:listing", "List the kernels that labdock has made")),
    "remove": ("kernels:remove", "Remove kernels from Jupyter"),
    "rm": ("kernels:remove", "Remove kernels from Jupyter"),
}
BUILDER = {
    "build": IMAGE["build"],
    "prune": ("builders:prune", "Remove build cache"),
}
ROOT = {
    **{name: place for name, place in CONTAINER.items() if name not in ("ls", "inspect", "prune")},
    "__complete": ("completing:answer", ""),
    "api": ("contract:api", "Show the endpoints that the engine serves"),
    "build": IMAGE["build"],
    "builder": ("tree:builder", "Manage builds"),
    "completion": ("completing:completion", "Print a shell's script for tab completion"),
    "compose": ("compose:compose", "Define and run several containers by one file"),
    "container": ("tree:container", "Manage containers"),
    "context": ("tree:context", "Manage contexts: which engine is meant"),
    "debug": ("builders:debug", "Look around in the state before the step at which a build failed"),
    "df": SYSTEM["df"],
    "doctor": ("engine:doctor", "Say what this machine allows, and what would lift each limit"),
    "engine": ("tree:engine", "Manage the engine"),
    "events": SYSTEM["events"],
    "explain": ("explanation:explain", "Draw what the engine did to make a container"),
    "history": IMAGE["history"],
    "image": ("tree:image", "Manage images"),
    "images": IMAGE["ls"],
    "images bundle": IMAGE["bundle"],
    "import": IMAGE["import"],
    "info": SYSTEM["info"],
    "inspect": ("inspecting:inspect", "Display detailed information on containers, images, networks, volumes"),
    "kernel": ("tree:kernel", "Manage kernels inside images"),
    "load": IMAGE["load"],
    "login": ("registries:login", "Log in to a registry"),
    "logout": ("registries:logout", "Log out from a registry"),
    "manifest": ("tree:manifest", "Manage manifests and lists of them"),
    "network": ("tree:network", "Manage networks"),
    "plugin": ("tree:plugin", ""),
    "ps": CONTAINER["ls"],
    "pull": IMAGE["pull"],
    "push": IMAGE["push"],
    "registry": ("tree:registry", "Serve the engine's images to others"),
    "rmi": IMAGE["rm"],
    "save": IMAGE["save"],
    "search": ("registries:search", "Search a registry for images"),
    "shell-at": ("builders:shell_at", "Look around in the state after a step of the last build"),
    "system": ("tree:system", "Manage the whole"),
    "tag": IMAGE["tag"],
    "version": ("system:version", "Show the versions of client and engine"),
    "volume": ("tree:volume", "Manage volumes"),
    **{name: (f"foreign:{name}", "") for name in FOREIGN},
}

container = group("container", CONTAINER, "Manage containers.")
builder = group("builder", BUILDER, "Manage builds.")
image = group("image", IMAGE, "Manage images.")
manifest = group("manifest", MANIFEST, "Manage manifests and lists of them: one name, an image for each platform.")
plugin = group("plugin", PLUGIN, "Manage plugins, on engines that have them.")
context = group("context", CONTEXT, "Manage contexts: which engine is meant.")
registry = group("registry", REGISTRY, "Serve the engine's images to others.")
network = group("network", NETWORK, "Manage networks.")
volume = group("volume", VOLUME, "Manage volumes.")
system = group("system", SYSTEM, "Manage the whole.")
kernel = group("kernel", KERNEL, "Manage notebook kernels inside images.")
engine = group("engine", ENGINE, "Manage the engine.")


@click.group("labdock", cls=LazyGroup, lazy=ROOT)
@click.option("--config", help="Location of client config files (default ~/.docker)")
@click.option("-c", "--context", "chosen", help="Name of the context to use (overrides DOCKER_HOST and `context use`)")
@click.option("-D", "--debug", is_flag=True, help="Taken for docker's sake: `labdock engine logs` has the log")
@click.option("-H", "--host", help="Daemon socket to connect to")
@click.option(
    "-l",
    "--log-level",
    type=click.Choice(["debug", "info", "warn", "error", "fatal"]),
    help="Taken for docker's sake: `labdock engine logs` has the log",
)
@click.option("--tls", is_flag=True, help="Use TLS; implied by --tlsverify")
@click.option("--tlscacert", help="Trust certs signed only by this CA")
@click.option("--tlscert", help="Path to TLS certificate file")
@click.option("--tlskey", help="Path to TLS key file")
@click.option("--tlsverify", is_flag=True, help="Use TLS and verify the remote")
@click.version_option(None, "-v", "--version", message="labdock version %(version)s", package_name="labdock")
@click.pass_obj
def root(face: Face, /, **options: Any) -> None:
    """A Docker engine that you pip install.

    The commands and their options are Docker's own. The engine starts at first use.
    """
    if given := {name: value for name, value in options.items() if value}:
        face.choose(overrides(given))


def overrides(given: Mapping[str, Any]) -> dict[str, str]:
    """The options before the command as the environment's variables, which they stand above."""
    if given.get("host") and given.get("chosen"):
        raise InvalidRequest("conflicting options: cannot specify both --host and --context")
    found = {OPTION_VARIABLES[name]: str(value) for name, value in given.items() if name in OPTION_VARIABLES}
    if given.get("host"):
        found["LABDOCK_HOST"] = host_address(given["host"])
    if given.get("chosen"):
        found |= {"LABDOCK_HOST": "", "DOCKER_HOST": "", "DOCKER_CONTEXT": given["chosen"]}
    if given.get("tls") or given.get("tlsverify"):
        found |= {"DOCKER_TLS": "1", "DOCKER_TLS_VERIFY": "1" if given.get("tlsverify") else ""}
    return found


def host_address(text: str) -> str:
    """``tcp://`` before what has no scheme, as Docker's ``-H`` takes it."""
    return text if "://" in text else f"tcp://{text}"


OPTION_VARIABLES = {
    "config": "DOCKER_CONFIG",
    "tlscacert": "LABDOCK_TLS_CA",
    "tlscert": "LABDOCK_TLS_CERT",
    "tlskey": "LABDOCK_TLS_KEY",
}
