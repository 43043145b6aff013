// The OpenMP threads that the process (PyTorch) already has.
#pragma once

namespace inter2former {

// Calls work(context) on the calling thread and on up to threads - 1 threads of its OpenMP team, and
// returns true when all have returned. Returns false, having done nothing, where there is no OpenMP
// runtime to borrow from.
bool run_in_openmp_team(int threads, void (*work)(void* context), void* context);

}  // namespace inter2former
