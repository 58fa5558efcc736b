"""The state machine: partition, then rounds of jobs until nothing is open, then merge and publish.

Its shape is drawn in docs/internals/architecture.md. Only JSONPath, Standard child executions and readers of JSON
arrays are used, because the local runner's engine executes those, and what is tested must be what is deployed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import ArnFormat, Aws, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.functions import ROOMS
from infra.logs import log_group
from infra.permissions import accept, accept_wildcards, allow
from sluice.errors import RetryLater, StillRunning, StillYoung
from sluice.runs.state import Then
from sluice.steps.waiting import Looks

if TYPE_CHECKING:
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_s3 as s3

    from infra.functions import Functions

# The steps that are states of the machine; start and sweep stand outside of it.
STEPS = (
    "partition",
    "plan",
    "prepare",
    "submit",
    "poll",
    "infer",
    "answer",
    "check",
    "learn",
    "score",
    "certify",
    "merge",
    "publish",
)
ALL = ["States.ALL"]
NOTHING = sfn.JsonPath.DISCARD

ENDLESS = 99_999_999  # the most that a Retry takes
LONGEST = Duration.minutes(5)
# Attempts are counted over all looks at a job, of which there may be a thousand, and not for each look.
OF_LOOKS = {"failed": 100, "crowded": 300, "died": 20}

NAMED_AFTER_RUNS = "executions are named after their runs"


class Workflow(Construct):
    """The state machine of a run: input `{"run", "next": 0}`."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        functions: Functions,
        work: s3.IBucket,
        keep_logs_days: int,
        looks: Looks,
    ) -> None:
        super().__init__(scope, id_)
        self._functions = functions
        self._work = work
        self._looks = looks
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(self._run()),
            logs=sfn.LogOptions(
                destination=self._log_group(keep_logs_days), level=sfn.LogLevel.ERROR, include_execution_data=False
            ),
            tracing_enabled=True,
        )
        assert isinstance(self.machine.role, iam.Role)
        self.role = self.machine.role
        self._allow_versions()
        self._accept()

    def grant_start(self, *functions: lambda_.Function) -> None:
        """Let `functions` start executions."""
        for function in functions:
            allow(function, ["states:StartExecution"], [self.machine.state_machine_arn])

    def grant_look(self, function: lambda_.Function) -> None:
        """Let `function` see whether an execution is under way."""
        allow(function, ["states:DescribeExecution"], [self._executions(":*")], wildcard=NAMED_AFTER_RUNS)

    def grant_list(self, function: lambda_.Function) -> None:
        """Let `function` see which executions there are."""
        allow(function, ["states:ListExecutions"], [self.machine.state_machine_arn])

    def grant_stop(self, function: lambda_.Function) -> None:
        """Let `function` stop executions."""
        allow(function, ["states:StopExecution"], [self._executions(":*")], wildcard=NAMED_AFTER_RUNS)

    def grant_announce(self, *functions: lambda_.Function) -> None:
        """Let `functions` say on the account's event bus, in Sluice's name alone, what became of a run."""
        bus = Stack.of(self).format_arn(service="events", resource="event-bus", resource_name="default")
        # A call has as many sources as entries, so the key is an array, which a plain StringEquals need not match; a
        # set operator alone would also let pass a call that names none.
        ours = {"ForAllValues:StringEquals": {"events:source": ["sluice"]}, "Null": {"events:source": "false"}}
        for function in functions:
            allow(function, ["events:PutEvents"], [bus], conditions=ours)

    def _executions(self, names: str) -> str:
        """Return the ARN of executions; children carry the name of their map after the machine's."""
        name = Fn.select(6, Fn.split(":", self.machine.state_machine_arn))
        return Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{name}{names}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _allow_versions(self) -> None:
        """Let the machine call every version of its functions: executions go on with those that they began with."""
        versions = [f"{self._functions[step].function_arn}:*" for step in STEPS]
        allow(
            self.role, ["lambda:InvokeFunction"], versions, wildcard="a run outlives the deployment that it began under"
        )

    def _accept(self) -> None:
        """Say why the wildcards in the role that CDK writes for the machine may stay."""
        accept_wildcards(self, ["*"], "log delivery and X-Ray know no resources")
        objects = f"arn:{Aws.PARTITION}:s3:::{self._work.bucket_name}/*"
        accept_wildcards(self, [objects], "the maps' items lie in every run's folder")
        accept_wildcards(self, [self._executions(":*"), self._executions("/*:*")], "the maps' children get their names")
        accept(self, {"AwsSolutions-SF1": "errors are logged; every event would be three log lines for each poll"})

    def _run(self) -> sfn.IChainable:
        """Rounds end when Plan says that there is no more; then the parts are merged and published.

        Of a task with `quality` the answers are scored and certified in between, and further rounds follow.

        An execution whose cost has to be approved ends without either; the approval starts another.
        """
        partition = self._map(
            "PartitionSpans",
            self._task("Partition", output_path=NOTHING),
            items=sfn.JsonPath.format("runs/{}/spans.json", sfn.JsonPath.string_at("$.run")),
            max_concurrency_path="$.max_workers",
        )
        plan = self._task(
            "Plan",
            payload=sfn.TaskInput.from_object(
                {"run": sfn.JsonPath.string_at("$.run"), "round": sfn.JsonPath.number_at("$.next")}
            ),
        )
        jobs = self._map(
            "RunJobs",
            self._job(),
            items=sfn.JsonPath.string_at("$.jobs_key"),
            max_concurrency_path="$.max_concurrency",
        )
        learn, certify = (self._task(name, result_path=NOTHING) for name in ("Learn", "Certify"))
        score = self._map(
            "ScoreShards",
            self._task("Score", output_path=NOTHING),
            items=sfn.JsonPath.string_at("$.shards_key"),
            max_concurrency_path="$.max_workers",
        )
        merge = self._map(
            "MergeParts",
            self._task("Merge", output_path=NOTHING),
            items=sfn.JsonPath.string_at("$.parts_key"),
            max_concurrency_path="$.max_workers",
        )
        publish = self._task("Publish")
        # Whoever is told of failed executions has to hear of it: the rows are published, and none has a label.
        nothing = sfn.Fail(self, "NothingAccepted", error="NothingAccepted", cause_path="$.cause")
        settled = sfn.Choice(self, "Settled?")
        settled.when(sfn.Condition.string_equals("$.status", "nothing_accepted"), nothing)
        settled.otherwise(sfn.Succeed(self, "Published"))
        more = sfn.Choice(self, "More?")
        for then, following in (
            (Then.WAIT, sfn.Succeed(self, "WaitForApproval")),
            (Then.JOBS, jobs.next(plan)),
            (Then.LEARN, learn.next(plan)),
            (Then.CERTIFY, score.next(certify).next(plan)),
        ):
            more.when(sfn.Condition.string_equals("$.then", then.value), following)
        more.otherwise(merge.next(publish).next(settled))
        return partition.next(plan).next(more)

    def _job(self) -> sfn.IChainable:
        """One job, from its input to its books. It never fails, because a failed child stops its paid siblings.

        Whatever goes wrong leads to Check, which settles the job from what lies in S3; if Check itself goes wrong,
        Plan finds a job without books and stops the run with the cause.
        """
        check = self._task("Check", output_path=NOTHING)
        check.add_catch(sfn.Pass(self, "Unsettled", output_path=NOTHING), errors=ALL)
        prepare, submit, poll, infer, answer = (
            self._task(name) for name in ("Prepare", "Submit", "Poll", "Infer", "Answer")
        )
        wait = sfn.Wait(self, "Wait", time=sfn.WaitTime.seconds_path("$.wait_seconds"))
        following = sfn.Choice(self, "Next?")
        for name, state in (("submit", submit), ("poll", poll), ("infer", infer), ("answer", answer)):
            following.when(sfn.Condition.string_equals("$.next", name), state)
        # Poll comes back when its job has ended: until then it is its Retry that looks again.
        for state, behind in ((submit, wait), (infer, wait), (poll, check), (answer, check)):
            state.next(behind)
        for state in (prepare, submit, poll, infer, answer):
            state.add_catch(check, errors=ALL, result_path="$.error")
        # The default rather than a condition: an unknown word must not fail the child either.
        following.otherwise(check)
        wait.next(following)
        return prepare.next(following)

    def _map(
        self,
        id_: str,
        child: sfn.IChainable,
        *,
        items: str,
        max_concurrency_path: str,
    ) -> sfn.DistributedMap:
        """Run `child` for every item of the JSON array in S3 under the key `items`."""
        state = sfn.DistributedMap(
            self,
            id_,
            item_reader=sfn.S3JsonItemReader(bucket=self._work, key=items),
            max_concurrency_path=max_concurrency_path,
            map_execution_type=sfn.StateMachineType.STANDARD,
            result_path=NOTHING,
        )
        state.item_processor(child)
        return state

    def _task(
        self,
        name: str,
        *,
        payload: sfn.TaskInput | None = None,
        output_path: str | None = None,
        result_path: str | None = None,
    ) -> tasks.LambdaInvoke:
        """The state that invokes the function of the step `name`."""
        step = name.lower()
        state = tasks.LambdaInvoke(
            self,
            name,
            lambda_function=self._functions.version(step),
            payload=payload,
            payload_response_only=True,
            # CDK's own list leaves throttling out.
            retry_on_service_exceptions=False,
            # An answer that is lost would otherwise be waited for for years.
            task_timeout=sfn.Timeout.duration(Duration.seconds(ROOMS[step].seconds + 60)),
            output_path=output_path,
            result_path=result_path,
        )
        if step == "poll":
            _look_again(state, self._looks)
        return _retry_infrastructure(state, **(OF_LOOKS if step == "poll" else {}))

    def _log_group(self, days: int) -> logs.LogGroup:
        # Under any other prefix each log group enlarges one resource policy of the account, which has a limit.
        return log_group(self, "Logs", days=days, name=f"/aws/vendedlogs/states/{Stack.of(self).stack_name}")


