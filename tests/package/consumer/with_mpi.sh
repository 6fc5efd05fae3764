#!/bin/sh
# The same weights by one process as by two ranks. usage: with_mpi.sh PROGRAM MPIEXEC
set -eu
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
alone=$("$1")
ranks=$("$2" -n 2 "$1")
echo "$alone / $ranks"
test "$alone" = "$ranks"
case $alone in "error 0."*) ;; *) exit 1 ;; esac
