// Work shared by threads.
//
// Helpers wait for jobs and take tasks from them; whoever asked for a job takes tasks as well, and
// waits only for tasks that somebody has begun. So a busy machine, on which helpers come late,
// costs no more than doing everything alone, and a forked process, which has no helpers, does just
// that (docs/decisions/0007-threads.md).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "arch.hpp"

namespace mentor::MENTOR_ARCH {

/// Tasks 0, 1, … of some work, each to be done once.
class Job {
  public:
    Job(int tasks, std::function<void(int)> work) : tasks_(tasks), work_(std::move(work)) {}

    /// Does tasks until all are begun.
    void help() {
        for (int task = next_++; task < tasks_; task = next_++) {
            try {
                work_(task);
            } catch (...) {
                const std::lock_guard<std::mutex> lock(mutex_);
                failure_ = std::current_exception();
            }
            if (++done_ == tasks_) {
                const std::lock_guard<std::mutex> lock(mutex_);
                finished_.notify_one();
            }
        }
    }

    /// Waits until all tasks are done, and passes on an exception of one of them.
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        finished_.wait(lock, [&] { return done_ == tasks_; });
        if (failure_) std::rethrow_exception(failure_);
    }

  private:
    const int tasks_;
    const std::function<void(int)> work_;
    std::atomic<int> next_{0}, done_{0};
    std::mutex mutex_;
    std::condition_variable finished_;
    std::exception_ptr failure_;
};

/// The helpers of a process. They are made when first needed and live as long as it does.
class Crew {
  public:
    static Crew& instance() {
        static Crew* const crew = new Crew;  // never destroyed, since its helpers never end
        return *crew;
    }

    /// False in a process that was forked from that of the helpers.
    bool at_hand() const { return process_ == current_process(); }

    void offer(const std::shared_ptr<Job>& job, int helpers) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            try {
                for (; size_ < helpers; ++size_) std::thread([this] { serve(); }).detach();
            } catch (const std::system_error&) {  // no more threads are to be had
            }
            job_ = job;
            ++number_;
        }
        for (int n = 0; n < helpers; ++n) news_.notify_one();
    }

  private:
    static int64_t current_process() {
#if defined(__unix__) || defined(__APPLE__)
        return getpid();
#else
        return 0;
#endif
    }

    void serve() {
        for (uint64_t seen = 0;;) {
            std::unique_lock<std::mutex> lock(mutex_);
            news_.wait(lock, [&] { return number_ != seen; });
            seen = number_;
            const std::shared_ptr<Job> job = job_;
            lock.unlock();
            job->help();
        }
    }

    const int64_t process_ = current_process();
    std::mutex mutex_;
    std::condition_variable news_;
    int size_ = 0;
    std::shared_ptr<Job> job_;  // the latest
    uint64_t number_ = 0;       // of jobs so far
};

/// Calls work(task, tasks) once for each task, on up to `tasks` threads, and passes on an
/// exception.
template <class Work>
inline void in_parallel(int tasks, Work work) {
    if (tasks <= 1 || !Crew::instance().at_hand()) {
        for (int task = 0; task < tasks; ++task) work(task, tasks);
        return;
    }
    const auto job = std::make_shared<Job>(tasks, [&](int task) { work(task, tasks); });
    Crew::instance().offer(job, tasks - 1);
    job->help();
    job->wait();
}

}  // namespace mentor::MENTOR_ARCH
