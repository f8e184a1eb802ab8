# Keeps /metrics for as long as an interval of the many that ask:
#
#   nativemtail --unix_socket /run/nativemtail/http.sock --unix_socket_mode 0660 …
vcl 4.1;

backend nativemtail {
    .path = "/run/nativemtail/http.sock";
}

sub vcl_backend_response {
    if (beresp.status == 200) {
        set beresp.ttl = 10s;
    } else {
        set beresp.uncacheable = true;
    }
    set beresp.grace = 0s;
}
