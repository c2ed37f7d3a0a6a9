# ruff: noqa: E501 - messages stand here as they are shown
"""A topology file becomes the model; whatever is wrong is said in our words, at its line."""

import json
import re
from pathlib import Path

import pytest
import yaml

from edgetwin.commands import schema as schema_command
from edgetwin.inputs import document, schema, topology
from edgetwin.inputs.findings import Findings
from edgetwin.model import Topology

TOPOLOGIES = Path(__file__).parent.parent / "topologies"

SMALL = """\
name: small
sites:
  store:
    control_plane: local
    nodes:
      edge: {cpu: 2, memory: 4Gi, disk: 16Gi}
    uplinks:
      fibre:
        latency: 12ms
        bandwidth: 10Mbit/s
    devices:
      till:
        count: 4
        requests:
          pay: {service: api, every: 60s}
targets:
  response_time: 50ms
"""


def read(text, *settings):
    """Return the topology in *text* and what is wrong with it."""
    problems = []
    (found,) = document.parse(text.encode(), "t.yaml", problems)
    made = topology.read(Findings(found, problems), settings)
    return made, [str(problem) for problem in problems]


def changed(old, new):
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


def test_a_sound_topology_is_in_one_unit():
    made, problems = read(SMALL)

    site = made.sites["store"]
    assert problems == []
    assert site.uplinks["fibre"].latency_us == 12_000
    assert site.uplinks["fibre"].bandwidth_bps == 10_000_000
    assert site.nodes["edge"].memory_bytes == 4 * 2**30
    assert site.devices["till"].requests["pay"].every_us == 60_000_000
    assert made.targets.response_time_us_max == 50_000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("latency: 12ms", "latncy: 12ms", "t.yaml:9: sites.store.uplinks.fibre.latncy: unknown key"
         " 'latncy'; did you mean 'latency'?"),
        ("        latency: 12ms\n", "", "t.yaml:8: sites.store.uplinks.fibre: key 'latency' is"
         " missing; add 'latency: 50ms'"),
        ("12ms", "12", "t.yaml:9: sites.store.uplinks.fibre.latency: '12' is not a duration; write"
         " for example '50ms', '60s', '7d'"),
        ("10Mbit/s", "10Mb", "t.yaml:10: sites.store.uplinks.fibre.bandwidth: '10Mb' is not a"
         " bandwidth; write for example '10Mbit/s'"),
        ("10Mbit/s", "0Mbit/s", "t.yaml:10: sites.store.uplinks.fibre.bandwidth: 0 is out"
         " of range; it must be more than 0"),
        ("memory: 4Gi", "memory: 4Gigs", "t.yaml:6: sites.store.nodes.edge.memory: '4Gigs' is not a"
         " size; write for example '128Mi', '10Gi', '400'"),
        ("cpu: 2", "cpu: two", "t.yaml:6: sites.store.nodes.edge.cpu: 'two' is not a CPU quantity;"
         " write for example '500m' or '2'"),
        ("control_plane: local", "control_plane: locl", "t.yaml:4: sites.store.control_plane: 'locl'"
         " is not known here; did you mean 'local'?"),
        ("count: 4", "count: four", "t.yaml:13: sites.store.devices.till.count: 'four' is not a"
         " whole number; write for example 3"),
        ("count: 4", "count: 0", "t.yaml:13: sites.store.devices.till.count: 0 is out of range; it"
         " must be at least 1"),
        ("count: 4", "count: [4]", "t.yaml:13: sites.store.devices.till.count: [4] is not a whole"
         " number; write for example 3"),
        ("response_time: 50ms", "response_time: soon", "t.yaml:17: targets.response_time: 'soon' is"
         " not a duration; write for example '50ms', '60s', '7d'"),
        ("response_time: 50ms", "availability: high", "t.yaml:17: targets.availability: 'high' is"
         " not a share; write for example '99%' or '0.99'"),
        ("response_time: 50ms", "availability: 101%", "t.yaml:17: targets.availability: '101%' is"
         " more than everything; a share lies in 0..1 or 0%..100%"),
        ("response_time: 50ms", "data_locality: false", "t.yaml:17: targets.data_locality: False"
         " cannot stand here; write 'true', or leave the key out"),
        ("name: small", "name: 7", "t.yaml:1: name: 7 is not text; put it in quotes"),
        ("name: small", "name: a b", "t.yaml:1: name: 'a b' is not a name; use letters, digits, '-',"
         " '_' and '.', with a letter or digit first and last"),
        ("name: small\n", "", "t.yaml:1: key 'name' is missing; add 'name: NAME'"),
        ("name: small\n", "name: small\nkubernetes: 1.30\n", "t.yaml:2: kubernetes: 1.3 is not text;"
         " put it in quotes"),
        ("name: small\n", "name: small\nmanifests: a.yaml\n", "t.yaml:2: manifests: 'a.yaml' is not"
         " a list; write '[ITEM, ITEM]', or an item a line after '- '"),
        ("  response_time: 50ms\n", "", "t.yaml:16: targets: nothing is written here; write its keys"
         " below it, indented, or leave it out"),
        ("      edge: {cpu: 2, memory: 4Gi, disk: 16Gi}\n", "      {}\n", "t.yaml:5:"
         " sites.store.nodes: this is empty; write at least one"),
    ],
)  # fmt: skip
def test_each_slip_is_one_line_that_says_what_would_be_right(old, new, said):
    _, problems = read(changed(old, new))

    assert problems == [said]


