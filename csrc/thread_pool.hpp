// Threads that live as long as the process and share numbered tasks.
#pragma once

#include <cstdint>

namespace inter2former {

using Task = void (*)(void* context, int64_t number);

// Calls task(context, 0) ... task(context, count - 1), each once, in any order, on the calling thread
// and up to threads - 1 others; returns when all are done. Tasks must not throw. While the pool is
// busy with another caller's tasks, everything runs on the calling thread.
void parallel_for(int threads, int64_t count, Task task, void* context);

// The same for a function object, which takes the number.
template <class Function>
void parallel_for(int threads, int64_t count, Function function) {
    parallel_for(
        threads, count,
        [](void* context, int64_t number) { (*static_cast<Function*>(context))(number); },
        &function);
}

}  // namespace inter2former
