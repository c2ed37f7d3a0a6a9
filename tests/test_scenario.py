# ruff: noqa: E501 - messages stand here as they are shown
"""A folder becomes a scenario: everything that does not fit is said at once, or it is complete."""

import contextlib
import copy
import gzip
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetwin.errors import ScenarioError, UsageError
from edgetwin.inputs.scenario import load

ROOT = Path(__file__).parent.parent
RETAIL = ROOT / "topologies" / "smart-retail"
DATA = os.environ.get("EDGETWIN_DATA", "")
BRAZIL = Path(DATA) / "smokeping-rs-brazil" / "outages.csv"
if not BRAZIL.exists():
    BRAZIL = Path(DATA) / "data" / "smokeping-rs-brazil" / "outages.csv"
needs_data = pytest.mark.skipif(
    not DATA or not BRAZIL.exists(), reason="EDGETWIN_DATA does not hold the records"
)

TOPOLOGY = """\
name: small
sites:
  store:
    count: 3
    control_plane: local
    nodes:
      edge: {labels: {node-type: edge}}
    uplinks:
      fibre: {latency: 12ms, bandwidth: 10Mbit/s}
    devices:
      till:
        count: 2
        requests:
          pay:
            service: api
            every: 60s
            kind: write
            collection: sales
            policy: authz
            input: {user: {integer: [1, 9]}, offline: {state: offline}, action: pay}
services:
  api: {workers: 2}
collections:
  sales: {egress: egress}
policies:
  authz:
    entrypoint: retail/authz/allow
    releases: [{bundle: retail-authz-r1.tar.gz}]
  egress:
    entrypoint: retail/egress/allow
    releases: [{bundle: retail-egress-r1.tar.gz}]
"""
MANIFESTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      runtimeClassName: wasmedge
      nodeSelector: {node-type: edge}
      containers: [{name: api, image: "api:1"}]
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data:
  sync_interval: "30s"
  data_retention: "2d"
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
OUTAGES = """\
site,start,end,kind
store-001,2025-01-01T00:00:00Z,2025-01-01T01:00:00Z,network
store-002,2025-01-02T00:00:00Z,2025-01-02T03:00:00Z,network
"""


@pytest.fixture
def folder(tmp_path):
    """Return a small, sound scenario folder."""
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    (tmp_path / "manifests.yaml").write_text(MANIFESTS)
    (tmp_path / "outages.csv").write_text(OUTAGES)
    (tmp_path / "policies").mkdir()
    for name in ("retail-authz-r1.tar.gz", "retail-egress-r1.tar.gz"):
        shutil.copy(ROOT / "policies" / name, tmp_path / "policies" / name)
    return tmp_path


def change(folder, file, old, new):
    text = (folder / file).read_text()
    assert text.count(old) == 1, old
    (folder / file).write_text(text.replace(old, new))


def problems(folder, **options):
    """Return what is wrong with a scenario, without the folder's own path."""
    with pytest.raises(ScenarioError) as raised:
        load(folder, **options)
    return [str(problem).replace(f"{folder}/", "") for problem in raised.value.problems]


# ---- what is complete ----------------------------------------------------------------------------


def test_a_sound_folder_is_complete_and_hashable(folder):
    scenario = load(folder)

    assert scenario.site_names == ("store-001", "store-002", "store-003")
    assert len(scenario.record.outages) == 2
    assert sorted(scenario.bundles) == ["retail-authz-r1.tar.gz", "retail-egress-r1.tar.gz"]
    assert scenario.lines["sites.store.count"] == 4
    assert hash(scenario) == hash(pickle.loads(pickle.dumps(scenario)))


def test_config_maps_settle_what_the_topology_leaves_open(folder):
    scenario = load(folder)

    assert scenario.topology.sync.interval_us == 30_000_000
    assert scenario.topology.collections["sales"].retention_us == 2 * 86_400_000_000
    assert scenario.topology.collections["sales"].claim == "data"
    notes = [note.replace(f"{folder}/", "") for note in scenario.notes]
    assert "manifests.yaml:22: sync_interval 30s is taken from 'config'" in notes
    assert "manifests.yaml:23: data_retention 2d is taken from 'config'" in notes


