"""The keys that Kubernetes 1.30 to 1.34 knows in the objects we read, modelled or not.

Only for telling a slip (``replcas``) from a field that is legal and means nothing to the model.
"""


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


OBJECT = _keys("apiVersion kind metadata spec status data")
METADATA = _keys(
    "name generateName namespace labels annotations uid resourceVersion generation selfLink "
    "creationTimestamp deletionTimestamp deletionGracePeriodSeconds ownerReferences finalizers "
    "managedFields"
)
DEPLOYMENT = _keys(
    "replicas selector template strategy minReadySeconds revisionHistoryLimit paused "
    "progressDeadlineSeconds"
)
STATEFUL_SET = _keys(
    "replicas selector template volumeClaimTemplates serviceName podManagementPolicy "
    "updateStrategy revisionHistoryLimit minReadySeconds persistentVolumeClaimRetentionPolicy "
    "ordinals"
)
DAEMON_SET = _keys("selector template updateStrategy minReadySeconds revisionHistoryLimit")
TEMPLATE = _keys("metadata spec")
POD = _keys(
    "volumes initContainers containers ephemeralContainers restartPolicy "
    "terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector "
    "serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID "
    "hostIPC shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity "
    "schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates "
    "runtimeClassName enableServiceLinks preemptionPolicy overhead topologySpreadConstraints "
    "setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources "
    "hostnameOverride"
)
CONTAINER = _keys(
    "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy "
    "restartPolicyRules volumeMounts volumeDevices livenessProbe readinessProbe startupProbe "
    "lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext "
    "stdin stdinOnce tty"
)
PROBE = _keys(
    "httpGet tcpSocket exec grpc initialDelaySeconds timeoutSeconds periodSeconds "
    "successThreshold failureThreshold terminationGracePeriodSeconds"
)
RESOURCES = _keys("requests limits claims")
SERVICE = _keys(
    "ports selector clusterIP clusterIPs type externalIPs sessionAffinity loadBalancerIP "
    "loadBalancerSourceRanges externalName externalTrafficPolicy healthCheckNodePort "
    "publishNotReadyAddresses sessionAffinityConfig ipFamilies ipFamilyPolicy "
    "allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy "
    "trafficDistribution"
)
CLAIM = _keys(
    "accessModes selector resources volumeName storageClassName volumeMode dataSource "
    "dataSourceRef volumeAttributesClassName"
)
CONFIG_MAP = _keys("apiVersion kind metadata data binaryData immutable")
RUNTIME_CLASS = _keys("apiVersion kind metadata handler overhead scheduling")
PRIORITY_CLASS = _keys("apiVersion kind metadata value globalDefault description preemptionPolicy")
