"""Seeded logs to measure with: a kind always gives the same bytes, and a smaller size a prefix of them.

python perf/generate.py syslog 100        # writes perf/inputs/syslog-100MB.log
"""

from __future__ import annotations

import argparse
import os
import random
import string
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

INPUTS = Path(__file__).resolve().parent / "inputs"
SEED = 20260302
START = 1772438400
"""2026-03-02 08:00:00 UTC"""
MEGABYTE = 1_000_000
BATCH = 4096
"""Lines that are written at once."""

T = TypeVar("T")


class Source:
    """A seeded source of the things that log lines are made of."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed).random
        self.count = 0
        self.clients = [self.address() for _ in range(5000)]
        self.paths = [self.path() for _ in range(2000)]

    def number(self, low: int, high: int) -> int:
        """An integer in low … high - 1."""
        return low + int(self.random() * (high - low))

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.random() * len(choices))]

    def skewed(self, choices: Sequence[T]) -> T:
        """Early choices far more often than late ones, as popular pages and busy clients are."""
        return choices[int(self.random() ** 3 * len(choices))]

    def token(self) -> str:
        return f"{int(self.random() * 2**52):013x}"

    def address(self) -> str:
        return f"10.{self.number(0, 256)}.{self.number(0, 256)}.{self.number(1, 255)}"

    def path(self) -> str:
        depth = self.number(1, 5)
        return "".join(f"/{self.pick(WORDS)}" for _ in range(depth)) + self.pick(("", "/", ".html", ".css", ".png"))

    def size(self) -> int:
        """Bytes of a response: mostly some thousands, now and then a million."""
        return int(200 / (self.random() + 0.0002))


WORDS = (
    "articles",
    "assets",
    "images",
    "api",
    "users",
    "orders",
    "search",
    "static",
    "blog",
    "docs",
    "download",
    "cart",
    "media",
    "feed",
    "news",
    "tags",
    "admin",
)
METHODS = ("GET",) * 16 + ("POST",) * 3 + ("HEAD", "PUT", "DELETE")
STATUSES = (200,) * 30 + (304,) * 6 + (302, 301, 404, 404, 404, 403, 206, 201, 500, 503)
PROTOCOLS = ("HTTP/1.1",) * 5 + ("HTTP/2.0",) * 4 + ("HTTP/1.0",)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (compatible; Examplebot/2.1; +https://bot.example.net/)",
    "curl/8.12.1",
    "-",
)
USERS = ("anna", "bernd", "carla", "dmitri", "elif", "root", "backup", "deploy", "www-data", "postgres")
HOSTS = ("web1", "web2", "db1", "mx", "gate")


def apache(source: Source, second: int) -> str:
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))
    user = source.pick(USERS) if source.random() < 0.05 else "-"
    referer = f"https://www.example.org{source.skewed(source.paths)}" if source.random() < 0.4 else "-"
    return (
        f'{source.skewed(source.clients)} - {user} [{stamp}] "{source.pick(METHODS)} {source.skewed(source.paths)} '
        f'{source.pick(PROTOCOLS)}" {source.pick(STATUSES)} {source.size()} "{referer}" "{source.skewed(AGENTS)}"\n'
    )


def json_access(source: Source, second: int) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    return (
        f'{{"time":"{stamp}","remote":"{source.skewed(source.clients)}","method":"{source.pick(METHODS)}",'
        f'"path":"{source.skewed(source.paths)}","status":{source.pick(STATUSES)},"bytes":{source.size()},'
        f'"duration_ms":{source.number(100, 900000) / 1000},"trace":"{source.token()}{source.token()}"}}\n'
    )


def wide(source: Source, second: int) -> str:
    """A JSON object of fifteen members."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    host = source.pick(HOSTS)
    return (
        f'{{"time":"{stamp}","host":"{host}","remote":"{source.skewed(source.clients)}","user":"{source.pick(USERS)}",'
        f'"method":"{source.pick(METHODS)}","scheme":"https","domain":"{host}.example.org",'
        f'"path":"{source.skewed(source.paths)}","query":"page={source.number(1, 100)}",'
        f'"protocol":"{source.pick(PROTOCOLS)}","status":{source.pick(STATUSES)},"bytes":{source.size()},'
        f'"duration_ms":{source.number(100, 900000) / 1000},"referer":"https://www.example.org/",'
        f'"agent":"{source.skewed(AGENTS)}"}}\n'
    )


