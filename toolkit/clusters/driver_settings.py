"""What a profile says of the job that the driver of a sweep runs in: ``toolkit submit``."""

from pydantic import Field

from toolkit.clusters.quantities import Duration, Line, Memory, Number
from toolkit.clusters.tier_settings import Settings


class DriverSettings(Settings):
    """The driver's own job. What is not said is SLURM's choice, or follows from the profile."""

    cores: Number | None = None
    memory: Memory | None = None
    walltime: Duration | None = None
    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    directives: list[Line] = Field(default_factory=list)