def test_the_topology_goes_before_config_maps(folder):
    change(folder, "topology.yaml", "sales: {", "sales: {retention: 9d, ")

    scenario = load(folder, settings=["sync.interval=10s"])

    assert scenario.topology.sync.interval_us == 10_000_000
    assert scenario.topology.collections["sales"].retention_us == 9 * 86_400_000_000


def test_without_config_map_the_guides_figures_hold(folder):
    change(folder, "manifests.yaml", '  sync_interval: "30s"\n  data_retention: "2d"\n', "  a: b\n")

    scenario = load(folder)

    assert scenario.topology.sync.interval_us == 60_000_000
    assert scenario.topology.collections["sales"].retention_us == 7 * 86_400_000_000


def test_a_topology_file_may_be_named_itself(folder):
    (folder / "topology.yaml").rename(folder / "other.yaml")

    assert load(folder / "other.yaml").topology.name == "small"


def test_manifests_may_be_a_folder(folder):
    (folder / "k8s").mkdir()
    first, rest = MANIFESTS.split("---\n", 1)
    (folder / "k8s" / "a.yaml").write_text(first)
    (folder / "k8s" / "b.yml").write_text(rest)
    change(folder, "topology.yaml", "name: small\n", "name: small\nmanifests: [k8s]\n")

    assert len(load(folder).manifests.workloads) == 1


def test_the_digest_changes_with_all_that_decides_a_run(folder):
    digests = [load(folder).digest, load(folder, settings=["sites.store.count=4"]).digest]
    change(folder, "manifests.yaml", "api:1", "api:2")
    digests.append(load(folder).digest)
    change(folder, "outages.csv", "T01:00", "T02:00")
    digests.append(load(folder).digest)
    shutil.copy(ROOT / "policies" / "retail-authz-r2.tar.gz",
                folder / "policies" / "retail-authz-r1.tar.gz")  # fmt: skip
    digests.append(load(folder).digest)

    assert len(set(digests)) == len(digests)


def test_the_digest_does_not_hang_on_where_the_folder_lies(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, other)

    assert load(folder).digest == load(other).digest


# ---- what does not fit ---------------------------------------------------------------------------