def nested(source: Source, second: int) -> str:
    """A JSON record of about a kilobyte, with objects and arrays inside each other."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    space, agent, total = source.pick(ZONES), source.skewed(AGENTS), source.number(1, 90000) / 1000
    upstream = ",".join(
        f'{{"address":"{source.skewed(source.clients)}:8080","seconds":{total / 2:.3f},"reused":true}}' for _ in "ab"
    )
    return (
        f'{{"ts":"{stamp}","level":"info","logger":"http.access","kubernetes":{{"namespace":"{space}",'
        f'"pod":"shop-{source.token()}","container":{{"name":"shop","image":"registry.example.org/shop/web:1.42.0"}},'
        f'"labels":{{"app":"shop","tier":"web","release":"stable","team":"orders"}}}},'
        f'"request":{{"method":"{source.pick(METHODS)}","uri":"{source.skewed(source.paths)}","proto":"HTTP/2.0",'
        f'"headers":{{"User-Agent":["{agent}"],"Accept":["text/html","application/xhtml+xml","*/*;q=0.8"],'
        f'"Accept-Language":["en-GB,en;q=0.5"],"X-Request-Id":["{source.token()}{source.token()}"]}},'
        f'"tls":{{"resumed":false,"version":772,"cipher_suite":4865,"server_name":"www.example.org"}}}},'
        f'"response":{{"status":{source.pick(STATUSES)},"bytes":{source.size()},"headers":{{'
        f'"Content-Type":["text/html; charset=utf-8"],"Cache-Control":["no-cache"],"Vary":["Accept-Encoding"]}}}},'
        f'"timing":{{"total":{total:.3f},"upstream":[{upstream}]}},'
        f'"trace":{{"id":"{source.token()}{source.token()}","sampled":false,"note":"a \\"quoted\\" note"}}}}\n'
    )


def services_log(source: Source, second: int) -> str:
    """What the containers of a shop write: nested records of about a kilobyte, a tenth of them about requests."""
    if source.random() < 0.1:
        return nested(source, second)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    kind = source.pick(tuple(ABOUT))
    about = ABOUT[kind](source)
    frames = ",".join(
        f'{{"function":"{source.pick(WORDS)}.{source.pick(WORDS)}","file":"/srv/shop/{source.pick(WORDS)}.go",'
        f'"line":{source.number(10, 900)}}}'
        for _ in range(6)
    )
    return (
        f'{{"ts":"{stamp}","level":"info","logger":"{kind}","kubernetes":{{"namespace":"{source.pick(ZONES)}",'
        f'"pod":"shop-{source.token()}","container":{{"name":"{kind}","image":"registry.example.org/shop/{kind}:2.7.1"}},'
        f'"labels":{{"app":"shop","tier":"backend","release":"stable","team":"orders"}}}},{about},'
        f'"caller":[{frames}],"trace":{{"id":"{source.token()}{source.token()}","sampled":false,'
        f'"note":"a \\"quoted\\" note"}}}}\n'
    )


def query(source: Source) -> str:
    table = source.pick(WORDS)
    return (
        f'"database":{{"address":"{source.skewed(source.clients)}:5432",'
        f'"statement":"SELECT id, name, price FROM {table} WHERE customer = $1 ORDER BY created DESC LIMIT 50",'
        f'"rows":{source.number(0, 50)},'
        f'"seconds":{source.number(1, 9000) / 1000},"status":"ok","plan":{{"nodes":["Limit","Sort","Index Scan"]}}}}'
    )


def job(source: Source) -> str:
    return (
        f'"job":{{"id":"{source.token()}","queue":"{source.pick(WORDS)}","attempt":{source.number(1, 5)},'
        f'"status":"done","method":"send","arguments":["{source.token()}","{source.pick(USERS)}@example.org"],'
        f'"seconds":{source.number(1, 90000) / 1000},'
        f'"worker":{{"host":"{source.pick(HOSTS)}","slot":{source.number(0, 64)}}}}}'
    )


def cache(source: Source) -> str:
    return (
        f'"cache":{{"key":"{source.pick(WORDS)}:{source.token()}","hit":true,"bytes":{source.size()},'
        f'"shards":[{{"id":1,"keys":{source.number(1, 10**6)}}},{{"id":2,"keys":{source.number(1, 10**6)}}}],'
        f'"total":{source.number(1, 10**7)}}}'
    )


ABOUT: dict[str, Callable[[Source], str]] = {"database": query, "worker": job, "cache": cache}


def traces(source: Source, second: int) -> str:
    """Events of a Java program, each an exception with its stack trace: fifteen lines."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
    exception = source.skewed(EXCEPTIONS)
    event = f"{stamp},{source.number(0, 1000):03} ERROR [http-{source.number(1, 200)}] o.e.shop.{source.pick(WORDS)}"
    lines = [f"{event} - Request {source.token()} failed", f"{exception}: cannot read {source.skewed(source.paths)}"]
    lines += (
        f"\tat org.example.shop.{source.pick(WORDS)}.{source.pick(WORDS).title()}Service.{source.pick(WORDS)}"
        f"({source.pick(WORDS).title()}Service.java:{source.number(10, 900)})"
        for _ in range(13)
    )
    return "\n".join(lines) + "\n"


