"""deploy/kubernetes.yaml and kserve.yaml: valid for Kubernetes, and true of this image."""

from __future__ import annotations

import json
from copy import deepcopy

import kubernetes_validate
import pytest
import yaml

from service.settings import Settings
from tests.deploy import dockerfile
from tests.deploy.scripts import ROOT

MANIFESTS = {
    manifest["kind"]: manifest
    for manifest in yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text())
}
POD = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
INFERENCE = yaml.safe_load((ROOT / "deploy/kserve.yaml").read_text())
PREDICTOR = INFERENCE["spec"]["predictor"]
# KServe's own members of a predictor (ComponentExtensionSpec, v1beta1); the rest is a PodSpec.
OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}
IMAGE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["autoencoder"]
ROUTES = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
VERSIONS = ["1.31", kubernetes_validate.latest_version()]

each_pod = pytest.mark.parametrize("pod", [POD, PREDICTOR], ids=["Deployment", "InferenceService"])


def of_kserve():
    """What KServe makes of its predictor: a pod."""
    spec = {name: value for name, value in PREDICTOR.items() if name not in OF_KSERVE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [*MANIFESTS, "InferenceService"])
def test_a_manifest_is_as_kubernetes_wants_it(kind, version):
    manifest = of_kserve() if kind == "InferenceService" else MANIFESTS[kind]
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_slip_in_a_manifest_would_be_noticed():
    wrong = deepcopy(MANIFESTS["Deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_there_is_all_that_a_deployment_needs_and_it_speaks_of_the_same_pods():
    assert set(MANIFESTS) == {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    }  # fmt: skip
    deployment = MANIFESTS["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    scaled = MANIFESTS["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["minReplicas"] > MANIFESTS["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    assert "replicas" not in deployment["spec"]


@each_pod
def test_a_pod_runs_the_image_as_its_user_and_can_change_nothing(pod):
    (container,) = pod["containers"]
    assert container["image"] == IMAGE["image"]
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert user == dockerfile.steps("cpu", "USER")[-1]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"memory", "cpu"} == set(container["resources"]["limits"])
    (port,) = container["ports"]
    assert dockerfile.steps("cpu", "EXPOSE") == [str(port["containerPort"])]


@each_pod
def test_a_probe_asks_a_route_that_there_is_and_waits_longer_than_a_canary_may_take(pod):
    (container,) = pod["containers"]
    probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
    assert {"readinessProbe", "livenessProbe"} <= set(probes)
    for name, probe in probes.items():
        assert "get" in ROUTES[probe["httpGet"]["path"]]
        assert probe["timeoutSeconds"] > Settings().ready_timeout
        assert probe["httpGet"]["path"].endswith("live") == (name == "livenessProbe")


@each_pod
def test_what_is_set_is_a_setting(pod):
    (container,) = pod["containers"]
    names = {variable["name"] for variable in container["env"]}
    assert names <= {f"AUTOENCODER_{name.upper()}" for name in Settings.model_fields}


def test_a_pod_that_is_stopped_has_time_to_answer_what_it_took():
    (container,) = POD["containers"]
    (lame_duck,) = (v["value"] for v in container["env"] if v["name"] == "AUTOENCODER_LAME_DUCK")
    needed = float(lame_duck) + Settings().request_timeout
    assert POD["terminationGracePeriodSeconds"] >= needed + 5
