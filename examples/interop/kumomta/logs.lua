-- In the handler of KumoMTA's `init` event:
--
--   nativemtail --progs examples/kumomta.mtail --logs zstd:///var/log/kumomta …
--
-- Records become visible when zstd has a block of them full, and when a segment ends.
kumo.configure_local_logs {
  log_dir = '/var/log/kumomta',
  max_segment_duration = '1 minute',
}
