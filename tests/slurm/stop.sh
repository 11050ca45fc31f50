#!/bin/sh
# Ends the daemons that `start.sh FOLDER` started, and only those.
folder=$1
[ -e "$folder/pids" ] || exit 0
for pid in $(tac "$folder/pids"); do
    kill "$pid" 2>/dev/null
done
for pid in $(cat "$folder/pids"); do
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -s KILL "$pid" 2>/dev/null
done
rm -f "$folder/pids"
