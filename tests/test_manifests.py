"""Kubernetes manifests are taken as they are, and refused where the API would refuse them."""

import copy
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgetwin import units
from edgetwin.inputs import document, manifests
from edgetwin.kubernetes import DEFAULT_TOLERATION_US, Manifests

DATA = os.environ.get("EDGETWIN_DATA", "")

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  replicas: 3
  selector:
    matchLabels: {app: api}
  template:
    metadata:
      labels: {app: api, tier: edge}
    spec:
      runtimeClassName: wasm
      nodeSelector: {node-type: edge}
      containers:
        - name: api
          image: registry.example/api:1.0
          resources:
            requests: {cpu: 100m, memory: 128Mi}
            limits: {cpu: 500m, memory: 512Mi}
          envFrom:
            - configMapRef: {name: config}
          volumeMounts:
            - {name: data, mountPath: /data}
      volumes:
        - name: data
          persistentVolumeClaim: {claimName: storage}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config}
data: {sync_interval: 60s}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: storage}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 10Gi}}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  selector: {app: api}
  ports: [{port: 8080}]
"""


def read(text):
    """Return the manifests in *text*, the problems and the notes, all as text."""
    problems, notes = [], []
    documents = document.parse(text.encode(), "m.yaml", problems)
    found = manifests.gather(documents, problems, notes)
    return found.manifests, [str(problem) for problem in problems], notes


def changed(old, new, text=DEPLOYMENT):
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.skipif(not DATA, reason="EDGETWIN_DATA does not say where the guide's example lies")
def test_the_guides_own_manifests_load_unchanged():
    path = Path(DATA) / "seed-manifests.yaml"
    problems, notes = [], []

    found = manifests.read([(path, "seed.yaml")], problems, notes)

    assert (problems, notes) == ([], [])
    (workload,) = found.manifests.workloads
    (container,) = workload.containers
    assert (workload.kind, workload.name, workload.replicas) == ("Deployment", "edge-service", 3)
    assert workload.node_selector == (("node-type", "edge"),)
    assert workload.runtime_class == "wasm"
    assert (container.cores_request, container.cores_limit) == (0.1, 0.5)
    assert (container.memory_bytes_request, container.memory_bytes_limit) == (2**27, 2**29)
    assert container.env == (("LOCAL_STORAGE", "true"), ("OFFLINE_MODE", "true"))
    (config,) = found.manifests.config_maps
    assert dict(config.data) == {
        "offline_mode": "true", "local_storage": "true",
        "sync_interval": "60s", "data_retention": "7d",
    }  # fmt: skip
    (claim,) = found.manifests.claims
    assert (claim.storage_class, claim.size_bytes) == ("local-path", 10 * 2**30)
    (service,) = found.manifests.services
    assert (service.selector, service.ports) == ((("app", "edge-service"),), (8080,))


def test_sound_manifests_give_no_problem_and_no_note():
    found, problems, notes = read(DEPLOYMENT)

    assert (problems, notes) == ([], [])
    assert found.workloads[0].claim_names == ("storage",)
    assert found.workloads[0].containers[0].config_maps == ("config",)


def test_a_kind_that_is_not_modelled_is_named():
    _, problems, notes = read(
        DEPLOYMENT + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\n"
    )

    assert problems == []
    assert notes == [
        f"m.yaml:{DEPLOYMENT.count(chr(10)) + 2}: Secret key is a kind that is not modelled; "
        "it is left out"
    ]


def test_a_legal_field_that_means_nothing_to_the_model_is_accepted():
    text = changed("      runtimeClassName: wasm\n", "      enableServiceLinks: false\n")

    assert read(text)[1:] == ([], [])


def test_a_field_of_a_later_version_is_noted():
    text = changed("      runtimeClassName: wasm\n", "      quantumMode: true\n")

    _, problems, notes = read(text)

    assert problems == []
    assert notes == [
        "m.yaml:13: Deployment api: spec.template.spec.quantumMode is not known here and left out"
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  replicas: 3", "  replcas: 3", "6: Deployment api: spec.replcas: unknown key 'replcas';"
         " did you mean 'replicas'?"),
        ("  replicas: 3", "  replicas: three", "6: Deployment api: spec.replicas: 'three' is not a"
         " whole number; write for example 1"),
        ("cpu: 100m", "cpu: 100milli", "19: Deployment api: spec.template.spec.containers[0]."
         "resources.requests.cpu: '100milli' is not a Kubernetes quantity"),
        ("cpu: 100m", "cpu: 600m", "19: Deployment api: spec.template.spec.containers[0]."
         "resources.requests.cpu: more cpu is requested than the limit allows"),
        ("memory: 512Mi", "memory: 512MB", "20: Deployment api: spec.template.spec.containers[0]."
         "resources.limits.memory: '512MB' is not a Kubernetes quantity; write for example"),
        ("    matchLabels: {app: api}", "    matchLabels: {}", "7: Deployment api: spec.selector:"
         " the selector is empty"),
        ("  selector:\n    matchLabels: {app: api}\n", "", "5: Deployment api: spec: key 'selector'"
         " is missing"),
        ("    matchLabels: {app: api}", "    matchLabels: {app: web}", "11: Deployment api: spec."
         "template.metadata.labels: the selector does not match the template's labels; set app"),
        ("claimName: storage", "claimName: storag", "27: Deployment api: spec.template.spec."
         "volumes[0].persistentVolumeClaim.claimName: there is no PersistentVolumeClaim 'storag';"
         " did you mean 'storage'?"),
        ("configMapRef: {name: config}", "configMapRef: {name: cfg}", "22: Deployment api: spec."
         "template.spec.containers[0].envFrom[0].configMapRef.name: there is no ConfigMap 'cfg'"),
        ("{name: data, mountPath: /data}", "{name: dat, mountPath: /data}", "24: Deployment api:"
         " spec.template.spec.containers[0].volumeMounts[0].name: no volume is called 'dat'"),
        ("image: registry.example/api:1.0", "command: [api]", "16: Deployment api: spec.template."
         "spec.containers[0]: key 'image' is missing"),
        ("{sync_interval: 60s}", "{sync_interval: 60}", "32: ConfigMap config: data.sync_interval:"
         " 60 is not text; put it in quotes"),
        ("{requests: {storage: 10Gi}}", "{requests: {storage: ten}}", "39: PersistentVolumeClaim"
         " storage: spec.resources.requests.storage: 'ten' is not a Kubernetes quantity"),
        ("[ReadWriteOnce]", "[ReadWriteOnc]", "38: PersistentVolumeClaim storage: spec."
         "accessModes[0]: 'ReadWriteOnc' is no access mode; did you mean 'ReadWriteOnce'?"),
        ("      runtimeClassName: wasm", "      restartPolicy: Never", "13: Deployment api: spec."
         "template.spec.restartPolicy: a Deployment restarts its Pods always"),
        ("      runtimeClassName: wasm", "      priorityClassName: high", "13: Deployment api:"
         " spec.template.spec.priorityClassName: there is no PriorityClass 'high'"),
        ("node-type: edge", "node-type: yes", "14: Deployment api: spec.template.spec.nodeSelector."
         "node-type: True is not text; put it in quotes"),
        ("metadata: {name: storage}", "metadata: {name: Storage}", "PersistentVolumeClaim Storage:"
         " metadata.name: 'Storage' is not a name"),
        ("kind: Service\nmetadata: {name: api}", "kind: ConfigMap\nmetadata: {name: config}",
         "ConfigMap config stands twice, first at m.yaml:29; rename one"),
    ],
)  # fmt: skip
def test_what_the_api_would_refuse_is_a_problem_with_its_place(old, new, said):
    _, problems, _ = read(changed(old, new))

    assert any(said in problem for problem in problems), problems
    assert all(problem.startswith("m.yaml:") for problem in problems)


def test_all_problems_come_at_once():
    text = changed("  replicas: 3", "  replcas: 3")
    text = changed("memory: 128Mi", "memory: lots", text)
    text = changed("claimName: storage", "claimName: other", text)

    assert len(read(text)[1]) == 3


def test_a_key_of_a_config_map_that_is_read_must_exist():
    variable = "env: [{name: A, valueFrom: {configMapKeyRef: {name: config, key: %s}}}]"
    line = "          envFrom:\n            - configMapRef: {name: config}\n"

    sound = read(changed(line, f"          {variable % 'sync_interval'}\n"))
    wrong = read(changed(line, f"          {variable % 'sync_intervall'}\n"))

    assert sound[1] == []
    assert "has no key 'sync_intervall'; did you mean 'sync_interval'?" in wrong[1][0]


def test_an_optional_reference_may_be_missing():
    text = changed("configMapRef: {name: config}", "configMapRef: {name: other, optional: true}")

    assert read(text)[1] == []


def test_only_a_limit_is_also_the_request():
    found, problems, _ = read(changed("requests: {cpu: 100m, memory: 128Mi}", "claims: []"))

    assert problems == []
    assert found.workloads[0].containers[0].cores_request == 0.5
    assert found.workloads[0].containers[0].memory_bytes_request == 2**29


def test_items_of_a_list_are_read():
    items = [yaml.safe_load(part) for part in DEPLOYMENT.split("---\n")]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})

    assert read(text)[0] == read(DEPLOYMENT)[0]
    assert read(text)[1:] == ([], [])


def test_a_stateful_set_brings_claims_of_its_own():
    text = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  podManagementPolicy: Parallel
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers:
        - {name: store, image: "store:1", volumeMounts: [{name: data, mountPath: /d}]}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}
"""
    found, problems, notes = read(text)

    assert (problems, notes) == ([], [])
    (workload,) = found.workloads
    assert workload.pod_management == "Parallel"
    assert [claim.size_bytes for claim in workload.claim_templates] == [5 * 2**30]


