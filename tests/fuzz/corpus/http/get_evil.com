GET //evil.com/.. HTTP/1.1
Host: x
Accept: application/openmetrics-text;q=0.5
Accept-Encoding: gzip;q=1
Connection: close

