#!/usr/bin/env bash
# Healthy: it serves, and knows at least one API that is ready (haproxy.cfg answers /proxy-health itself, by that rule).
set -euo pipefail
exec 3<>/dev/tcp/127.0.0.1/8080
printf 'GET /proxy-health HTTP/1.0\r\n\r\n' >&3
IFS= read -r -t 3 status <&3
[[ $status == 'HTTP/1'*' 200 '* ]] || { echo "$status" && exit 1; }
