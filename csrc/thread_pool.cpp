#include "thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include "openmp_team.hpp"

namespace {

// Numbered tasks that any number of threads take until none is left.
struct Tasks {
    inter2former::Task task;
    void* context;
    int64_t count;
    std::atomic<int64_t> next{0};

    void work() {
        for (;;) {
            const int64_t number = next.fetch_add(1, std::memory_order_relaxed);
            if (number >= count) return;
            task(context, number);
        }
    }
};

// Waits for a condition that usually holds soon, for as long as waking a sleeping thread takes.
template <class Condition>
void wait_briefly(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
    while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

// Threads of our own, for processes whose OpenMP team can't be borrowed.
class ThreadPool {
public:
    void run(int threads, Tasks& tasks) {
        const int helpers = grow(threads - 1);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            tasks_ = &tasks;
            places_ = helpers;
        }
        if (helpers == 1) {
            wake_.notify_one();
        } else {
            wake_.notify_all();
        }
        tasks.work();
        // Helpers that have not woken by now are not needed: nothing is left to take.
        {
            std::lock_guard<std::mutex> lock(mutex_);
            places_ = 0;
        }
        wait_briefly([this] { return working_ == 0; });
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return working_ == 0; });
    }

    std::mutex in_use;  // held by the caller whose tasks are running

private:
    // Starts threads until there are `helpers`, or as many as the system allows.
    int grow(int helpers) {
        try {
            for (; started_ < helpers; ++started_) std::thread([this] { help(); }).detach();
        } catch (const std::system_error&) {
        }
        return std::min(helpers, started_);
    }

    void help() {
        for (;;) {
            wait_briefly([this] { return places_ > 0; });
            std::unique_lock<std::mutex> lock(mutex_);
            wake_.wait(lock, [this] { return places_ > 0; });
            --places_;
            ++working_;
            Tasks& tasks = *tasks_;
            lock.unlock();
            tasks.work();
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    Tasks* tasks_ = nullptr;
    int started_ = 0;  // touched by the holder of in_use only
    // Changed under the mutex; atomic because they are read without it while waiting briefly.
    std::atomic<int> places_{0};   // helpers that may still join the current tasks
    std::atomic<int> working_{0};  // helpers at work on them
};

// Never destroyed: its sleeping threads may outlive every static object at exit.
ThreadPool* pool = nullptr;

ThreadPool& the_pool() {
    static const bool created = [] {
        pool = new ThreadPool;
#if !defined(_WIN32)
        // A forked child has none of the threads and starts with a pool of its own.
        pthread_atfork(nullptr, nullptr, [] { pool = new ThreadPool; });
#endif
        return true;
    }();
    static_cast<void>(created);
    return *pool;
}

}  // namespace

void inter2former::parallel_for(int threads, int64_t count, Task task, void* context) {
    Tasks tasks{task, context, count};
    threads = static_cast<int>(std::min<int64_t>(threads, count));
    if (threads > 1) {
        const auto work = [](void* all) { static_cast<Tasks*>(all)->work(); };
        if (run_in_openmp_team(threads, work, &tasks)) return;
        ThreadPool& threads_to_share = the_pool();
        std::unique_lock<std::mutex> lock(threads_to_share.in_use, std::try_to_lock);
        if (lock.owns_lock()) return threads_to_share.run(threads, tasks);
    }
    tasks.work();
}
