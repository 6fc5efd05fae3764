#!/bin/sh
# The same weights without MPI, by one process of the program with it, and by two ranks.
# usage: with_mpi.sh PROGRAM_WITHOUT PROGRAM MPIEXEC
set -eu
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
without=$("$1")
alone=$("$2")
ranks=$("$3" -n 2 "$2")
echo "$without / $alone / $ranks"
test "$without" = "$ranks" && test "$alone" = "$ranks"
case $alone in "error 0."*) ;; *) exit 1 ;; esac