def test_a_law_names_the_parameters_it_lacks():
    text = changed("every: 60s}", "every: 60s, service_time: {law: lognormal, median: 5ms}}")

    assert read(text)[1] == [
        "t.yaml:15: sites.store.devices.till.requests.pay.service_time: "
        "law lognormal needs sigma; change one of them"
    ]


def test_all_slips_come_at_once():
    text = changed("latency: 12ms", "latency: 12")
    text = text.replace("count: 4", "count: no").replace("50ms", "50").replace("4Gi", "4Go")

    assert [problem.split(":")[1] for problem in read(text)[1]] == ["6", "9", "13", "17"]


def test_what_is_wrong_is_guessed_so_that_the_rest_can_be_checked():
    made, problems = read(changed("latency: 12ms", "latency: twelve"))

    assert len(problems) == 1
    assert isinstance(made, Topology)


# ---- settings ------------------------------------------------------------------------------------


def test_a_setting_takes_the_place_of_what_the_file_says():
    made, problems = read(SMALL, "sites.store.nodes.edge.disk=64Gi", "sites.store.count=12")

    assert problems == []
    assert made.sites["store"].nodes["edge"].disk_bytes == 64 * 2**30
    assert made.sites["store"].count == 12


def test_a_setting_may_fill_what_the_file_leaves_out():
    made, problems = read(SMALL, "sync.interval=5m", "sites.store.nodes.edge.labels.zone=a")

    assert problems == []
    assert made.sync.interval_us == 300_000_000
    assert made.sites["store"].nodes["edge"].labels == {"zone": "a"}


def test_a_setting_does_not_reach_what_is_shared_by_an_alias():
    text = changed("      edge: {cpu: 2, memory: 4Gi, disk: 16Gi}",
                   "      edge: &node {cpu: 2}\n      spare: *node")  # fmt: skip

    made, problems = read(text, "sites.store.nodes.edge.cpu=8")

    assert problems == []
    assert [node.cpu_cores for node in made.sites["store"].nodes.values()] == [8.0, 2.0]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sites.stor.count=3", "--set: sites.stor.count: sites has no 'stor'; did you mean 'store'?"),
        ("sites.store.nodes.edge.dsk=1Gi", "--set: sites.store.nodes.edge.dsk: sites.store.nodes.edge"
         " has no key 'dsk'; did you mean 'disk'?"),
        ("sites.store.count.x=1", "--set: sites.store.count.x: sites.store.count has nothing below"
         " it; end the path there"),
        ("manifests[3]=x", "--set: manifests[3]: manifests has no item 3; it has 0, from 0 on"),
        ("sites.store.count", "--set: sites.store.count: this is no setting; write path=value, for"
         " example sites.store.count=12"),
        ("sites.store.count=many", "--set: sites.store.count: 'many' is not a whole number; write for"
         " example 3"),
        ("sites.store.uplinks.fibre.latency=5", "--set: sites.store.uplinks.fibre.latency: '5' is not"
         " a duration; write for example '50ms', '60s', '7d'"),
    ],
)  # fmt: skip
def test_a_setting_that_leads_nowhere_says_what_was_meant(setting, said):
    assert read(SMALL, setting)[1] == [said]


# ---- schema --------------------------------------------------------------------------------------


def test_the_committed_schema_is_the_models():
    assert (TOPOLOGIES / "topology.schema.json").read_text(encoding="utf-8") == schema.text()


def test_every_shipped_topology_names_the_schema_for_editors():
    for path in TOPOLOGIES.glob("*/topology.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        name = first.removeprefix("# yaml-language-server: $schema=")

        assert (path.parent / name).resolve() == (TOPOLOGIES / "topology.schema.json").resolve()


def test_the_schema_accepts_what_is_shipped_and_refuses_a_slip():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft7Validator(schema.topology_schema())

    for path in TOPOLOGIES.glob("*/topology.yaml"):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert list(validator.iter_errors(data)) == []
    data = yaml.safe_load(SMALL)
    assert list(validator.iter_errors(data)) == []
    data["sites"]["store"]["uplinks"]["fibre"]["latency"] = "twelve"
    data["sites"]["store"]["cont"] = 3
    assert len(list(validator.iter_errors(data))) == 2


def test_the_page_on_the_format_names_every_key():
    page = (TOPOLOGIES / "README.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z_]+", page))
    definitions = schema.topology_schema()["definitions"]
    # The laws of drawn storms are left to the schema.
    drawn = {"StormSpec", "Rates", "Gaps", "Durations", "Shared", "Flapping", "Degraded"}
    keys = {
        key
        for name, definition in definitions.items()
        if name not in drawn
        for key in definition["properties"]
    }

    assert keys - words == set()


def test_the_schema_explains_every_key_that_the_model_explains():
    uplink = schema.topology_schema()["definitions"]["Uplink"]["properties"]

    assert uplink["bandwidth"]["description"].startswith("Of the upward direction")
    assert uplink["jitter"]["default"] == "0s"


def test_the_schema_command_prints_it(capsys, tmp_path):
    import argparse

    parser = argparse.ArgumentParser()
    schema_command.add_arguments(parser)

    assert schema_command.run(parser.parse_args([])) == 0
    assert schema_command.run(parser.parse_args(["--save", str(tmp_path / "s.json")])) == 0

    printed = capsys.readouterr().out
    assert json.loads(printed)["title"] == "edgetwin topology"
    assert (tmp_path / "s.json").read_text() == printed
