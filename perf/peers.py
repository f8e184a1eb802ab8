"""Other programs that make metrics, or a report, of logs: how each is run, and what it computes.

None is needed; what is not installed is left out (perf/README.md says where to get them).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 900.0
PORT = 39144


@dataclass(frozen=True)
class Peer:
    """One program on one kind of log."""

    command: str
    scenario: str
    computes: str
    """Beside what nativemtail does in that scenario."""
    arguments: Callable[[Path, Path], list[str]]
    """For a log, and a directory where configuration may be written."""
    lines: Callable[[str], int]
    """How many lines it says to have counted, by its output or page."""
    serves: bool = False
    """It does not end with its input: its time is up when /metrics on PORT shows all lines."""
    version: str = "--version"


# --- fluent-bit ----------------------------------------------------------------------------------------------

# The same groups as in perf/programs/apache, with the time parsed as well.
APACHE = (
    r"^(?<client>\S+) \S+ (?<user>\S+) \[(?<time>[^\]]+)\] \"(?<method>[A-Z]+) (?<path>\S+) (?<protocol>\S+)\" "
    r"(?<status>\d{3}) (?<bytes>\d+) \"[^\"]*\" \"(?<agent>[^\"]*)\"$"
).replace(r"\"", '"')

FLUENT_BIT = """\
[SERVICE]
    flush 1
    grace 1
    log_level error
    parsers_file {scratch}/parsers.conf
[INPUT]
    name tail
    tag log
    path {log}
    read_from_head true
    exit_on_eof true
    buffer_chunk_size 1M
    buffer_max_size 2M
[FILTER]
    name parser
    match log
    key_name log
    parser line
[FILTER]
    name log_to_metrics
    match log
    tag metrics
    metric_mode counter
    metric_name requests
    metric_description requests
{labels}
    flush_interval_sec 1
    discard_logs true
[OUTPUT]
    name stdout
    match metrics
"""
FLUENT_BIT_PARSERS = {
    "apache": f"[PARSER]\n    name line\n    format regex\n    regex {APACHE}\n"
    "    time_key time\n    time_format %d/%b/%Y:%H:%M:%S %z\n",
    "json": "[PARSER]\n    name line\n    format json\n    time_key time\n    time_format %Y-%m-%dT%H:%M:%SZ\n",
}


def fluent_bit(kind: str, labels: list[str]) -> Callable[[Path, Path], list[str]]:
    def arguments(log: Path, scratch: Path) -> list[str]:
        fields = "\n".join(f"    label_field {label}" for label in labels)
        (scratch / "parsers.conf").write_text(FLUENT_BIT_PARSERS[kind])
        (scratch / "fluent-bit.conf").write_text(FLUENT_BIT.format(scratch=scratch, log=log, labels=fields))
        return ["-q", "-c", str(scratch / "fluent-bit.conf")]

    return arguments


def fluent_bit_lines(output: str) -> int:
    """It prints all counters again and again; the last of each counts."""
    last = {match[1]: int(float(match[2])) for match in re.finditer(r"requests(\{.*\}) = (\S+)$", output, re.M)}
    return sum(last.values())


# --- grok_exporter -------------------------------------------------------------------------------------------

GROK_METRIC = """\
- type: counter
  name: {name}
  help: {name}
  match: '{match}'
{value}  labels:
    method: '{{{{.method}}}}'
    protocol: '{{{{.protocol}}}}'
    status: '{{{{.status}}}}'
"""
GROK = """\
global:
  config_version: 3
input:
  type: file
  path: {log}
  readall: true
server:
  host: 127.0.0.1
  port: {port}
metrics:
"""


def grok_exporter(log: Path, scratch: Path) -> list[str]:
    text = GROK.format(log=log, port=PORT)
    text += GROK_METRIC.format(name="requests", match=APACHE, value="")
    text += GROK_METRIC.format(name="sent_bytes", match=APACHE, value="  value: '{{.bytes}}'\n")
    (scratch / "grok.yml").write_text(text)
    return ["-config", str(scratch / "grok.yml")]


def grok_lines(page: str) -> int:
    """Both metrics of a line are there before it counts as matched."""
    found = re.search(r'^grok_exporter_lines_total\{status="matched"\} (\S+)$', page, re.M)
    return int(float(found[1])) if found else 0


# --- tools that end with a report ----------------------------------------------------------------------------

AWK = """{ k = substr($6, 2) " " substr($8, 1, length($8) - 1) " " $9; n[k]++; b[k] += $10 }
END { for (k in n) print k, n[k], b[k] }"""
LNAV = "SELECT cs_method, cs_version, sc_status, count(*), sum(sc_bytes) FROM access_log GROUP BY 1, 2, 3"


PEERS = [
    Peer(
        "fluent-bit", "apache",
        "requests by method, protocol, status; all groups and the time parsed; no sums; waits a second at its end",
        fluent_bit("apache", ["method", "protocol", "status"]), fluent_bit_lines,
    ),
    Peer(
        "fluent-bit", "json",
        "requests by method, status; the time parsed; no sums, no histogram; waits a second at its end",
        fluent_bit("json", ["method", "status"]), fluent_bit_lines,
    ),
    Peer(
        "grok_exporter", "apache",
        "requests and sent bytes by method, protocol, status; the time not parsed",
        grok_exporter, grok_lines, serves=True,
    ),
    Peer(
        "goaccess", "apache",
        "its whole report, which is more (visitors, files, agents, hours …); nothing by several labels",
        lambda log, _: [str(log), "--log-format=COMBINED", "--no-progress", "-o", "json"],
        lambda output: int(json.loads(output)["general"]["valid_requests"]),
    ),
    Peer(
        "logswan", "apache",
        "hits, visits, methods, protocols, statuses, hours, each on its own; this one format only",
        lambda log, _: [str(log)], lambda output: int(json.loads(output)["hits"]["total"]),
        version="-v",
    ),
    Peer(
        "lnav", "apache",
        "a table of all lines, then requests and sent bytes by method, protocol, status in SQL",
        lambda log, _: ["-n", "-c", f";{LNAV}", "-c", ":write-csv-to -", str(log)],
        lambda output: sum(int(row.split(",")[3]) for row in output.splitlines()[1:] if row.count(",") == 4),
    ),
    Peer(
        "mawk", "apache",
        "requests and sent bytes by method, protocol, status, cut at blanks; nothing checked, no time",
        lambda log, _: [AWK, str(log)], lambda output: sum(int(row.split()[3]) for row in output.splitlines()),
        version="-Wversion",
    ),
]  # fmt: skip


def until_served(command: list[str], peer: Peer, lines: int, errors: Path) -> tuple[float, float, int, int]:
    """Start it, wait for its page to show `lines`, end it: seconds (wall, CPU), peak KiB, lines that it showed."""
    start = time.perf_counter()
    with errors.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
    shown = -1
    try:
        while shown < lines and process.poll() is None and time.perf_counter() - start < PATIENCE:
            time.sleep(0.02)
            if text := page():
                shown = peer.lines(text)
        wall = time.perf_counter() - start
        if process.poll() is not None:
            raise SystemExit(f"bench: {peer.command} ended: {errors.read_text(errors='replace')}")
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        peak = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        assert peak is not None
        return wall, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak[1]), shown
    finally:
        process.terminate()
        process.wait()


def page() -> str:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()