EXCEPTIONS = (
    "java.lang.IllegalStateException",
    "java.io.IOException",
    "java.net.SocketTimeoutException",
    "org.example.shop.StockException",
    "java.lang.NullPointerException",
)


def logfmt(source: Source, second: int) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
    level = "warn" if source.random() < 0.05 else "info"
    return (
        f'ts={stamp} level={level} caller=http.go:{source.number(10, 400)} msg="request handled" '
        f"method={source.pick(METHODS)} path={source.skewed(source.paths)} status={source.pick(STATUSES)} "
        f"bytes={source.size()} duration={source.number(1, 90000) / 1000:.3f} user={source.pick(USERS)} "
        f"trace={source.token()}{source.token()}\n"
    )


ZONES = ("eu-west", "eu-east", "us-west", "us-east", "ap-south")


def labels(source: Source, _second: int) -> str:
    """Five labels that make 100,000 combinations."""
    return (
        f"host-{source.number(0, 100)} service-{source.number(0, 10)} {METHODS[-source.number(1, 5)]} "
        f"{STATUSES[-source.number(1, 6)]} {source.pick(ZONES)}\n"
    )


SERIES = 1_000_000


def series(source: Source, second: int) -> str:
    """Three labels of ten bytes; after SERIES lines the combinations repeat."""
    source.count = (source.count + 1) % SERIES
    return f"from-{source.count % 10007:05} to---{source.count % 101:05} call-{source.count // 10007:05}\n"


FIELDS: dict[str, Callable[[Source], object]] = {
    "pid": lambda s: s.number(400, 60000),
    "uptime": lambda s: f"{s.number(0, 9999999):7}.{s.number(100000, 999999)}",
    "user": lambda s: s.pick(USERS),
    "word": lambda s: s.pick(WORDS),
    "client": lambda s: s.skewed(s.clients),
    "port": lambda s: s.number(1024, 65536),
    "token": Source.token,
    "path": lambda s: s.skewed(s.paths),
    "status": lambda s: s.pick(STATUSES),
    "size": Source.size,
    "small": lambda s: s.number(0, 10),
    "large": lambda s: s.number(10000, 10000000),
    "delay": lambda s: s.number(1, 9000) / 100,
    "fate": lambda s: s.pick(("sent", "sent", "sent", "deferred", "bounced")),
    "change": lambda s: s.pick(("opened", "closed")),
}

