"""Every alarm is about something that the service exports, fires when it should, and only then."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.deploy.scripts import ROOT
from tests.deploy.test_dashboards import exported, missing, program, url  # noqa: F401

FILE = ROOT / "deploy/alerts.yml"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(FILE.read_text())["groups"]
    for rule in group["rules"]
}
# The least that happens to make each fire, as series that promtool understands.
FIRES = {
    "AutoencoderDown": {'up{job="autoencoder"}': "0x40"},
    "AutoencoderModelNotReady": {'autoencoder_model_ready{model="m"}': "0x40"},
    "AutoencoderFaultsOfOurs": {'autoencoder_requests_total{status="500",route="/denoise"}': "_x20 1x20"},
    "AutoencoderWorkersReplaced": {"autoencoder_worker_restarts": "0x20 4x20"},
    "AutoencoderVersionRefused": {"autoencoder_refused_versions": "1x40"},
    "AutoencoderOverloaded": {
        'autoencoder_refused_total{reason="late"}': "0+100x40",
        'autoencoder_requests_total{method="POST",status="200"}': "0+1000x40",
    },
    "AutoencoderDeadlinesMissed": {
        'autoencoder_requests_total{method="POST",status="504"}': "0+20x40",
        'autoencoder_requests_total{method="POST",status="200"}': "0+1000x40",
    },
    "AutoencoderQueueIsLong": {
        'autoencoder_queue_seconds_bucket{model="m",le="1"}': "0+1x40",
        'autoencoder_queue_seconds_bucket{model="m",le="2.5"}': "0+100x40",
        'autoencoder_queue_seconds_bucket{model="m",le="+Inf"}': "0+100x40",
    },
    "AutoencoderHostileInput": {'autoencoder_refused_total{reason="head"}': "0+1000x40"},
    "AutoencoderDrift": {
        'autoencoder_anomaly_percentile_bucket{model="m",le="90"}': "0+1x100",
        'autoencoder_anomaly_percentile_bucket{model="m",le="95"}': "0+100x100",
        'autoencoder_anomaly_percentile_bucket{model="m",le="+Inf"}': "0+100x100",
    },
    "AutoencoderQualityBelowTest": {
        'autoencoder_quality_psnr_db_sum{model="m",verb="denoise"}': "0+100x100",
        'autoencoder_quality_psnr_db_count{model="m",verb="denoise"}': "0+10x100",
        'autoencoder_test_psnr_db{model="m",version="1",verb="denoise"}': "20x100",
    },
    "AutoencoderFilesRunOut": {
        'process_open_fds{job="autoencoder"}': "900x40",
        'process_max_fds{job="autoencoder"}': "1000x40",
    },
    "AutoencoderLogLinesDropped": {"autoencoder_log_lines_dropped_total": "0x20 5x20"},
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_an_alarm_reads_metrics_and_labels_that_the_service_exports(exported, name):  # noqa: F811
    assert missing(RULES[name]["expr"], exported) == ""


@pytest.mark.parametrize("name", RULES)
def test_an_alarm_says_what_is_wrong_and_what_to_look_at(name):
    rule = RULES[name]
    assert re.fullmatch(r"Autoencoder[A-Za-z]+", name)
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description"}


def test_every_alarm_has_a_case_that_fires_it():
    assert FIRES.keys() == RULES.keys()


def test_prometheus_finds_nothing_wrong_with_the_rules():
    check = subprocess.run(
        [program("promtool"), "check", "rules", FILE], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_each_alarm_fires_for_its_case_and_no_other_does(tmp_path):
    """By promtool, which runs the rules over the series as Prometheus would."""
    cases = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            # The name alone decides: what labels and words it has are not this test's.
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "95m" if "x100" in "".join(series.values()) else "24m",
                    "exp_samples": [
                        {"labels": f'{{alertname="{alert}"}}', "value": 1},
                    ],
                }
            ],
        }
        for alert, series in FIRES.items()
    ]
    path = tmp_path / "rules.test.yml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": cases})
    )
    run = subprocess.run(
        [program("promtool"), "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