def test_where_a_pod_may_run_is_read():
    text = changed(
        "      nodeSelector: {node-type: edge}\n",
        """\
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions: [{key: arch, operator: In, values: [arm64]}]
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 10
              preference: {matchExpressions: [{key: ssd, operator: Exists}]}
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - labelSelector: {matchLabels: {app: api}}
              topologyKey: kubernetes.io/hostname
      tolerations:
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute,
           tolerationSeconds: 30}
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway,
           labelSelector: {matchLabels: {app: api}}}
      terminationGracePeriodSeconds: 5
""",
    )
    found, problems, notes = read(text)

    assert (problems, notes) == ([], [])
    (workload,) = found.workloads
    assert workload.node_affinity[0][0].values == ("arm64",)
    assert workload.node_preferences[0].weight == 10
    assert workload.pod_affinity[0].anti
    assert workload.tolerations[0].toleration_us == 30 * units.SECOND_US
    assert not workload.spread[0].required
    assert workload.termination_grace_us == 5 * units.SECOND_US
    kept = {each.key: each.toleration_us for each in workload.all_tolerations}
    assert kept["node.kubernetes.io/not-ready"] == DEFAULT_TOLERATION_US


def test_a_runtime_class_carries_its_overhead():
    text = """\
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: wasm}
handler: wasmedge
overhead: {podFixed: {cpu: 10m, memory: 16Mi}}
scheduling: {nodeSelector: {wasm: "yes"}}
"""
    found, problems, notes = read(text)

    assert (problems, notes) == ([], [])
    (made,) = found.runtime_classes
    assert (made.handler, made.cores_overhead, made.memory_bytes_overhead) == (
        "wasmedge", 0.01, 16 * 2**20,
    )  # fmt: skip
    assert made.node_selector == (("wasm", "yes"),)