ENTRYPOINT = "entrypoint: retail/authz/allow"
CROSS = [
    ("service: api", "service: apy", "topology.yaml:15: {pay}.service: there is no Service 'apy'; did you mean 'api'?"),
    ("collection: sales", "collection: sails", "topology.yaml:18: {pay}.collection: there is no collection 'sails'; did you mean 'sales'?"),
    ("            collection: sales\n", "", "topology.yaml:17: {pay}.kind: a write without a collection; add 'collection: NAME', or make it 'kind: read'"),
    ("policy: authz", "policy: auhtz", "topology.yaml:19: {pay}.policy: there is no policy 'auhtz'; did you mean 'authz'?"),
    ("            policy: authz\n", "", "topology.yaml:19: {pay}.input: an input that no policy reads; add 'policy: NAME', or leave the input out"),
    ("{integer: [1, 9]}", "{integer: [9, 1]}", "topology.yaml:20: {pay}.input.user.integer: [9, 1] is no range of whole numbers; write {{integer: [least, most]}}, both whole numbers"),
    ("{integer: [1, 9]}", "{intger: [1, 9]}", "topology.yaml:20: {pay}.input.user.intger: unknown form 'intger'; did you mean 'integer'?"),
    ("{integer: [1, 9]}", "{name: anna}", "topology.yaml:20: {pay}.input.user: this mapping is none of the known forms; write {{one_of: [...]}}, {{integer: [0, 9]}}, {{state: offline}} or a constant"),
    ("{integer: [1, 9]}", "{one_of: []}", "topology.yaml:20: {pay}.input.user.one_of: this is no list of values; write {{one_of: [a, b]}}"),
    ("{state: offline}", "{state: online}", "topology.yaml:20: {pay}.input.offline.state: unknown state 'online'; did you mean 'offline'?"),
    ("action: pay", "amount: {integer: [1, 900000]}", "topology.yaml:20: {pay}.input: 8,100,000 different inputs (user 9 x amount 900,000); at most 1,000,000: draw from fewer values, such as {{one_of: [...]}}"),
    ("every: 60s", "every: 60s\n            budget: 9s", "topology.yaml:17: {pay}.budget: the client gives up before the budget ends; lower the budget, or raise the timeout"),
    ("  api: {workers: 2}", "  apis: {workers: 2}", "topology.yaml:22: services.apis: there is no Service 'apis'; did you mean 'api'?"),
    ("sales: {egress: egress}", "sales: {egress: egres}", "topology.yaml:24: collections.sales.egress: there is no policy 'egres'; did you mean 'egress'?"),
    ("sales: {egress: egress}", "sales: {claim: daten}", "topology.yaml:24: collections.sales.claim: there is no PersistentVolumeClaim 'daten'; did you mean 'data'?"),
    ("sales: {egress: egress}", "sales: {retention: 10s}", "topology.yaml:24: collections.sales.retention: records are kept 10s, less than the sync interval of 30s: they are pruned before they are sent; keep them longer, or sync more often"),
    ("sales: {egress: egress}", "sales: {strategy: last-write-wins}", "topology.yaml:24: collections.sales.strategy: 'last-write-wins' is not known here; did you mean 'last-writer-wins'?"),
    ("name: small\n", "name: small\nsync: {batch: 3000000}\n", "topology.yaml:2: sync.batch: a batch of 3000000 writes takes 1.3Gi, more than the volume 'data' holds (1.0Gi); send smaller batches, or ask for more storage"),
    ("name: small\n", "name: small\nruntimes: {wasmedge: wasmedge-ato}\n", "topology.yaml:2: runtimes.wasmedge: no start-up profile 'wasmedge-ato'; did you mean 'wasmedge-aot'?"),
    ("name: small\n", "name: small\nkubernetes: latest\n", "topology.yaml:2: kubernetes: 'latest' is not a Kubernetes version; write for example '1.30'"),
    ("control_plane: local", "control_plane: local-ha", "topology.yaml:5: sites.store.control_plane: local-ha has 1 K3s servers; etcd needs an odd number, at least 3: set the count of nodes, or 'server: true'"),
    ("edge: {labels: {node-type: edge}}", "edge: {count: 2, server: true, labels: {node-type: edge}}", "topology.yaml:5: sites.store.control_plane: local has 2 K3s servers; it is one server on SQLite; for several write 'control_plane: local-ha'"),
    ("edge: {labels: {node-type: edge}}", "edge: {taints: [gpu], labels: {node-type: edge}}", "topology.yaml:7: sites.store.nodes.edge.taints[0]: 'gpu' is no taint; write key=value:NoSchedule (or NoExecute, PreferNoSchedule)"),
    ("bundle: retail-authz-r1.tar.gz", "bundle: retail-autz-r1.tar.gz", "topology.yaml:28: policies.authz.releases[0].bundle: there is no policy bundle 'retail-autz-r1.tar.gz'; did you mean 'retail-authz-r1.tar.gz'?"),
    ("bundle: retail-authz-r1.tar.gz", "bundle: ../policies/retail-authz-r1.tar.gz", "topology.yaml:28: policies.authz.releases[0].bundle: '../policies/retail-authz-r1.tar.gz' is not the name of a bundle; write the bare name of a file in a 'policies' folder"),
    ("bundle: retail-authz-r1.tar.gz", "bundle: /etc/passwd", "topology.yaml:28: policies.authz.releases[0].bundle: '/etc/passwd' is not the name of a bundle; write the bare name of a file in a 'policies' folder"),
    ("entrypoint: retail/authz/allow", "entrypoint: retail/authz/alow", "topology.yaml:27: policies.authz.entrypoint: bundle 'retail-authz-r1.tar.gz' has no entrypoint 'retail/authz/alow'; did you mean 'retail/authz/allow'?"),
    ("releases: [{bundle: retail-authz-r1.tar.gz}]", "releases: [{bundle: retail-authz-r1.tar.gz}, {at: 1d, bundle: retail-egress-r1.tar.gz}]", "topology.yaml:27: policies.authz.entrypoint: bundle 'retail-egress-r1.tar.gz' has no entrypoint 'retail/authz/allow'; did you mean 'retail/egress/allow'?"),
    ("releases: [{bundle: retail-authz-r1.tar.gz}]", "releases: [{at: 1d, bundle: retail-authz-r1.tar.gz}]", "topology.yaml:26: policies.authz: the first release must be at 0s: sites start with it; change one of them"),
    ("name: small\n", "name: small\nmanifests: [manifest.yaml]\n", "topology.yaml:2: manifests[0]: there is no manifest file 'manifest.yaml'; did you mean 'manifests.yaml'?"),
    ("name: small\n", "name: small\nmanifests: [../manifests.yaml]\n", "topology.yaml:2: manifests[0]: '../manifests.yaml' leads out of the scenario's folder; write a path inside the scenario's folder, without '..'"),
    ("name: small\n", "name: small\noutages: {file: storm.csv}\n", "topology.yaml:2: outages.file: there is no outage record 'storm.csv'; add it, draw one by 'outages: {{generate: ...}}', or write 'file: null' for none"),
    ("name: small\n", "name: small\noutages: {file: /etc/hosts}\n", "topology.yaml:2: outages.file: '/etc/hosts' leads out of the scenario's folder; write a path inside the scenario's folder, without '..'"),
    ("name: small\n", "name: small\noutages: {generate: {}}\n", "topology.yaml:2: outages.generate: a drawn record needs a length; add 'outages: {{duration: 90d}}'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), CROSS)
def test_what_does_not_fit_is_one_line(folder, old, new, said):
    change(folder, "topology.yaml", old, new)

    assert problems(folder) == [said.format(pay="sites.store.devices.till.requests.pay")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("selector: {app: api},", "selector: {app: apy},", "manifests.yaml:13: Service api: spec.selector: no workload's Pods carry app=apy; did you mean 'app=api'?"),
        ("runtimeClassName: wasmedge", "runtimeClassName: spin", "manifests.yaml:1: Deployment api: no start-up profile is known for RuntimeClass 'spin'; add 'runtimes: {spin: container-static}' to the topology"),
        ('sync_interval: "30s"', 'sync_interval: "30"', "manifests.yaml:22: ConfigMap config: data.sync_interval: '30' is not a duration; write for example '50ms', '60s', '7d'"),
        ('data_retention: "2d"', 'data_retention: "0d"', "manifests.yaml:23: ConfigMap config: data.data_retention: '0d' is no time at all; write for example '60s'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_in_manifests_is_one_line(folder, old, new, said):
    change(folder, "manifests.yaml", old, new)

    assert problems(folder) == [said]


def test_faults_of_every_file_come_at_once_and_none_for_another(folder):
    change(folder, "topology.yaml", "latency: 12ms", "latncy: 12ms")
    change(folder, "topology.yaml", "every: 60s", "every: 60")
    change(folder, "topology.yaml", "collection: sales", "collection: sails")
    change(folder, "topology.yaml", "count: 2\n", "count: 2\n        count: 3\n")
    change(
        folder,
        "manifests.yaml",
        "containers: [",
        "volumes: [{name: d, persistentVolumeClaim: {claimName: dat}}]\n      containers: [",
    )
    change(folder, "outages.csv", "store-002", "store-02")
    change(folder, "outages.csv", "2025-01-01T01:00:00Z", "2024-01-01T01:00:00Z")
    (folder / "policies" / "retail-authz-r1.tar.gz").write_bytes(b"no archive")
    (folder / "policies" / "retail-egress-r1.tar.gz").write_bytes(b"\0asm\1\0\0\0\1\x7f")

    found = problems(folder)

    assert [line.split(": ")[0] for line in found] == [
        "manifests.yaml:11", "outages.csv:2", "outages.csv:3", "topology.yaml:9",
        "topology.yaml:13", "topology.yaml:17", "topology.yaml:19", "topology.yaml:29",
        "topology.yaml:32",
    ]  # fmt: skip
    assert "neither a .tar.gz archive nor a Wasm module" in found[-2]
    assert "ends within its section 1" in found[-1]


def test_a_bare_module_lists_its_entrypoints_itself(folder):
    bundle = (ROOT / "policies" / "retail-authz-r1.tar.gz").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        name = next(name for name in archive.getnames() if name.endswith("policy.wasm"))
        (folder / "policies" / "bare.wasm").write_bytes(archive.extractfile(name).read())
    change(folder, "topology.yaml", "bundle: retail-authz-r1.tar.gz", "bundle: bare.wasm")

    assert "bare.wasm" in load(folder).bundles
    change(folder, "topology.yaml", "retail/authz/allow", "retail/authz/deny")
    assert problems(folder) == [
        "topology.yaml:27: policies.authz.entrypoint: bundle 'bare.wasm' has no entrypoint "
        "'retail/authz/deny'; did you mean 'retail/authz/allow'?"
    ]


def test_a_broken_manifest_hides_no_fault_and_makes_none(folder):
    change(folder, "manifests.yaml", "kind: Service", "kind: [Service")
    change(folder, "topology.yaml", "policy: authz", "policy: auhtz")

    found = problems(folder)

    assert len(found) == 2
    assert found[0].startswith("manifests.yaml:15: this is not YAML")
    assert found[1].startswith("topology.yaml:19:")


def test_a_wrong_count_does_not_make_every_recorded_site_unknown(folder):
    change(folder, "topology.yaml", "count: 3", "count: three")

    assert len(problems(folder)) == 1


def test_a_link_that_leads_out_of_the_folder_is_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.yaml"
    outside.write_text(MANIFESTS)
    (folder / "manifests.yaml").unlink()
    (folder / "manifests.yaml").symlink_to(outside)

    assert "this link leads out of the folder" in problems(folder)[0]


def test_no_topology_is_said_plainly(tmp_path):
    assert problems(tmp_path) == [
        "topology.yaml: No such file or directory; give the path of a readable YAML file"
    ]


def test_a_file_of_two_documents_is_no_topology(folder):
    (folder / "topology.yaml").write_text(TOPOLOGY + "---\n" + TOPOLOGY)

    assert problems(folder) == [
        f"topology.yaml:{TOPOLOGY.count(chr(10)) + 2}: 2 YAML documents; a topology is one document"
    ]


def test_several_claims_must_be_told_apart(folder):
    second = MANIFESTS.rsplit("---\n", 1)[1].replace("name: data", "name: logs")
    (folder / "manifests.yaml").write_text(MANIFESTS + "---\n" + second)

    assert problems(folder) == [
        "topology.yaml:24: collections.sales: several PersistentVolumeClaims, none named; add "
        "'claim: data' (known: data, logs)"
    ]


# ---- what is only noted --------------------------------------------------------------------------


def test_what_may_be_meant_is_noted(folder):
    change(folder, "manifests.yaml", "node-type: edge", "node-type: gpu")
    change(folder, "manifests.yaml", "runtimeClassName: wasmedge", "runtimeClassName: wasm")
    change(folder, "topology.yaml", "collections:\n", "collections:\n  spare: {}\n")
    (folder / "manifests.yaml").write_text(
        (folder / "manifests.yaml").read_text()
        + "---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: backup}\n"
    )

    notes = "\n".join(load(folder).notes)

    assert "no node of a 'store' site has node-type=gpu; its Pods stay pending there" in notes
    assert "K3s makes no RuntimeClass 'wasm'" in notes
    assert "collection 'spare' is used by no request" in notes
    assert "CronJob backup is a kind that is not modelled; it is left out" in notes


# ---- storms --------------------------------------------------------------------------------------


def foreign(tmp_path, rows):
    path = tmp_path / "foreign.csv"
    path.write_text("site,start,end,kind\n" + "".join(f"{row},network\n" for row in rows))
    return path


def test_a_record_of_other_sites_grows_the_only_kind(folder, tmp_path):
    path = foreign(tmp_path, [f"{name},1700000000,1700003600" for name in ("B", "A", "C", "D")])

    scenario = load(folder, outages=path)

    assert scenario.site_names == ("A", "B", "C", "D")
    assert scenario.renamed == scenario.site_names
    assert {kind for _, kind in scenario.sites} == {"store"}
    assert scenario.topology.sites["store"].count == 4
    assert any("4 sites instead of 3" in note for note in scenario.notes)


def test_a_record_that_names_modelled_sites_is_taken_by_name(folder, tmp_path):
    path = foreign(tmp_path, ["store-003,1700000000,1700003600"])

    scenario = load(folder, outages=path)

    assert [outage.site for outage in scenario.record.outages] == ["store-003"]
    assert len(scenario.sites) == 3


@pytest.mark.parametrize("own", [True, False])
def test_a_slip_in_a_recorded_site_is_a_problem_at_its_line(folder, tmp_path, own):
    rows = ["stor-003,1700000000,1700003600"]
    path = foreign(tmp_path, rows)
    if own:
        shutil.copy(path, folder / "outages.csv")

    found = problems(folder, outages=None if own else path)

    file = "outages.csv" if own else "foreign.csv"
    assert found == [
        f"{file}:2: site: there is no site 'stor-003' in the topology; did you mean 'store-003'?"
    ]


def test_recorded_sites_may_be_mapped_or_ranked_or_sampled(folder, tmp_path):
    path = foreign(tmp_path, [f"{name},1700000000,1700003600" for name in "ABCDE"])
    mapping = tmp_path / "map.csv"
    mapping.write_text("recorded,modelled\nA,store-002\n")

    mapped = load(folder, outages=path, mapping=mapping)
    ranked = load(folder, outages=path, rule="rank")
    sampled = [load(folder, outages=path, rule="sample", seed=seed).digest for seed in range(5)]

    assert [outage.site for outage in mapped.record.outages] == ["store-002"]
    assert ranked.site_names == ranked.record.sites
    assert len(ranked.record.outages) == 3
    assert len(set(sampled)) == 1  # all recorded outages are alike here


def test_a_mapping_names_what_it_does_not_know(folder, tmp_path):
    path = foreign(tmp_path, ["Alpha,1700000000,1700003600"])
    mapping = tmp_path / "map.csv"
    mapping.write_text("Alfa,store-002\nAlpha,store-2\n")

    found = problems(folder, outages=path, mapping=mapping)

    assert found == [
        "map.csv:1: recorded: there is no recorded site 'Alfa'; did you mean 'Alpha'?",
        "map.csv:2: modelled: there is no modelled site 'store-2'; did you mean 'store-002'?",
    ]


def test_an_unknown_rule_is_a_wrong_call(folder):
    with pytest.raises(UsageError, match="did you mean 'rank'"):
        load(folder, rule="rnk")


def test_an_empty_record_loads_as_a_quiet_day(folder):
    (folder / "outages.csv").write_text("site,start,end,kind\n")

    scenario = load(folder)

    assert scenario.record.outages == ()
    assert len(scenario.record.sites) == 3
    assert scenario.topology.outages.duration_us == 86_400_000_000
    start, end = scenario.record.window_us
    assert end - start == 86_400_000_000


def test_no_record_loads_for_as_long_as_is_said(folder):
    change(
        folder,
        "topology.yaml",
        "name: small\n",
        "name: small\noutages: {file: null, duration: 3d}\n",
    )

    scenario = load(folder)

    assert scenario.record.outages == ()
    assert scenario.topology.outages.duration_us == 3 * 86_400_000_000


def test_a_compressed_record_is_the_same_record(folder):
    plain = load(folder)
    (folder / "storm.csv.gz").write_bytes(gzip.compress(OUTAGES.encode(), mtime=0))

    packed = load(folder, outages=[folder / "storm.csv.gz"])

    assert packed.record.outages == plain.record.outages


def test_the_error_of_a_record_is_its_own_else_its_grid_else_as_said(folder):
    grid = load(folder)
    said = load(folder, settings=["outages.record_error=7s"])
    (folder / "outages.csv").write_text(
        "site,start,end,kind,cause,censored,start_err_s,end_err_s\n"
        "store-001,2025-01-01T00:00:00Z,2025-01-01T01:00:00Z,network,,,5,11\n"
    )
    own = load(folder)

    assert {o.start_err_us for o in grid.record.outages} == {3_600_000_000}
    assert grid.topology.outages.record_error_us == 3_600_000_000
    assert {(o.start_err_us, o.end_err_us) for o in said.record.outages} == {(7_000_000, 7_000_000)}
    assert {(o.start_err_us, o.end_err_us) for o in own.record.outages} == {(5_000_000, 11_000_000)}


def test_a_duration_cuts_the_record(folder):
    scenario = load(folder, settings=["outages.duration=2h"])

    assert len(scenario.record.outages) == 1
    assert scenario.topology.outages.duration_us == 2 * 3_600_000_000


def test_a_storm_may_be_drawn_by_seed(folder):
    change(
        folder,
        "topology.yaml",
        "name: small\n",
        "name: small\noutages: {duration: 60d, generate: {}}\n",
    )

    first, again, other = (load(folder, seed=seed) for seed in (1, 1, 2))

    assert first.record.outages
    assert first.digest == again.digest != other.digest
    assert any("drawn from laws by seed 1" in note for note in first.notes)


# ---- what is shipped -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("long_poll: 30s", "a long poll switches the header timeout off: an agent whose request is never answered asks no more"),
        ("header_timeout: 0s", "header_timeout is 0s: an agent whose request"),
        ("decision_log: {decisions_per_s: 1}", "decisions a second, its log keeps 1: the rest is lost without any cut"),
        ("decision_log: {limit: 650}", "its log holds 10: it loses some without any cut"),
        ("decision_log: {buffer: event, limit_events: 20}", "its log holds 20: it loses some without"),
    ],
)  # fmt: skip
def test_what_an_agent_may_come_to_is_noted(folder, settings, said):
    change(folder, "topology.yaml", "every: 60s", "every: 1s")
    change(folder, "topology.yaml", ENTRYPOINT, f"{ENTRYPOINT}\n    {settings}")

    noted = [note for note in load(folder).notes if "policy 'authz'" in note]

    assert len(noted) == 1
    assert said in noted[0]


def test_a_log_that_holds_what_is_made_is_not_noted(folder):
    change(folder, "topology.yaml", ENTRYPOINT, f"{ENTRYPOINT}\n    decision_log: {{}}")

    assert not [note for note in load(folder).notes if "policy 'authz'" in note]


def test_smart_retail_loads_without_a_slip():
    scenario = load(RETAIL)

    assert len(scenario.sites) == 48
    assert len(scenario.record.outages) == 480
    assert scenario.topology.sync.interval_us == 60_000_000
    targets = scenario.topology.targets.model_dump()
    assert [name for name, target in targets.items() if target is None] == []
    assert not any("unknown" in note or "not used" in note for note in scenario.notes)


def test_each_device_of_smart_retail_asks_once_a_minute():
    site = load(RETAIL).topology.sites["store"]

    assert sum(group.count for group in site.devices.values()) == 6
    for group in site.devices.values():
        assert sum(
            60_000_000 / request.every_us for request in group.requests.values()
        ) == pytest.approx(1)


def test_smart_retail_asks_its_policy_more_than_a_thousand_different_things():
    pay = load(RETAIL).topology.sites["store"].devices["till"].requests["pay"].input

    different = 1
    for value in pay.values():
        if isinstance(value, dict) and "one_of" in value:
            different *= len(set(value["one_of"]))
        elif isinstance(value, dict) and "integer" in value:
            different *= value["integer"][1] - value["integer"][0] + 1
    assert different >= 1_000


def test_the_shipped_outages_are_drawn_as_their_page_says(tmp_path, monkeypatch):
    page = (RETAIL / "README.md").read_text(encoding="utf-8")
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)

    exec(compile(program, "README.md", "exec"), {})

    for name in ("outages.csv", "sites.csv"):
        assert (tmp_path / name).read_bytes() == (RETAIL / name).read_bytes()


@needs_data
def test_the_record_of_96_real_sites_loads_as_96_stores():
    scenario = load(RETAIL, outages=BRAZIL)

    assert len(scenario.sites) == 96
    assert len(scenario.record.outages) == 1_842
    assert scenario.record.sites == tuple(sorted(scenario.site_names))
    assert {o.start_err_us for o in scenario.record.outages} == {300_000_000}


def test_loading_imports_neither_the_engine_nor_what_only_runs_need():
    program = (
        "import sys; from edgetwin.inputs.scenario import load; load(sys.argv[1]);"
        "print([m for m in ('simpy', 'networkx', 'wasmtime', 'pandas', 'pyarrow') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(RETAIL)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


# ---- damage --------------------------------------------------------------------------------------

JUNK = st.sampled_from(
    [None, True, -1, 0, 3.5, "", "x", "60s", "Ünïcode", [], {}, [[]], [None], {"a": {}}, 10**30,
     float("nan"), "9" * 200, "../x", {"state": []}]
)  # fmt: skip


def places(tree, path=()):
    """Return every place in *tree*, in order."""
    found = []
    for step, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found.append((*path, step))
        if isinstance(value, dict | list):
            found += places(value, (*path, step))
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_topology_breaks_loading(folder, data):
    tree = yaml.safe_load(TOPOLOGY)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(tree)))
        holder = tree
        for step in path[:-1]:
            holder = holder[step]
        if data.draw(st.booleans()) or not isinstance(holder, dict):
            holder[path[-1]] = copy.deepcopy(data.draw(JUNK))
        else:
            holder[data.draw(st.sampled_from(["x", "count", "at", "law", "é"]))] = copy.deepcopy(
                data.draw(JUNK)
            )
    (folder / "topology.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True))

    # Anything but a ScenarioError would be a fault of ours.
    with contextlib.suppress(ScenarioError):
        load(folder)
