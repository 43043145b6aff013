#include "thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace {

class ThreadPool {
public:
    void run(int threads, int64_t count, inter2former::Task task, void* context) {
        const int helpers = grow(static_cast<int>(std::min<int64_t>(threads, count)) - 1);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = task;
            context_ = context;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            places_ = helpers;
        }
        if (helpers == 1) {
            wake_.notify_one();
        } else {
            wake_.notify_all();
        }
        work();
        // Helpers that have not woken by now are not needed: nothing is left to take.
        std::unique_lock<std::mutex> lock(mutex_);
        places_ = 0;
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
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return places_ > 0; });
            --places_;
            ++working_;
            lock.unlock();
            work();
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    void work() {
        for (;;) {
            const int64_t number = next_.fetch_add(1, std::memory_order_relaxed);
            if (number >= count_) return;
            task_(context_, number);
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    inter2former::Task task_ = nullptr;
    void* context_ = nullptr;
    int64_t count_ = 0;
    std::atomic<int64_t> next_{0};
    int started_ = 0;  // touched by the holder of in_use only
    int places_ = 0;   // helpers that may still join the current tasks
    int working_ = 0;  // helpers at work on them
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
    if (threads > 1 && count > 1) {
        ThreadPool& threads_to_share = the_pool();
        std::unique_lock<std::mutex> lock(threads_to_share.in_use, std::try_to_lock);
        if (lock.owns_lock()) return threads_to_share.run(threads, count, task, context);
    }
    for (int64_t number = 0; number < count; ++number) task(context, number);
}
