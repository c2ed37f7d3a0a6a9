"""The policy agents of a world: one a site and policy, and what the cloud releases to them."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import simpy
from numpy.typing import NDArray

from edgetwin.engine.agent import Agent, AgentSettings, LogSettings
from edgetwin.engine.counted_log import CountedLog
from edgetwin.engine.freshness import Freshness
from edgetwin.engine.site import SiteControl
from edgetwin.model import Policy as Written
from edgetwin.streams import named

if TYPE_CHECKING:
    from edgetwin.engine.world import World


def make_agents(world: "World") -> None:
    """Give every site an agent for each policy, and have the cloud publish its releases."""
    policies = sorted(world.topology.policies.items())
    releases = 0
    for name, policy in policies:
        world.first_release[name] = releases
        releases += len(policy.releases)
    world.plane.tally.follow(releases)
    if any(policy.decision_log for _, policy in policies):
        world.plane.tally.log()
    for name, policy in policies:
        settings = agent_settings(policy)
        sizes = [len(world.scenario.bundles[release.bundle].content) for release in policy.releases]
        for control in world.controls:
            control.active[name] = 0
            draw = named(world.draws, f"agent/{control.name}/{name}")
            control.freshness[name] = Freshness(partial(_stale, world, control, name))
            log = None
            if policy.decision_log is not None:
                log = control.logs[name] = CountedLog(
                    settings.log, draw, counted=partial(_logged, world, control, name),
                    later=control.at_the_end,
                )  # fmt: skip
            agent = Agent(
                control.env, settings, draw,
                activate=partial(control.activated, name),
                on_event=partial(control.agent_event, name),
                holds="0",
                log=log,
            )  # fmt: skip
            control.agents[name] = agent
            for number, release in enumerate(policy.releases[1:], start=1):
                if release.at_us < world.end_us:
                    control.env.timeout(release.at_us).callbacks.append(
                        partial(_release, control, agent, number, sizes[number])
                    )


def _release(control: SiteControl, agent: Agent, number: int, size: int, _: simpy.Event) -> None:
    agent.release(str(number), size_bytes=size, packed_bytes=size)
    control.touch()


def _stale(world: "World", control: SiteControl, policy: str, release: int) -> NDArray[np.int64]:
    """Return the stale decisions of a site while a release was the cloud's, by verdict."""
    stale: NDArray[np.int64] = world.plane.tally.stale[
        world.first_release[policy] + release, control.number
    ]
    return stale


def _logged(world: "World", control: SiteControl, policy: str) -> int:
    """Return how many decisions of a policy were asked of a site's agent so far."""
    logged = world.plane.tally.logged
    assert logged is not None
    classes = [i for i, (*_, one) in enumerate(world.requests) if one.policy == policy]
    return int(logged[classes, control.number].sum())


def agent_settings(policy: Written) -> AgentSettings:
    """Return how the agents of *policy* are configured."""
    log = policy.decision_log
    return AgentSettings(
        polling_us_min=policy.poll_min_us,
        polling_us_max=policy.poll_max_us,
        long_poll_us=policy.long_poll_us,
        header_timeout_us=policy.header_timeout_us,
        persist=policy.persist,
        disk_store=policy.disk_store,
        log=LogSettings()
        if log is None
        else LogSettings(
            reporting_us_min=log.upload_min_us,
            reporting_us_max=log.upload_max_us,
            buffer=log.buffer,
            buffer_bytes_max=log.limit_bytes,
            buffer_events_max=log.limit_events,
            upload_bytes_max=log.upload_bytes_max,
            decisions_per_s_max=log.decisions_per_s_max,
            event_bytes=log.event_bytes,
        ),
    )
