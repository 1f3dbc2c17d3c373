"""What Beam runs on: settings, and the flags that they come to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.errors import ConfigError

# Beam 2.68+ sends "DirectRunner" to Prism, a Go binary that it tries to download.
RUNNERS = {
    "direct": "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
    "flink": "FlinkRunner",
    "dataflow": "DataflowRunner",
}


@dataclass(frozen=True)
class BeamConfig:
    """What the Beam pipelines of ingestion, statistics, scoring and evaluation run on.

    Attributes:
      runner: "direct" is this process; "flink" is Apache Flink, by Beam's portable runner;
        "dataflow" Google Cloud's.
      parallelism: of Flink; 0 leaves it to the cluster.
      flink_master: host:port of the JobManager, or "[local]": a cluster inside the job server,
        whose workers are this process.
      flink_job_server: jar of the job server; "" lets Beam fetch that of its own version from
        Maven Central. `scripts/flink-job-server` makes one from a mirror's parts.
      args: further flags of Beam's pipeline options, e.g. --environment_type, --project.
    """

    runner: Literal["direct", "flink", "dataflow"] = "direct"
    parallelism: int = 0
    flink_master: str = "[local]"
    flink_job_server: str = ""
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError with the bad value and what is accepted."""
        if self.parallelism < 0:
            raise ConfigError(f"beam.parallelism is {self.parallelism!r}; accepted: 0 or more.")
        if self.flink_job_server and self.runner != "flink":
            raise ConfigError(
                f"beam.flink_job_server is set, and beam.runner is {self.runner}.",
                "Set beam.runner=flink, or leave the job server out.",
            )

    def flags(self) -> tuple[str, ...]:
        """Returns flags of Beam's pipeline options."""
        flags = [f"--runner={RUNNERS[self.runner]}"]
        if self.runner == "flink":
            flags.append(f"--flink_master={self.flink_master}")
            if self.parallelism:
                flags.append(f"--parallelism={self.parallelism}")
            if self.flink_job_server:
                flags.append(f"--flink_job_server_jar={Path(self.flink_job_server).absolute()}")
        return (*flags, *self.args)
