// Whether mpirun or srun has started this program, as they say in its environment.
#pragma once

#include <cstdlib>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// How many ranks the launcher has started; 0: there is none. -1: there is one, and it does not say.
inline int launched_ranks() {
  // Open MPI, MPICH and its relatives (srun --mpi=pmi2, too), MVAPICH.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"})
    if (const char* value = std::getenv(name)) return std::atoi(value);
  const char* const step = std::getenv("SLURM_STEP_NUM_TASKS");
  const int tasks = step ? std::atoi(step) : 0;
  if (std::getenv("PMIX_RANK")) return tasks == 1 ? 1 : -1;  // srun --mpi=pmix
  return tasks > 1 ? tasks : 0;  // srun --mpi=none: MPI will not find the others
}

// For a program that was built without MPI: throws where a launcher has started several of it, each
// of which would train by itself.
inline void check_not_launched() {
  const int ranks = launched_ranks();
  detail::check(
      ranks == 0 || ranks == 1,
      "this program was built without MPI, and a launcher (mpirun, srun) has started it",
      ranks > 0 ? detail::text_of(" ", ranks, " times") : "",
      ": each would train by itself. Install MPI (Debian: libopenmpi-dev openmpi-bin) and "
      "build it again, or start it without the launcher");
}

}  // namespace anther::inline v0_1