# What the six programs of perf/programs/syslog act on.
MATCHING = """\
sshd[{pid}]: Accepted publickey for {user} from {client} port {port} ssh2: ED25519 SHA256:{token}{token}{token}
sshd[{pid}]: Failed password for invalid user {word} from {client} port {port} ssh2
sshd[{pid}]: pam_unix(sshd:session): session {change} for user {user}
kernel: [{uptime}] Out of memory: Killed process {pid} ({word}) total-vm:{large}kB, anon-rss:{large}kB, file-rss:0kB
kernel: [{uptime}] blk_update_request: I/O error, dev sd{small}, sector {large}
CRON[{pid}]: ({user}) CMD (/usr/local/bin/{word} --quiet)
CRON[{pid}]: ({user}) CMD (cd / && run-parts --report /etc/cron.hourly)
postfix/smtp[{pid}]: {token}: to=<{user}@example.com>, relay=mx.example.com[192.0.2.25]:25, delay={delay}, \
delays=0.1/0/0.2/0.4, dsn=2.0.0, status={fate} (250 2.0.0 Ok: queued as {token})
postfix/qmgr[{pid}]: {token}: from=<{user}@example.org>, size={size}, nrcpt=1 (queue active)
postfix/qmgr[{pid}]: {token}: removed
postfix/smtpd[{pid}]: connect from unknown[{client}]
dhcpd[1200]: DHCPREQUEST for {client} from 52:54:00:aa:1{small}:01 via eth{small}
dhcpd[1200]: DHCPACK on {client} to 52:54:0{small}:aa:10:01 (pc) via eth{small}
sudo:     {user} : TTY=pts/{small} ; PWD=/home ; USER=root ; COMMAND=/usr/bin/{word}
sudo:     {user} : 3 incorrect password attempts ; TTY=pts/{small} ; PWD=/ ; USER=root ; COMMAND=/bin/sh
"""

# Other services, and lines of the six services that say nothing to the programs.
OTHER = """\
systemd[1]: Started {word}-{small}.service - Periodic {word} task.
systemd[1]: {word}-{small}.service: Deactivated successfully.
systemd[1]: {word}.service: Consumed {delay}s CPU time.
systemd-logind[{pid}]: New session {pid} of user {user}.
dbus-daemon[{pid}]: [system] Activating via systemd: service name='org.example.{word}' requested by ':1.{small}'
NetworkManager[{pid}]: <info>  [{large}.{pid}] dhcp4 (eth{small}): state changed bound -> extended, address={client}
named[{pid}]: client @0x7f{token} {client}#{port} ({word}.example.com): query: {word}.example.com IN A +E(0)K
snmpd[{pid}]: Connection from UDP: [{client}]:{port}->[192.0.2.1]:161
dockerd[{pid}]: time="{token}" level=info msg="ignoring event" container={token}{token} topic=/tasks/delete
app[{pid}]: INFO  request={token} path={path} took={small}ms status={status}
app[{pid}]: DEBUG cache miss key={word}:{large} shard={small}
haproxy[{pid}]: {client}:{port} http~ backend/web{small} 0/0/1/{small}/{pid} {status} {size} - - ---- 12/9/3/1/0 0/0
sshd[{pid}]: Connection from {client} port {port} on 192.0.2.1 port 22 rdomain ""
kernel: [{uptime}] usb 1-{small}: new high-speed USB device number {small} using xhci_hcd
CRON[{pid}]: pam_unix(cron:session): session closed for user {user}
postfix/cleanup[{pid}]: {token}: message-id=<{token}@example.net>
"""


def templates(text: str) -> list[list[tuple[str, Callable[[Source], object] | None]]]:
    """Each line as pairs of literal text and what follows it."""
    parsed = (string.Formatter().parse(line) for line in text.splitlines())
    return [[(literal, FIELDS[name] if name else None) for literal, name, _, _ in line] for line in parsed]


MATCHING_TEMPLATES = templates(MATCHING)
OTHER_TEMPLATES = templates(OTHER)


def syslog(source: Source, second: int) -> str:
    """Nine lines in ten mean nothing to the six programs."""
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime(second))
    template = source.pick(MATCHING_TEMPLATES if source.random() < 0.1 else OTHER_TEMPLATES)
    message = "".join(literal + str(value(source)) if value else literal for literal, value in template)
    return f"{stamp} {source.pick(HOSTS)} {message}\n"


