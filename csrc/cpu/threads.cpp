/*
threads.cpp - the thread pool behind parallel_for.

A job is a counter of chunks. Workers join while it is open; the caller works too, then closes the job and waits only for
the workers that joined, so a worker that wakes up late costs nothing. Who waits looks again and again for some 20 us before
it sleeps: the jobs of one kernel follow one another, and waking a thread takes longer than that.
*/
#include "threads.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

namespace sctd {
namespace {

struct Job {
    ChunkFunction function;
    void* context;
    ptrdiff_t chunks;
    std::atomic<ptrdiff_t> next{0};

    void work() {
        for (ptrdiff_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) function(context, i);
    }
};

thread_local bool inside_job = false;

constexpr int kLooks = 500;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Returns when the condition holds, or after a while.
template <typename F>
void look(F&& condition) {
    for (int i = 0; i < kLooks && !condition(); ++i) pause();
}

class Pool {
public:
    explicit Pool(int threads) : threads_(threads) {}

    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    int threads() const { return threads_; }

    void run(Job& job) {
        std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
        if (!owner.owns_lock() || threads_ == 1 || job.chunks == 1) {
            job.work();
            return;
        }
        const ptrdiff_t wanted = job.chunks < threads_ ? job.chunks : threads_;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (ptrdiff_t(workers_.size()) + 1 < threads_) workers_.emplace_back([this] { loop(); });
            job_ = &job;
            seats_ = int(wanted) - 1;
        }
        for (ptrdiff_t i = 1; i < wanted; ++i) wake_.notify_one();
        inside_job = true;
        job.work();
        inside_job = false;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            job_ = nullptr;
            seats_ = 0;
        }
        look([this] { return active_ == 0; });
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return active_ == 0; });
    }

private:
    void loop() {
        inside_job = true;
        for (;;) {
            look([this] { return stop_ || seats_ > 0; });
            std::unique_lock<std::mutex> lock(mutex_);
            wake_.wait(lock, [this] { return stop_ || seats_ > 0; });
            if (stop_) return;
            --seats_;
            ++active_;
            Job* job = job_;
            lock.unlock();
            job->work();
            lock.lock();
            if (--active_ == 0) done_.notify_one();
        }
    }

    const int threads_;
    std::mutex owner_;  // held while a job runs
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    Job* job_ = nullptr;
    // Written under the mutex; atomic for readers without it.
    std::atomic<int> seats_{0}, active_{0};
    std::atomic<bool> stop_{false};
};

int default_threads() {
    if (const char* text = std::getenv("SCTD_NUM_THREADS")) {
        const int n = std::atoi(text);
        if (n >= 1) return n;
    }
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const unsigned n = std::thread::hardware_concurrency();
    return n ? int(n) : 1;
}

// Never destroyed at exit: workers may sleep in it while static destructors run.
Pool* pool = nullptr;
std::mutex* pool_mutex = new std::mutex;

// The child of fork() has no workers; leave the parent's pool alone and build a new one on demand.
void forget_pool() {
    pool_mutex = new std::mutex;
    if (pool) pool = new Pool(pool->threads());
    inside_job = false;
}

Pool* get_pool() {
    std::lock_guard<std::mutex> lock(*pool_mutex);
    if (!pool) {
        pool = new Pool(default_threads());
        pthread_atfork(nullptr, nullptr, forget_pool);
    }
    return pool;
}

}  // namespace

int thread_count() { return get_pool()->threads(); }

void set_thread_count(int n) {
    Pool* old = get_pool();
    if (old->threads() == n) return;
    {
        std::lock_guard<std::mutex> lock(*pool_mutex);
        pool = new Pool(n);
    }
    // The old pool stays, because calls may still run in it; its few sleeping threads cost nothing.
}

void run_chunks(ptrdiff_t chunks, ChunkFunction function, void* context) {
    if (chunks <= 0) return;
    Job job;
    job.function = function, job.context = context, job.chunks = chunks;
    if (inside_job || chunks == 1)
        job.work();
    else
        get_pool()->run(job);
}

}  // namespace sctd
