"""The stage that looks beside the metric: where two files differ, and on whom."""

from pathlib import Path

from edgecompress.measure.agent import Agent
from edgecompress.measure.looks import Pair, look
from edgecompress.measure.observed import Side
from edgecompress.measure.record import read_record
from edgecompress.pipeline.files import Built, agent_digest, packages_here, runs_here
from edgecompress.pipeline.job import Job
from edgecompress.pipeline.outputs import rebuilder_for
from edgecompress.pipeline.stages import Output
from edgecompress.spec.base import parse
from edgecompress.spec.looks import Looks


def looked_at(job: Job, files: tuple[Built, Built], agent: Agent) -> Looks:
    """What the candidate's file looks at beside the original's, both run here.

    Args:
        job: gives the task and its evaluation data.
        files: the original's and the candidate's.
        agent: runs them.

    """
    spoils = job.recipe.config.robustness

    def work(work_dir: Path) -> Output:
        before, after = (
            Side(
                runs_here(job, agent, built.artifact, work_dir),
                read_record(built.record),
                rebuilder_for(job.task, job.model, job.example_inputs, built.artifact),
            )
            for built in files
        )
        pair = Pair(before, after, job.task.labels())
        return Output(look(job.task, pair, spoils=spoils).model_dump(mode="json"))

    depends_on = job.depends_on(
        parents=[built.key for built in files],
        # What was recorded depends on how each was run.
        answers=[built.record.name for built in files],
        robustness=spoils,
        cpu=job.here.model_dump(mode="json"),
        agent=agent_digest(),
        threads=job.recipe.target.runtime.threads,
    )
    record = job.stages.run("look", depends_on, work, packages_here(job))
    return parse(Looks, record.result, "stage look")
