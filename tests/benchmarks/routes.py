"""How long 10,000 sites with five cuts each take to be routed: python tests/benchmarks/routes.py.

A cloud, twenty core nodes in a ring with chords, two hundred aggregators on two core nodes each,
and sites with a primary and a backup uplink. Every site's primary is cut five times, one cut in ten
takes its backup too, and every core link and aggregator uplink falls twice.
"""

from __future__ import annotations

import argparse
import random
import time

from edgetwin.links import Fault, Link, Network, network
from edgetwin.routes import Cut, timeline


def hierarchy(sites: int, rng: random.Random) -> Network:
    """Return the network that the module describes."""
    links = [Link(f"cloud-{k}", "cloud", f"core-{k:02}", rng.randint(500, 2_000)) for k in (0, 10)]
    for k in range(20):
        for step in (1, 7):
            ends = f"core-{k:02}", f"core-{(k + step) % 20:02}"
            links.append(Link(f"core-{k:02}-{step}", *ends, rng.randint(500, 4_000)))
    for k in range(200):
        for n, core in enumerate(rng.sample(range(20), 2)):
            ends = f"aggregator-{k:03}", f"core-{core:02}"
            links.append(Link(f"aggregator-{k:03}-{n}", *ends, rng.randint(500, 3_000)))
    for k in range(sites):
        for n, aggregator in enumerate(rng.sample(range(200), 2)):
            ends = f"site-{k:05}", f"aggregator-{aggregator:03}"
            links.append(
                Link(f"site-{k:05}-{n}", *ends, rng.randint(2_000, 30_000), priority=n + 1)
            )
    return network(links)


def storm(net: Network, cuts: int, rng: random.Random) -> list[Cut]:
    """Return *cuts* cuts of each site's primary over a month, and the others' share."""
    month_s = 30 * 86_400

    def cut(link: str) -> Cut:
        start = rng.randrange(month_s * 1_000_000)
        return Cut(start, start + round(rng.lognormvariate(7.5, 1.7) * 1e6), Fault(link))

    found = []
    for link in net.links:
        site = link.name.startswith("site-")
        if site and link.priority == 1:
            for _ in range(cuts):
                one = cut(link.name)
                found.append(one)
                if rng.random() < 0.1:
                    backup = link.name.removesuffix("-0") + "-1"
                    found.append(Cut(one.start_us, one.end_us, Fault(backup)))
        elif not site:
            found += [cut(link.name), cut(link.name)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=5)
    arguments = parser.parse_args()
    rng = random.Random(1)
    net = hierarchy(arguments.sites, rng)
    cuts = storm(net, arguments.cuts, rng)
    started = time.perf_counter()
    sites = [node for node in net.nodes if node.startswith("site-")]
    found = timeline(net, "cloud", cuts, watch=sites)
    seconds = time.perf_counter() - started
    changes = sum(map(len, found.values()))
    offline = sum(reach.offline for node in found for _, reach in found[node])
    print(
        f"{len(sites)} sites, {len(net.links)} links, {len(cuts)} cuts: {changes} changes of a "
        f"route, {offline} times offline, in {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
