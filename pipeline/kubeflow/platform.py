"""The Kubernetes part of a pipeline: volumes, secrets, which machines, time limits.

In: Settings and the nodes. Out: the second document of the YAML, a PlatformSpec. It is built from
the messages of `kfp-kubernetes`, so what the API server does not know cannot be written. Names are
written twice, as that package does: older servers read the deprecated fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp

from pipeline.kubeflow.settings import Secret, Settings, Volume

EXECUTOR = "{}_executor"


def platform_spec(settings: Settings, nodes: Iterable[str]) -> dict[str, Any]:
    """Returns the document, with an entry for every node."""
    executors = {
        EXECUTOR.format(node): json_format.MessageToDict(executor_config(settings, node))
        for node in nodes
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def executor_config(settings: Settings, node: str) -> Any:
    """Returns one node's KubernetesExecutorConfig."""
    resources = settings.resources_of(node)
    config = kubernetes.KubernetesExecutorConfig(
        pvc_mount=[_mount(volume) for volume in settings.volumes],
        image_pull_policy=settings.image_pull_policy,
        active_deadline_seconds=settings.timeout_s,
        image_pull_secret=[
            kubernetes.ImagePullSecret(secret_name=name, secret_name_parameter=_constant(name))
            for name in settings.image_pull_secrets
        ],
        tolerations=[
            kubernetes.Toleration(
                key=t.key,
                operator=t.operator,
                value=t.value,
                effect=t.effect,
            )
            for t in resources.tolerations
        ],
    )
    if resources.node_selector:
        config.node_selector.labels.update(resources.node_selector)
    for secret in settings.secrets:
        if not secret.nodes or node in secret.nodes:
            _add_secret(config, secret)
    return config


def _add_secret(config: Any, secret: Secret) -> None:
    if secret.env:
        config.secret_as_env.add(
            secret_name=secret.name,
            secret_name_parameter=_constant(secret.name),
            key_to_env=[
                kubernetes.SecretAsEnv.SecretKeyToEnvMap(secret_key=key, env_var=variable)
                for key, variable in sorted(secret.env.items())
            ],
        )
    if secret.mount_path:
        config.secret_as_volume.add(
            secret_name=secret.name,
            secret_name_parameter=_constant(secret.name),
            mount_path=secret.mount_path,
        )


def _mount(volume: Volume) -> Any:
    return kubernetes.PvcMount(
        constant=volume.claim,
        pvc_name_parameter=_constant(volume.claim),
        mount_path=volume.mount_path,
        sub_path=volume.sub_path,
    )


def _constant(value: str) -> Any:
    parameter = kfp.TaskInputsSpec.InputParameterSpec()
    parameter.runtime_value.constant.string_value = value
    return parameter
