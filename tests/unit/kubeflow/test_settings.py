"""An environment's file: what is wrong with it is said before anything is compiled."""

from pathlib import Path

import pytest

from data.errors import ConfigError
from pipeline.kubeflow.settings import load_settings, pipeline_config

ENVIRONMENTS = Path(__file__).parents[3] / "deploy/kubeflow"
SMALL = ENVIRONMENTS / "small.yaml"


@pytest.mark.parametrize("file", sorted(ENVIRONMENTS.glob("*.yaml")), ids=lambda f: f.stem)
def test_every_environment_loads(file: Path) -> None:
    """Those we ship."""
    settings = load_settings(file)
    config = pipeline_config(settings, "vertex" if file.stem == "vertex" else "kubeflow")
    assert config.name == "genq"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("imgae=x", r"imgae: found 'x'; Extra inputs"),
        ("resources.trainer.memory=lots", r"resources.trainer.memory: .*no Kubernetes quantity"),
        ("resources.trainer.memory=16k", r"'16k' is 16,000 bytes of memory; .* e.g. 16Gi"),
        ("resources.trainer.memory=500m", r"'500m' is 0.5 bytes of memory"),
        ("resources.trainer.memory_request=16", r"'16' is 16 bytes of memory"),
        ("resources.trainer.cpu=2Gi", r"resources.trainer.cpu: .*quantity of CPUs"),
        ("resources.trainer.cpu=0", r"quantity of CPUs"),
        (
            "resources.trainer.memry=4Gi",
            r"resources.trainer.memry: .*\n.*place: resources.trainer.cpu, resources.trainer.mem",
        ),
        ("retries.attempt=4", r"place: retries.attempts, retries.backoff_s"),
        ("volumes=[{clam: c, mount_path: /m, claim: c}]", r"place: volumes.0.claim, volumes.0.mou"),
        ("imgae=x", r"place: preset, config, image,"),
        ("image.tag=1", r"image is 'genq.*', which has no settings below it"),
        ("resources={trainer: [", r"the value is not YAML"),
        ("volumes=[{claim: c, mount_path: mnt}]", r"volumes.0.mount_path: .*absolute path"),
        ("retries.attempts=-1", r"retries.attempts: found -1; .*greater than or equal to 0"),
        ("retries.attempts=11", r"retries.attempts: found 11; .*less than or equal to 10"),
        ("retries.max_backoff_s=300", r"retries: found .*max_backoff_s is gone: .*no longest wait"),
        ("max_concurrency=11", r"max_concurrency: found 11; .*less than or equal to 10"),
        (
            "secrets=[{name: genq, mount_path: /var/run/key}]",
            r"small.yaml: Value error, a claim and a secret .* both called genq; .* of them twice",
        ),
        ("image", "found no '='"),
    ],
)
def test_a_wrong_setting_is_named(override: str, said: str) -> None:
    """With its key and what was found."""
    with pytest.raises(ConfigError, match=said):
        load_settings(SMALL, [override])


def test_a_secret_that_is_not_mounted_may_be_called_as_a_claim() -> None:
    """Environment variables make no volume."""
    load_settings(SMALL, ["secrets=[{name: genq, env: {key: KEY}}]"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("pipeline_root=/tmp/x", "pipeline_root is '/tmp/x'; kubeflow opens minio://"),
        (
            "config.name='My Pipeline'",
            "config.name is 'My Pipeline'; .*\n.*config.name=my-pipeline",
        ),
        ("config.data.root=celeba", "config.data.root is 'celeba'; expected an absolute path"),
        ("config.release.require_approval=true", "require_approval is on; on a cluster"),
        ("config.release.infra_validator=docker", "has no InfraValidator"),
        ("config.tracking.mlflow=http://mlflow:5000", "config.tracking.mlflow is set"),
        ("config.sampling.totl=1", "there is no setting 'sampling.totl'. Did you mean"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused(override: str, said: str) -> None:
    """Before anything is compiled."""
    with pytest.raises(ConfigError, match=said):
        pipeline_config(load_settings(SMALL, [override]))
