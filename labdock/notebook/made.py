"""Which widget a command's result has."""

from __future__ import annotations

from typing import Any

from labdock.commands.cards import ContainerCard, ImageCard
from labdock.commands.results import Records, Result
from labdock.errors import Unsupported
from labdock.notebook.dashboard import Dashboard
from labdock.notebook.face import kernel_client
from labdock.notebook.widgets import BuildTimeline, LayerExplorer, LogViewer, Panel, UsageCharts, toolkit


class Together(Panel):
    """Panels in tabs."""

    def __init__(self, panels: dict[str, Panel]) -> None:
        self.panels = panels
        kit = toolkit()
        tabs = kit.Tab([panel.widget for panel in panels.values()])
        for index, title in enumerate(panels):
            tabs.set_title(index, title)
        super().__init__(tabs)

    def close(self) -> None:
        for panel in self.panels.values():
            panel.close()


def widget_of(result: Result) -> Panel:
    """Raises Unsupported for a result that has none."""
    match result:
        case ContainerCard():
            return Together({"Log": LogViewer(result.id), "Usage": UsageCharts(result.id)})
        case ImageCard():
            parts: dict[str, Panel] = {"Layers": LayerExplorer(result.id, kernel_client())}
            return Together(parts | ({"Build": BuildTimeline(result.view)} if result.view else {}))
        case Records() if result.kind == "containers":
            return Dashboard(kernel_client())
        case Records() if result.kind == "images":
            return Together({_name(image): LayerExplorer(image.id, kernel_client()) for image in result[:MOST_IMAGES]})
    raise Unsupported(
        f"this has no widget: {type(result).__name__}",
        hint="containers, images and builds have one; labdock.dashboard() shows all containers",
    )


#: Images whose layers are read at once.
MOST_IMAGES = 8


def _name(image: Any) -> str:
    return str(image.repo_tags[0] if image.repo_tags else image.id[:19])
