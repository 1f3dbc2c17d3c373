"""genq on Kubeflow Pipelines v2: compile, run in containers, schedule, rehearse without a cluster.

settings.py    one environment's file (deploy/kubeflow/*.yaml)
server.py      which server that is, what it refuses     client.py  runs and schedules on it
target.py      nodes in place of TFX's Resolver          lookup.py  what they do
compile.py     TFX pipeline -> PipelineSpec              platform.py  its Kubernetes part
entrypoint.py  what every container runs                 artifacts.py  KFP's artifacts as TFX's
rehearse.py    KFP's driver and launcher on one machine, each task as a process
"""
