"""A cluster that runs: Dask's scheduler in this process, workers by tiers, and a client."""

import atexit
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dask
from distributed import Client, Scheduler
from distributed.deploy.spec import SpecCluster

from toolkit.clusters.adapting import Adapting, Jobs
from toolkit.clusters.addresses import dashboard_link
from toolkit.clusters.dashboard_pages import closed_pages
from toolkit.clusters.profile import Profile
from toolkit.clusters.tiers import Ladder
from toolkit.errors import ClusterError
from toolkit.markup import link, table, view

if TYPE_CHECKING:
    from types import TracebackType

START_SECONDS = 60.0
"""That a worker waits for its scheduler, at its start and when it was lost."""

# Dask looks every 20 ms whether its event loops keep up, which takes 2 % of a core in the
# scheduler and in each nanny, all the time.
TICK = "500ms"


class Site(Jobs, Protocol):
    """What kinds of clusters differ in."""

    @property
    def certificates(self) -> Path | None:
        """The folder of the files that another client needs, None where it needs none."""

    waits: bool
    """Whether workers come at once, so that a start or a change of their number waits for them."""

    def scheduler_options(self) -> dict[str, Any]:
        """Return what Dask's scheduler is started with."""

    def security(self) -> Any:
        """Return Dask's security of the scheduler and the client, None where all is in the clear.

        Called once, before anything starts.
        """

    def check(self) -> None:
        """Raise a ClusterError where nobody would ever work."""

    def scaled(self, tier: str, jobs: int) -> None:
        """Hear that a number of jobs was asked for by hand."""

    def close(self) -> None:
        """End what may be left of workers, and remove the files made for them; twice is fine."""


