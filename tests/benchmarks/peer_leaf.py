"""The workload's sites and devices in LEAF (`leafsim`), which has flows in place of requests.

usage: python peer_leaf.py SITES SECONDS       prints one line of JSON; called by requests.py

Each device is a source whose data flows to a task on its site's node and on to the cloud; a cut
takes the site's applications off and puts them back. LEAF judges no request: what is counted is
device-seconds, each device's part in one measurement of power a second.
"""

import json
import resource
import sys
import time
from collections.abc import Generator
from importlib.metadata import version

import simpy
from leaf.application import Application, ProcessingTask, SinkTask, SourceTask
from leaf.infrastructure import Infrastructure, Link, Node
from leaf.power import PowerMeter, PowerModelLink, PowerModelNode

DEVICES = 10
Process = Generator[simpy.Event, object, None]


class Site:
    """One site's node and devices, their links, and an application a device."""

    def __init__(self, number: int, cloud: Node, infrastructure: Infrastructure) -> None:
        self.edge = Node(f"edge-{number}", cu=1000, power_model=PowerModelNode(30, static_power=10))
        self.uplink = Link(self.edge, cloud, 20e6, PowerModelLink(5e-8), latency=12)
        infrastructure.add_link(self.uplink)
        self.devices: list[tuple[Link, Application]] = []
        for k in range(DEVICES):
            sensor = Node(
                f"device-{number}-{k}", cu=1, power_model=PowerModelNode(1, static_power=0.1)
            )
            link = Link(sensor, self.edge, 1e6, PowerModelLink(1e-8), latency=1)
            infrastructure.add_link(link)
            source = SourceTask(cu=0.1, bound_node=sensor)
            work, sink = ProcessingTask(cu=8), SinkTask(cu=1, bound_node=cloud)
            application = Application()
            application.add_task(source)
            application.add_task(work, incoming_data_flows=[(source, 3200)])
            application.add_task(sink, incoming_data_flows=[(work, 3200)])
            self.devices.append((link, application))

    def place(self) -> None:
        """Put every application where it belongs."""
        for link, application in self.devices:
            source, work, sink = application.tasks()
            source.allocate(source.bound_node)
            work.allocate(self.edge)
            sink.allocate(sink.bound_node)
            inwards, outwards = application.data_flows()
            inwards.allocate([link])
            outwards.allocate([self.uplink])

    def take_off(self) -> None:
        """Take every application off."""
        for _, application in self.devices:
            application.deallocate()


def outages(env: simpy.Environment, site: Site, starts: tuple[float, float], cut: float) -> Process:
    """Cut the site at each start, for so long."""
    for start in starts:
        yield env.timeout(start - env.now)
        site.take_off()
        yield env.timeout(cut)
        site.place()


def main(sites: int, seconds: float) -> None:
    """Run and print what it cost."""
    begin = time.process_time()
    env, infrastructure = simpy.Environment(), Infrastructure()
    cloud = Node("cloud", power_model=PowerModelNode(power_per_cu=0.1))
    made = [Site(number, cloud, infrastructure) for number in range(sites)]
    for number, site in enumerate(made):
        site.place()
        late = 0.000997 * number % (seconds / 40)
        starts = seconds / 5 + late, seconds * 0.6 + late
        env.process(outages(env, site, starts, seconds / 40))
    meter = PowerMeter(infrastructure, measurement_interval=1)
    env.process(meter.run(env))
    ready = time.process_time()
    env.run(until=seconds)
    cost = {
        "requests": len(meter.measurements) * sites * DEVICES,
        "run_cpu_s": time.process_time() - ready,
        "setup_cpu_s": ready - begin,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "note": f"leafsim {version('leafsim')}; device-seconds, no requests",
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
