/*
openmp.h - keeps the process's OpenMP threads, if it has any, from spinning on this pool's cores.

torch brings GNU's OpenMP runtime, whose threads spin for 3 ms after each parallel loop in case another follows. A kernel that
starts within that time shares its cores with threads that do nothing. The runtime itself stops spinning once it counts more
threads than cores, which is the truth as soon as this pool exists; so it is told, by a team of two that does nothing. Waiting
threads then sleep. Whoever sets OMP_WAIT_POLICY or GOMP_SPINCOUNT has chosen, and is left alone. Nothing is linked: the runtime
is looked for among the libraries that are loaded, and used through its own entry point.

Limits   Linux, GNU's runtime; elsewhere it does nothing.
*/
#pragma once

namespace sctd {

// Called once by a thread of the pool that lives on. Costs one more sleeping thread.
void calm_openmp();

}  // namespace sctd
