"""The graph, in the order the data takes.

In: a PipelineConfig and the place where it runs. Out: a TFX pipeline. Reads like the diagram that
docs (and design) draw.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from tfx import v1 as tfx
from tfx.orchestration import metadata

from components.approval import ApprovalGate
from components.code_digest import code_digest
from components.evaluation_report.component import EvaluationReporter
from components.example_gen.component import CelebAExampleGen
from components.fairness_gate import FairnessGate
from components.model_exporter.component import ModelExporter
from components.predictions.component import ModelScorer
from components.release_pusher.component import ReleasePusher
from components.schema.importer import SchemaImporter
from components.trainer.config import TrainerConfig
from components.validation_gate import ValidationGate
from data import contract
from pipeline.config import PipelineConfig, recorded
from pipeline.eval_config import eval_config
from pipeline.targets import Local, Target

SCHEMA = Path(__file__).parent.parent / "data" / "schema.pbtxt"


Extend = Callable[[Mapping[str, Any]], Sequence[Any]]
"""Nodes by id -> more nodes, made of their outputs."""


def create_pipeline(
    config: PipelineConfig, target: Target | None = None, extend: Extend | None = None
) -> tfx.dsl.Pipeline:
    """Returns the pipeline: from CelebA's files to a published release.

    Args:
      config: what it does.
      target: where it runs; None is this machine.
      extend: makes nodes of one's own; docs/guides/extend.md has an example.
    """
    target = target or Local()
    workdir = Path(config.workdir).absolute()

    example_gen = CelebAExampleGen(
        data_root=config.data_root,
        sampling=config.sampling,
        faults=config.data.faults,
        shards=config.data.shards,
        window=config.data.window,
        label=config.label,
        groups=_of_attributes(config.evaluation.slices),
    ).with_id("example-gen")

    schema_importer = SchemaImporter(SCHEMA).with_id("schema-importer")

    # The schema calls the image an image: its bytes are not counted as strings.
    statistics_gen = tfx.components.StatisticsGen(
        examples=example_gen.outputs["examples"],
        schema=schema_importer.outputs["schema"],
    ).with_id("statistics-gen")

    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_importer.outputs["schema"],
    ).with_id("example-validator")

    previous = target.previous_statistics(statistics_gen.outputs["statistics"])

    validation_gate = ValidationGate(
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_importer.outputs["schema"],
        anomalies=example_validator.outputs["anomalies"],
        previous_statistics=previous.output,
        accept_anomalies=sorted(config.data.accept_anomalies),
    ).with_id("validation-gate")

    training: dict[str, Any] = {
        "examples": example_gen.outputs["examples"],
        "train_args": tfx.proto.TrainArgs(splits=["train"]),
        "eval_args": tfx.proto.EvalArgs(splits=["val"]),
    }
    training_config = {
        "trainer": TypeAdapter(TrainerConfig).dump_json(config.trainer).decode(),
        "code": code_digest(
            "components.trainer",
            "components.evaluation.clusters",
            "components.evaluation.intervals",
            "components.example_files",
            "data.contract",
        ),
        "cache_dir": str(workdir / "cache"),
    }
    tuner = None
    if config.tuner.trials:
        tuner = tfx.components.Tuner(
            tuner_fn="components.trainer.tuner.tuner_fn",
            custom_config={**training_config, "trials": config.tuner.trials},
            **training,
        ).with_id("tuner")
        tuner.add_upstream_node(validation_gate)

    trainer = tfx.components.Trainer(
        run_fn="components.trainer.run_fn.run_fn",
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        custom_config=training_config,
        **training,
    ).with_id("trainer")
    # Nothing trains on data that the gate refused; the gate raises, so an edge is enough.
    trainer.add_upstream_node(validation_gate)

    baseline = target.baseline(trainer.outputs["model"])

    # The only pass of the networks over test; everybody after it reads the predictions.
    model_scorer = ModelScorer(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.output,
        splits=("val", "test"),
        detector_crops=config.evaluation.detector_crops,
        embeddings=config.evaluation.embeddings,
    ).with_id("model-scorer")

    evaluator = tfx.components.Evaluator(
        examples=model_scorer.outputs["scored_examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.output,
        eval_config=eval_config(config.evaluation),
        example_splits=["test"],
    ).with_id("evaluator")

    fairness_gate = FairnessGate(
        predictions=model_scorer.outputs["predictions"],
        model_blessing=evaluator.outputs["blessing"],
        config=config.evaluation,
        label=config.label,
        model_run=trainer.outputs["model_run"],
    ).with_id("fairness-gate")

    model_exporter = ModelExporter(
        model=trainer.outputs["model"],
        model_blessing=fairness_gate.outputs["blessing"],
        examples=example_gen.outputs["examples"],
        manifest=example_gen.outputs["manifest"],
        config=config.export,
        slices=_of_attributes(config.evaluation.slices),
    ).with_id("model-exporter")

    evaluation_report = EvaluationReporter(
        predictions=model_scorer.outputs["predictions"],
        verdict=fairness_gate.outputs["verdict"],
        model_blessing=fairness_gate.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        examples=example_gen.outputs["examples"],
        manifest=example_gen.outputs["manifest"],
        validation=validation_gate.outputs["validation"],
        statistics=statistics_gen.outputs["statistics"],
        model_run=trainer.outputs["model_run"],
        parity=model_exporter.outputs["parity"],
        config=config.evaluation,
        title=f"{config.release.model_name}, {config.name}",
        run_config=recorded(config),
    ).with_id("evaluation-report")

    infra_validator = None
    if config.release.infra_validator:
        infra_validator = tfx.components.InfraValidator(
            model=trainer.outputs["model"],
            examples=example_gen.outputs["examples"],
            serving_spec=tfx.proto.ServingSpec(
                tensorflow_serving=tfx.proto.TensorFlowServing(tags=["latest"]),
                local_docker=tfx.proto.LocalDockerConfig(),
            ),
            request_spec=tfx.proto.RequestSpec(
                tensorflow_serving=tfx.proto.TensorFlowServingRequestSpec(
                    signature_names=[contract.SIGNATURE_EXAMPLES]
                ),
                split_name="test",
                num_examples=8,
            ),
        ).with_id("infra-validator")

    release_pusher = ReleasePusher(
        model=trainer.outputs["model"],
        exported_model=model_exporter.outputs["exported_model"],
        parity=model_exporter.outputs["parity"],
        model_blessing=fairness_gate.outputs["blessing"],
        manifest=example_gen.outputs["manifest"],
        evaluation=evaluator.outputs["evaluation"],
        report=evaluation_report.outputs["report"],
        model_run=trainer.outputs["model_run"],
        statistics=statistics_gen.outputs["statistics"],
        serving_dir=str(config.serving_dir),
        model_name=config.release.model_name,
        run_config=recorded(config),
        sign_command=config.release.sign_command,
        remote=config.release.remote,
        infra_blessing=infra_validator.outputs["blessing"] if infra_validator else None,
    ).with_id("release-pusher")

    approval: list[Any] = []
    decision = target.decision(trainer.outputs["model"])
    if decision is not None:
        gate = ApprovalGate(
            model_blessing=fairness_gate.outputs["blessing"],
            decision=decision.output,
            required=config.release.require_approval,
        ).with_id("approval-gate")
        # The reviewer decides on the report; the pusher waits for the gate, which raises.
        gate.add_upstream_node(evaluation_report)
        release_pusher.add_upstream_node(gate)
        approval = [*decision.nodes, gate]

    nodes = [
        *target.watch(example_gen),
        example_gen,
        schema_importer,
        statistics_gen,
        example_validator,
        *previous.nodes,
        validation_gate,
        *target.keep_passed(
            statistics_gen.outputs["statistics"], validation_gate.outputs["validation"]
        ),
        *([tuner] if tuner else []),
        trainer,
        *baseline.nodes,
        model_scorer,
        evaluator,
        fairness_gate,
        model_exporter,
        evaluation_report,
        *([infra_validator] if infra_validator else []),
        *approval,
        release_pusher,
    ]
    if extend is not None:
        nodes += extend({node.id: node for node in nodes})
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(workdir / "pipeline"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(workdir / "metadata.sqlite")
        ),
        enable_cache=True,
        beam_pipeline_args=list(config.beam.flags()),
        components=nodes,
    )


def _of_attributes(slices: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Returns the slices that examples know; quality bands are cut on the predictions."""
    return [names for names in slices if set(names) <= set(contract.ATTRIBUTES)]
