// nativemtail --statsd_hostport localhost:8125 --statsd_prefix logs. …
{
  address: "127.0.0.1",
  port: 8125,
  mgmt_address: "127.0.0.1",
  mgmt_port: 8126,
  // As long as --metric_push_interval: every flush then has one push.
  flushInterval: 60000,
  backends: ["./backends/console"]
}