class RunningCluster:
    """Workers by tiers, with a Dask client.

    Use it as a context manager; it starts on entry (or at the first use of :attr:`client`) and
    closes on exit. The workers are processes of their own that never import the calling script,
    so no ``if __name__ == "__main__":`` is needed. A worker that dies is replaced.

    Parameters
    ----------
    profile
        Describes it.
    site
        Makes its workers.
    """

    def __init__(self, profile: Profile, site: Site) -> None:
        self.profile = profile
        self._site = site
        self._cluster: SpecCluster | None = None
        self._adapting: Adapting | None = None
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The Dask client of this cluster."""
        self._start()
        assert self._client is not None
        return self._client

    @property
    def dashboard_link(self) -> str | None:
        """Address of the Dask dashboard, None where it is switched off."""
        link, address = self.client.dashboard_link, self.profile.settings.dashboard
        return dashboard_link(link, address) if link and address is not None else None

    @property
    def certificates(self) -> Path | None:
        """The folder of the files that another Dask client needs, None where it needs none."""
        return self._site.certificates

    @property
    def ladder(self) -> Ladder:
        """The tiers, the cheapest first."""
        return self._site.ladder

    def scale(self, count: int | None, tier: str | None = None) -> None:
        """Have ``count`` jobs of one tier (of the only tier, where there is one).

        On this machine a job is a worker, and those asked for are waited for; those of a job queue
        come when they can. The number stays until another is asked for.

        Parameters
        ----------
        count
            Of jobs; None: as many as the work is worth, within the profile's limits.
        tier
            Its name.

        Raises
        ------
        ClusterError
            If ``tier`` is not one of the profile's, or is needed and not given.
        """
        tiers = self.profile.settings.tiers
        if tier is None and len(tiers) == 1:
            [tier] = tiers
        if tier is None or tier not in tiers:
            raise ClusterError(
                f"The tiers of this cluster are {', '.join(map(repr, tiers))}; found tier={tier!r}."
            )
        if count is not None and count < 0:
            raise ClusterError(f"scale() needs a count of at least 0, found {count}.")
        client = self.client
        assert self._cluster is not None
        assert self._adapting is not None
        if count is not None:
            self._site.scaled(tier, count)
        workers = self._cluster.sync(self._adapting.scale, tier, count)
        if self._site.waits and workers:
            client.wait_for_workers(workers, timeout=START_SECONDS)

    def close(self) -> None:
        """Stop the workers and the scheduler. Closing twice does nothing."""
        atexit.unregister(self.close)
        client, cluster, adapting = self._client, self._cluster, self._adapting
        self._client = self._cluster = self._adapting = None
        try:
            if cluster is not None and adapting is not None:
                cluster.sync(adapting.stop)
            if client is not None:
                client.close()
        finally:
            self._site.close()
            if cluster is not None:
                cluster.close()

    def __enter__(self) -> "RunningCluster":
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._client is None:
            return f"<cluster {self.profile.name!r}: not started>"
        threads = sum(self._client.nthreads().values())
        workers = len(self._client.nthreads())
        waits = dict(self._adapting.waits) if self._adapting is not None else {}
        waiting = "".join(f"; tier {tier}: {why}" for tier, why in waits.items())
        return (
            f"<cluster {self.profile.name!r}: {workers} workers, {threads} threads, "
            f"dashboard {self.dashboard_link}{waiting}>"
        )

    def _repr_html_(self) -> str:
        name = repr(self.profile.name)
        if self._client is None:
            return view("Cluster", f"{name}, not started")
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        threads = sum(worker["nthreads"] for worker in workers)
        waits = dict(self._adapting.waits) if self._adapting is not None else {}
        tiers = sorted(self.profile.settings.tiers, key=len, reverse=True)
        owners = [
            next((tier for tier in tiers if str(worker["name"]).startswith(f"{tier}-")), "")
            for worker in workers
        ]
        lines = [
            [tier, owners.count(tier), waits.get(tier, "")] for tier in self.profile.settings.tiers
        ]
        page = self.dashboard_link
        return view(
            "Cluster",
            f"{name}, {len(workers)} workers, {threads} threads",
            table(["tier", "workers", "waits"], lines),
            f"<div>{link(page, 'Dask dashboard')}</div>" if page else "",
        )

    def _start(self) -> None:
        if self._client is not None:
            return
        self._site.check()
        # A worker that leaves at the same moment as the scheduler is no news.
        logging.getLogger("distributed.batched").setLevel(logging.WARNING)
        atexit.register(self.close)
        try:
            with dask.config.set({"distributed.admin.tick.interval": TICK}), closed_pages():
                self._cluster = _Cluster(  # type: ignore[no-untyped-call]
                    scheduler={"cls": Scheduler, "options": self._site.scheduler_options()},
                    security=self._site.security(),
                    name=f"toolkit-{self.profile.name}",
                    silence_logs=logging.ERROR,
                    shutdown_on_close=False,
                )
            self._client = Client(self._cluster)
            self._adapting = Adapting(self._cluster, self._site)
            self._cluster.sync(self._adapting.start)  # type: ignore[no-untyped-call]
            if self._site.waits and (workers := len(self._cluster.worker_spec)):
                self._client.wait_for_workers(workers, timeout=START_SECONDS)
        except Exception as error:
            self.close()
            raise ClusterError(
                f"The workers of {self.profile.name!r} did not start within "
                f"{START_SECONDS:.0f} s: {error}"
                if isinstance(error, TimeoutError)
                else f"The cluster {self.profile.name!r} did not start: {error}"
            ) from error


class _Cluster(SpecCluster):
    """Leaves it to :class:`Adapting` what becomes of workers that are gone.

    Dask looks once, 15 s after a death, and gives the worker up for good where it is not there
    at that moment, though its nanny may just be starting it again after another death.
    """

    def _update_worker_status(self, op: str, message: Any) -> None:
        if op == "remove" and message not in self.scheduler_info["workers"]:
            return  # it came and went before Dask's list of workers was made
        super(SpecCluster, self)._update_worker_status(op, message)  # type: ignore[no-untyped-call]
