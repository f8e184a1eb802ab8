-- At the top level of KumoMTA's policy, before the queue helper is set up: every log record is posted at once.
--
--   nativemtail --progs examples/kumomta.mtail --logs http://127.0.0.1:3904/kumomta …
local log_hooks = require 'policy-extras.log_hooks'

log_hooks:new_json {
  name = 'nativemtail',
  url = 'http://127.0.0.1:3904/kumomta',
}
