"""The alerts that we ship: Prometheus takes them, they fire when they should, and the documentation shows them."""

from __future__ import annotations

import re

from daemons import Place
from paths import ROOT
from systems import Systems
from waiting import wait_until

RULES = ROOT / "packaging" / "prometheus" / "rules.yml"
TESTS = RULES.with_name("rules_test.yml")


def test_rules_fire(systems: Systems) -> None:
    assert systems.run("usr/bin/promtool", "check", "rules", RULES).returncode == 0
    tested = systems.run("usr/bin/promtool", "test", "rules", TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_rule_is_tested_both_ways() -> None:
    rules = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    cases = re.findall(r"alertname: (\w+)(?:, exp_alerts: (\[\])|\n)", TESTS.read_text())
    assert {name for name, silent in cases if not silent} == rules
    assert {name for name, silent in cases if silent} == rules


def test_the_documentation_shows_them() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert f"```text\n{RULES.read_text()}```\n" in text


def test_a_daemon_has_the_series_from_its_start_on(place: Place) -> None:
    """Those that the tests of the rules begin with."""
    (place.progs / "broken.mtail").write_text("nonsense")
    (place.logs / "silent.log").touch()
    daemon = place.start()
    name = f"{place.logs}/silent.log"
    lag = f'mtail_log_lag_bytes{{logfile="{name}"}}'
    wait_until(lambda: lag in daemon.ask("/metrics")[1].decode(), lambda: daemon.log)
    page = daemon.ask("/metrics")[1].decode()
    for family in re.findall(r"\w+_total|\w+_bytes|\w+_state", RULES.read_text()):
        assert f"\n{family}{{" in page or f"\n{family} 0" in page, family
    for sample in (
        'nativemtail_program_state{prog="broken.mtail",state="failed"} 1.0',
        'nativemtail_program_state{prog="broken.mtail",state="running"} 0.0',
        'nativemtail_program_state{prog="count.mtail",state="running"} 1.0',
        'mtail_prog_runtime_errors_total{prog="count.mtail"} 0.0',
        f'mtail_log_lines_total{{logfile="{name}"}} 0.0',
        f'mtail_log_errors_total{{logfile="{name}"}} 0.0',
        'mtail_lines_dropped_total{reason="receive_buffer"} 0.0',
    ):
        assert sample in page, sample
