"""The workload as a SimPy textbook would write it: processes, a Store a site, a server.

usage: python peer_simpy.py SITES SECONDS      prints one line of JSON; called by requests.py

A process a device puts requests into its site's Store, a process a site takes them out, looks the
decision up, serves, appends to the site's keyed store, and counts the outcome; a process an uplink
cuts it twice. The policy is a table of 1,000 answers, made beforehand; nothing is synced.
"""

import json
import random
import resource
import sys
import time
from collections.abc import Generator

import simpy

DEVICES, MEAN_SERVICE_S, BUDGET_S, KEYS = 10, 0.008, 0.05, 10_000
DECISIONS = {
    (user, cents): cents <= 5000 or user < 5 for user in range(10) for cents in range(4950, 5050)
}
Process = Generator[simpy.Event, object, None]


class Site:
    """What one site holds."""

    def __init__(self, env: simpy.Environment, seed: int) -> None:
        self.queue = simpy.Store(env)
        self.random = random.Random(seed)
        self.offline = False
        self.stored: dict[int, float] = {}
        self.outcomes = {"ok": 0, "denied": 0, "late": 0}
        self.offline_requests = 0


def device(env: simpy.Environment, site: Site) -> Process:
    """Ask once a second on average."""
    draws = site.random
    while True:
        yield env.timeout(draws.expovariate(1))
        question = draws.randrange(10), draws.randrange(4950, 5050)
        yield site.queue.put((env.now, question, draws.randrange(KEYS)))


def server(env: simpy.Environment, site: Site) -> Process:
    """Serve what comes, one after the other."""
    while True:
        asked, question, key = yield site.queue.get()
        site.offline_requests += site.offline
        if not DECISIONS[question]:
            site.outcomes["denied"] += 1
            continue
        yield env.timeout(site.random.expovariate(1 / MEAN_SERVICE_S))
        site.stored[key] = env.now
        site.outcomes["ok" if env.now - asked <= BUDGET_S else "late"] += 1


def uplink(env: simpy.Environment, site: Site, starts: tuple[float, float], cut: float) -> Process:
    """Cut the site's uplink at each start, for so long."""
    for start in starts:
        yield env.timeout(start - env.now)
        site.offline = True
        yield env.timeout(cut)
        site.offline = False


def main(sites: int, seconds: float) -> None:
    """Run and print what it cost."""
    begin = time.process_time()
    env = simpy.Environment()
    made = [Site(env, number) for number in range(sites)]
    for number, site in enumerate(made):
        for _ in range(DEVICES):
            env.process(device(env, site))
        env.process(server(env, site))
        late = 0.000997 * number % (seconds / 40)
        env.process(uplink(env, site, (seconds / 5 + late, seconds * 0.6 + late), seconds / 40))
    ready = time.process_time()
    env.run(until=seconds)
    cost = {
        "requests": sum(sum(site.outcomes.values()) for site in made),
        "run_cpu_s": time.process_time() - ready,
        "setup_cpu_s": ready - begin,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "note": f"SimPy {simpy.__version__}, textbook",
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
