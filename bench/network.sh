#!/usr/bin/env bash
# Runs an MPI program on hosts that are network namespaces of this machine, joined by a switch: each
# sends and receives at the given rate at most. Tells how many bytes each host has sent. Needs root,
# iproute2 and Open MPI.
#
# usage: bench/network.sh RATE HOSTS PROGRAM...    for example: bench/network.sh 1gbit 2 bench_exchange 3.8
set -euo pipefail
rate=$1 hosts=$2
shift 2
work=$(mktemp -d)
name=anther$$  # of its own, for several at once
cleanup() {
  local h
  for ((h = 1; h <= hosts; ++h)); do
    ip netns del "$name-$h" 2>/dev/null || true
    rm -rf "/etc/netns/$name-$h"
  done
  ip netns del "$name-switch" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

in_host() { ip netns exec "$name-$1" "${@:2}"; }
ip netns add "$name-switch"
in_host switch ip link add switch type bridge
in_host switch ip link set switch up
list=
for ((h = 1; h <= hosts; ++h)); do
  mkdir -p "/etc/netns/$name-$h"
  for ((i = 1; i <= hosts; ++i)); do echo "10.99.0.$i $name-$i"; done >"/etc/netns/$name-$h/hosts"
  ip netns add "$name-$h"
  ip link add eth0 netns "$name-$h" type veth peer name "port$h" netns "$name-switch"
  in_host switch ip link set "port$h" master switch up
  in_host "$h" ip addr add "10.99.0.$h/24" dev eth0
  in_host "$h" ip link set lo up
  in_host "$h" ip link set eth0 up
  if [[ $rate != none ]]; then
    in_host "$h" tc qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 100ms
    in_host switch tc qdisc add dev "port$h" root tbf rate "$rate" burst 256kb latency 100ms
  fi
  list+=${list:+,}$name-$h
done

# What mpirun takes for ssh.
cat >"$work/agent" <<'AGENT'
#!/bin/sh
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0" && exec sh -c "$1"' "$host" "$*"
AGENT
chmod +x "$work/agent"

sent() { in_host "$1" cat /sys/class/net/eth0/statistics/tx_bytes; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
in_host 1 unshare --uts sh -c 'hostname "$0" && exec "$@"' "$name-1" \
  mpirun -np "$hosts" --host "$list" --bind-to none --mca rmaps_base_oversubscribe 1 \
  --mca plm_rsh_agent "$work/agent" --mca btl tcp,self --mca btl_tcp_if_include 10.99.0.0/24 \
  --mca oob_tcp_if_include 10.99.0.0/24 "$@"
for ((h = 1; h <= hosts; ++h)); do
  echo "host $h has sent $(sent "$h") bytes"
done
