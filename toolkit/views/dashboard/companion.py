"""What a job shows on the dashboard of the scheduler that its runs are on."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolkit.views.dashboard.board import View
from toolkit.views.dashboard.publisher import Publisher
from toolkit.views.snapshot import Snapshot

if TYPE_CHECKING:
    from distributed import Client

    from toolkit.execution.job import Job
    from toolkit.views.pictures import Pictures


def show_on_dashboard(job: "Job", title: str) -> None:
    """Have a job show how it goes on the page, from its beginning to its end.

    Parameters
    ----------
    job
        Not yet begun.
    title
        What people call the sweep.
    """
    job.accompany(Publisher(uuid.uuid4().hex, _Told(job, title)))


class _Told:
    """What is posted of a job."""

    def __init__(self, job: "Job", title: str) -> None:
        self.title = title
        self._job = job
        self._pictures: Pictures | None = None
        self._views: tuple[View, ...] = ()

    @property
    def client(self) -> "Client | None":
        return self._job.client

    def snapshot(self) -> Snapshot:
        from toolkit.views.live import snapshot_of

        return snapshot_of(self._job)

    def views(self) -> tuple[View, ...]:
        from toolkit.views.dashboard.maps import views_of

        if not self._views or self._job.chooses_points:
            self._views = views_of(self._drawn(), self._stages())
        return self._views

    def draw(self, view: View) -> Mapping[str, Any]:
        from toolkit.views.dashboard.maps import draw_map

        return draw_map(self._drawn(), view, self._stages())

    def _drawn(self) -> "Pictures":
        from toolkit.views.pictures import Pictures

        if self._pictures is None:
            self._pictures = Pictures.of_job(self._job)
        return self._pictures

    def _stages(self) -> tuple[str, ...]:
        return tuple(step.name for step in self._job.steps if step.is_kept)
