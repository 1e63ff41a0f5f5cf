"""The automation that finds dead runs.

A run says every 30 seconds that it lives. When its process is killed together with the worker that watched it (a power cut, a
node that dies), nobody tells the server, and the run would be Running for ever: *Retry* is refused. The automation marks a run
that has been silent for :data:`SILENCE` seconds as Crashed; *Retry* then goes on where it stopped.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from tasks.job import TAG

NAME = "axonloom: runs that fell silent are Crashed"
#: Seconds without a sign of life: two that are lost, and the half of a third.
SILENCE = 75
HEARTBEAT_EVENT = "prefect.flow-run.heartbeat"
#: After these a run owes no sign of life; Prefect tells them as events.
QUIET_STATES = ("Completed", "Failed", "Crashed", "Cancelled", "Paused", "Suspended", "AwaitingRetry", "Scheduled")
MESSAGE = "No sign of life for {silence} s: the process that ran this was killed, or its machine died. Retry goes on from there."


def watch(silence: int = SILENCE) -> AutomationCore:
    """The automation, for runs that carry our tag: others may say less often that they live."""
    return AutomationCore(
        name=NAME,
        description=f"Marks a run as Crashed that has said nothing for {silence} s, so that Retry resumes it.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
            ),
            after={HEARTBEAT_EVENT},
            expect={HEARTBEAT_EVENT, *(f"prefect.flow-run.{state}" for state in QUIET_STATES)},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silence),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=MESSAGE.format(silence=silence))],
    )


def ensure_watch(client: SyncPrefectClient, silence: int = SILENCE) -> str:
    """Make the automation, or bring it up to date. Returns what was done: made, updated or kept.

    One that says what it should is not touched, also where a person has switched it off: a new version of an automation
    forgets the runs that it was waiting for.
    """
    wanted = watch(silence)
    known = client.read_automations_by_name(NAME)
    for surplus in known[1:]:
        client.delete_automation(surplus.id)
    if not known:
        client.create_automation(wanted)
        return "made"
    if _says(known[0]) == _says(wanted):
        return "kept"
    client.update_automation(known[0].id, wanted.model_copy(update={"enabled": known[0].enabled}))
    return "updated"


def _says(automation: Automation | AutomationCore) -> dict[str, object]:
    shown = automation.model_dump(mode="json", include={"description", "trigger", "actions"})
    trigger = shown["trigger"]
    trigger.pop("id", None)
    for name in ("after", "expect", "for_each"):
        trigger[name] = sorted(trigger[name])
    return shown
