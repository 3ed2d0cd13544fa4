"""The Builder: a request to an image. Reads the Dockerfile, plans it, builds the stages it needs, assembles the image.

Runs on the event loop; what blocks runs in worker threads.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from labdock.build import (
    BuildRequest,
    BuildStepFailed,
    ImageStore,
    OnEvent,
    Puller,
    Runner,
    StepRecords,
)
from labdock.build.cache import StepCache
from labdock.build.caches import CacheFolders
from labdock.build.checks import Finding
from labdock.build.job import Job
from labdock.build.opening import check_request, open_request
from labdock.build.progress import Progress
from labdock.build.sources import Fetcher, FetchRecords
from labdock.build.traces import Traces
from labdock.build.workspace import OpenTree, Workspace, recover
from labdock.errors import LabdockError, SystemFailure
from labdock.store.content import ContentStore
from labdock.store.snapshots import Snapshotter
from labdock.store.snapshots.mounting import open_mounted, unmount_below


class Builder:
    """Builds images. ``folder`` is on the data disk: builds keep short-lived folders in it.

    ``now`` gives ns since the epoch. One Builder serves any number of builds at once.
    """

    def __init__(
        self,
        images: ImageStore,
        snapshotter: Snapshotter,
        content: ContentStore,
        runner: Runner,
        puller: Puller,
        records: StepRecords,
        folder: Path,
        *,
        caches: CacheFolders,
        traces: Traces,
        fetcher: Fetcher | None = None,
        fetched: FetchRecords | None = None,
        now: Callable[[], int] = time.time_ns,
        open_tree: OpenTree = open_mounted,
    ) -> None:
        self.images = images
        self.snapshotter = snapshotter
        self.runner = runner
        self.puller = puller
        self.cache = StepCache(records, snapshotter, content, now)
        self.caches = caches
        self.traces = traces
        self.fetcher = fetcher
        self.fetched = fetched
        self.folder = folder
        self.now = now
        self.open_tree = open_tree

    def recover(self) -> int:
        """At start, before any build: remove what a killed process left. Gives how many snapshots that were."""
        unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.caches.recover()
        return recover(self.snapshotter)

    async def build(self, request: BuildRequest, on_event: OnEvent) -> str:
        """Build; gives the image's id. Cancelling it ends the running step and leaves nothing half-made.

        Raises DockerfileError and InvalidRequest before the first event for a request that can't be begun.
        After that every failure is emitted as BuildFailed, then raised (BuildStepFailed for a RUN's exit code).
        """
        opened = await asyncio.to_thread(open_request, request, self.images)
        plan, epoch, context = opened.plan, opened.epoch, opened.context
        folder = await asyncio.to_thread(self._make_folder)
        workspace = Workspace(self.snapshotter, self.images, folder / "tree", self.open_tree)
        workspace.epoch = 0 if epoch is None and request.reproducible else epoch
        progress = Progress(on_event, plan.total)
        debug = ""
        try:
            with self.images.leases.hold() as hold:
                build = Job(self, request, plan, context, workspace, progress, hold, folder)
                for finding in opened.findings:
                    on_event(finding.notice())
                try:
                    return await build.run()
                except BuildStepFailed:
                    debug = await build.keep_failed()
                    raise
                finally:
                    await build.close()
        except LabdockError as error:
            progress.failed(error, debug)
            raise
        except OSError as error:
            failure = SystemFailure(f"building: {error}")
            progress.failed(failure)
            raise failure from error
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))

    async def check(self, request: BuildRequest) -> tuple[Finding, ...]:
        """Only what the checks say: of the target and what it needs, or of all stages when none is named.

        Raises InvalidRequest, DockerfileError as :meth:`build` does, and when findings are to be errors.
        """
        return await asyncio.to_thread(check_request, request, self.images)

    def _make_folder(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "tree").mkdir()
        return folder