def test_a_pod_of_the_kubelets_own_folder_is_static():
    text = """\
apiVersion: v1
kind: Pod
metadata: {name: agent, annotations: {kubernetes.io/config.source: file}}
spec: {nodeName: edge, containers: [{name: agent, image: "agent:1"}]}
"""
    found, problems, _ = read(text)

    assert problems == []
    assert found.workloads[0].kind == "StaticPod"
    assert found.workloads[0].node_names == ("edge",)


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(
    name=NAMES,
    replicas=st.integers(0, 50),
    labels=st.dictionaries(NAMES, NAMES, min_size=1, max_size=3),
    millicores=st.integers(1, 4000),
    mebibytes=st.integers(1, 4096),
)
def test_what_a_deployment_says_is_what_is_read(name, replicas, labels, millicores, mebibytes):
    resources = {"requests": {"cpu": f"{millicores}m", "memory": f"{mebibytes}Mi"}}
    container = {"name": name, "image": f"{name}:1", "resources": resources}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    text = yaml.safe_dump(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    )

    found, problems, notes = read(text)

    assert (problems, notes) == ([], [])
    (workload,) = found.workloads
    assert (workload.name, workload.replicas, dict(workload.labels)) == (name, replicas, labels)
    assert workload.containers[0].cores_request == millicores / 1000
    assert workload.containers[0].memory_bytes_request == mebibytes * 2**20


def places(tree, path=()):
    """Return every place in *tree*, in order."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for step, value in pairs:
        found.append((*path, step))
        if isinstance(value, dict | list):
            found += places(value, (*path, step))
    return found


OBJECTS = list(yaml.safe_load_all(DEPLOYMENT))
JUNK = st.sampled_from(
    [None, True, -1, 3.5, "", "x", "Ünïcode", [], {}, [[]], [None], {"a": {}}, 10**30, "9" * 200]
)


@given(st.data())
def test_no_damage_to_a_manifest_breaks_the_reader(data):
    objects = copy.deepcopy(OBJECTS)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(objects)))
        holder = objects
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = copy.deepcopy(data.draw(JUNK))

    found, problems, _ = read(yaml.safe_dump_all(objects, allow_unicode=True))

    assert isinstance(found, Manifests)
    assert all(problem.startswith("m.yaml:") for problem in problems)
    hash(found)
