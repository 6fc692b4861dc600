#!/bin/sh
# Healthy: it answers, has read its file, and its last writes and its last rewrite of that file reached the disk. The user
# `health` has no password and may only PING and ask INFO.
set -eu
told=$(timeout 3 redis-cli -h 127.0.0.1 --user health --pass '' --no-auth-warning INFO persistence)
for line in loading:0 aof_enabled:1 aof_last_write_status:ok aof_last_bgrewrite_status:ok; do
    case $told in *"$line"*) ;; *) echo "not $line" && exit 1 ;; esac
done