def _look_again(state: tasks.LambdaInvoke, looks: Looks) -> None:
    """Look at a job again until it has ended: it takes a week at most, which is far less than these attempts."""
    interval = Duration.seconds(looks.shortest)
    state.add_retry(errors=[StillYoung.__name__], interval=interval, backoff_rate=1, max_attempts=ENDLESS)
    grows = looks.longest > looks.shortest
    state.add_retry(
        errors=[StillRunning.__name__],
        interval=interval,
        backoff_rate=looks.rate if grows else 1,
        max_delay=Duration.seconds(looks.longest) if grows else None,
        max_attempts=ENDLESS,
    )


def _retry_infrastructure(
    state: tasks.LambdaInvoke, *, failed: int = 6, crowded: int = 15, died: int = 1
) -> tasks.LambdaInvoke:
    """Try again what Lambda itself could not do; what a step can wait for, it says with `next`."""
    state.add_retry(
        errors=[
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.ClientExecutionTimeoutException",
            RetryLater.__name__,  # S3 or Bedrock asked to come back: the error's name is its class
        ],
        interval=Duration.seconds(2),
        backoff_rate=2,
        max_attempts=failed,
        max_delay=LONGEST,
        jitter_strategy=sfn.JitterType.FULL,
    )
    # No free concurrency in the account: siblings hold it for minutes, so come back late and not together.
    state.add_retry(
        errors=["Lambda.TooManyRequestsException"],
        interval=Duration.seconds(5),
        backoff_rate=2,
        max_attempts=crowded,
        max_delay=LONGEST,
        jitter_strategy=sfn.JitterType.FULL,
    )
    # A killed or timed out worker: once, since its steps go on where they stopped, but not again and again.
    state.add_retry(
        errors=["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory"],
        interval=Duration.seconds(5),
        max_attempts=died,
        max_delay=LONGEST,
    )
    return state
