#!/bin/sh
# Starts a cluster of Slurm on this machine, for `tests/campaign_slurm.rs`: munged, slurmctld and two slurmd, all in the
# foreground of their own, with their files in FOLDER. Nothing of the system's configuration is read or changed.
#
#   tests/slurm/start.sh FOLDER PORT [MORE]      PORT, PORT + 1 and PORT + 2 of 127.0.0.1 are used; MORE is a file of further lines
#                                                for slurm.conf
#   SLURM_CONF=FOLDER/slurm.conf sinfo
#   tests/slurm/stop.sh FOLDER
#
# It needs Debian's packages slurm-wlm and munge, and has to be root. Control groups are not used: a container may have none.
set -eu
folder=$1 port=$2 more=${3:-/dev/null}
mkdir -p "$folder/state" "$folder/spool.node1" "$folder/spool.node2"
chmod 755 "$folder"
: >"$folder/pids"

cat >"$folder/slurm.conf" <<CONF
ClusterName=greenformers
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_interval=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdLogFile=$folder/slurmd.%n.log
SlurmctldLogFile=$folder/slurmctld.log
NodeName=node1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1
NodeName=node2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1
PartitionName=cpu Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
CONF
cat "$more" >>"$folder/slurm.conf"
export SLURM_CONF="$folder/slurm.conf"

begin() {
    "$@" >>"$folder/daemons.log" 2>&1 </dev/null &
    echo $! >>"$folder/pids"
}

dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2>/dev/null
chmod 400 "$folder/munge.key"
begin munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.sock" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
tries=0
until [ -S "$folder/munge.sock" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { echo "munged did not start" >&2; exit 1; }
    sleep 0.1
done
begin slurmctld -D -i
begin slurmd -D -N node1
begin slurmd -D -N node2
tries=0
until [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | wc -l)" = 2 ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { sinfo --Node >&2 || true; echo "the nodes are not idle" >&2; exit 1; }
    sleep 0.1
done