SERVICE = """\
# {name}: one of many services of one kind.

counter {name}_sessions by user
counter {name}_failures by reason
histogram {name}_seconds by verb buckets 0.1, 1, 10
gauge {name}_queue

def syslog {{
  /^(?P<date>[A-Z][a-z]{{2}} [ 0-9]\\d \\d{{2}}:\\d{{2}}:\\d{{2}}) (?P<host>\\S+) / {{
    strptime($date, "Jan _2 15:04:05")
    next
  }}
}}

@syslog {{
  / {name}\\[\\d+\\]: / {{
    /{noun} opened for (?P<user>\\S+) from (?P<address>\\S+)/ {{
      {name}_sessions[$user]++
    }}
    /{noun} failed: (?P<reason>[a-z ]+)/ {{
      {name}_failures[$reason]++
    }}
    /(?P<verb>[A-Z]+) {noun} took (?P<seconds>\\d+\\.\\d+)s/ {{
      {name}_seconds[$verb] = $seconds
    }}
    /{noun} queue holds (?P<length>\\d+)/ {{
      {name}_queue = $length
    }}
  }}
}}
"""
"""Nothing of it is in the logs, as with most of many programs on one log."""


def services(count: int) -> Path:
    """A directory of that many programs: the six of perf/programs/syslog first, then services that the log lacks."""
    directory = INPUTS / f"services-{count}"
    directory.mkdir(parents=True, exist_ok=True)
    real = sorted((INPUTS.parent / "programs" / "syslog").glob("*.mtail"), key=lambda path: path.name != "sshd.mtail")
    for path in real[:count]:
        (directory / path.name).write_bytes(path.read_bytes())
    for number in range(len(real), count):
        noun, kind = WORDS[number % len(WORDS)], "proxy agent relay store index vault mixer".split()[number % 7]
        name = f"{noun}{kind}{number}"
        (directory / f"{name}.mtail").write_text(SERVICE.format(name=name, noun=f"{kind} {noun}"))
    return directory


KINDS: dict[str, tuple[Callable[[Source, int], str], int]] = {
    "apache": (apache, 40),
    "json": (json_access, 40),
    "wide": (wide, 40),
    "nested": (nested, 40),
    "services": (services_log, 40),
    "traces": (traces, 10),
    "logfmt": (logfmt, 40),
    "syslog": (syslog, 25),
    "labels": (labels, 1000),
    "series": (series, 1000),
}
"""The writer of one line (of `traces`: one event), and how many lines fall into a second."""


def batches(kind: str) -> Iterator[bytes]:
    """The log without end, some thousand lines at a time."""
    line, rate = KINDS[kind]
    source = Source(SEED)
    written = 0
    while True:
        yield "".join(line(source, START + (written + i) // rate) for i in range(BATCH)).encode()
        written += BATCH


def longer(kind: str, size: int) -> Iterator[bytes] | None:
    """The log from a file that has more than `size` bytes of it."""
    for larger in INPUTS.glob(f"{kind}-*MB.log"):
        if larger.stat().st_size > size:
            return pieces(larger)
    return None


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as log:
        while piece := log.read(MEGABYTE):
            yield piece


def generate(kind: str, megabytes: int) -> Path:
    """The path of the log of that kind and size, written if it is not there yet; it ends with a whole line."""
    path = INPUTS / f"{kind}-{megabytes}MB.log"
    if path.exists():
        return path
    INPUTS.mkdir(exist_ok=True)
    left = megabytes * MEGABYTE
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as log:
        for batch in longer(kind, left) or batches(kind):
            if len(batch) >= left:
                log.write(batch[: batch.rfind(b"\n", 0, left) + 1])
                break
            log.write(batch)
            left -= len(batch)
    partial.replace(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("megabytes", type=int)
    arguments = parser.parse_args()
    started = time.perf_counter()
    path = generate(arguments.kind, arguments.megabytes)
    print(f"{path}: {path.stat().st_size} bytes in {time.perf_counter() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
