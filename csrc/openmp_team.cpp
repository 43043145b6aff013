// PyTorch's OpenMP threads keep spinning for milliseconds after each of its operations, so threads of
// our own would fight them for the cores: on two cores that doubled a kernel's time. Its team is
// borrowed instead, through the runtime's C entry point (GCC's, which LLVM's and Intel's runtimes
// offer too), found at run time: there is nothing to link with and nothing that ties us to a build.
#include "openmp_team.hpp"

#if defined(__linux__)

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>

namespace {

using Parallel = void (*)(void (*work)(void*), void* context, unsigned threads, unsigned flags);

// The runtime does not survive a fork; the pool of our own does.
std::atomic<bool> forked{false};

Parallel find() {
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
    return reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
}

}  // namespace

bool inter2former::run_in_openmp_team(int threads, void (*work)(void*), void* context) {
    static const Parallel parallel = find();
    if (parallel == nullptr || forked) return false;
    parallel(work, context, static_cast<unsigned>(threads), 0);
    return true;
}

#else

bool inter2former::run_in_openmp_team(int, void (*)(void*), void*) { return false; }

#endif
