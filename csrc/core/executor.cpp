#include "executor.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lf {
namespace {

// Stages of one forward pass follow each other within microseconds: long enough to catch the next, short enough not to
// burn a core of whoever plays the game.
constexpr int kSpins = 4000;

inline void pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

}  // namespace

// One job at a time. Each thread has a share of its tasks, always the same places of it, and helps the others when it
// is through. A share's ticket holds the job's number in its upper half and the tasks nobody has taken in its lower, so
// that a worker that comes late can take nothing of another job.
class Executor::Pool {
 public:
  Pool(std::size_t helpers, const Allocator& allocator)
      : shares_(helpers + 1, StlAllocator<Share>(allocator)), workers_(StlAllocator<std::thread>(allocator)) {
    workers_.reserve(helpers);
    for (std::size_t i = 0; i < helpers; ++i) {
      try {
        workers_.emplace_back([this, i] { work(i + 1); });
      } catch (const std::exception&) {  // no thread, or no memory for one
        break;
      }
    }
  }

  ~Pool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ending_.store(true);
      job_.fetch_add(kJob);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  std::size_t threads() const noexcept { return workers_.size() + 1; }
  Allocator allocator() const noexcept { return workers_.get_allocator().source; }

  bool try_run(std::size_t tasks, Task task, void* context) noexcept {
    if (tasks > kTasks || busy_.exchange(true, std::memory_order_acquire)) return false;
    task_.store(task, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    tasks_.store(tasks, std::memory_order_relaxed);
    pending_.store(tasks, std::memory_order_relaxed);
    const std::uint64_t job = job_.load(std::memory_order_relaxed) + kJob;
    for (std::size_t i = 0; i < threads(); ++i) {
      shares_[i].ticket.store(job | (share_begin(i + 1, tasks) - share_begin(i, tasks)), std::memory_order_relaxed);
    }
    job_.store(job);  // sequentially consistent, as is sleepers_: one of the two sees the other
    if (sleepers_.load() != 0) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
      }
      wake_.notify_all();
    }
    take_part(0, job);
    for (int spins = 0; pending_.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
    busy_.store(false, std::memory_order_release);
    return true;
  }

 private:
  static constexpr std::uint64_t kTasks = 0xffffffff;
  static constexpr std::uint64_t kJob = kTasks + 1;

  struct alignas(kAlignment) Share {
    std::atomic<std::uint64_t> ticket{0};
  };

  std::size_t share_begin(std::size_t i, std::size_t tasks) const noexcept { return i * tasks / threads(); }

  // Takes tasks of this job until none is left, those of thread `own` first.
  void take_part(std::size_t own, std::uint64_t job) noexcept {
    std::size_t done = 0;
    for (std::size_t i = 0; i < threads(); ++i) {
      const std::size_t share = (own + i) % threads();
      std::atomic<std::uint64_t>& tickets = shares_[share].ticket;
      std::uint64_t ticket = tickets.load(std::memory_order_acquire);
      while ((ticket & ~kTasks) == job && (ticket & kTasks) != 0) {
        if (!tickets.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire)) continue;
        // A task is ours, so the job cannot end, and what describes it stands still.
        const std::size_t tasks = tasks_.load(std::memory_order_relaxed);
        task_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed),
                                              share_begin(share + 1, tasks) - (ticket & kTasks));
        ++done;
        ticket = tickets.load(std::memory_order_acquire);
      }
    }
    if (done > 0) pending_.fetch_sub(done, std::memory_order_release);
  }

  void work(std::size_t own) noexcept {
    std::uint64_t seen = 0;
    while (true) {
      std::uint64_t job = job_.load(std::memory_order_acquire);
      for (int spins = 0; job == seen && spins < kSpins; ++spins) {
        pause();
        job = job_.load(std::memory_order_acquire);
      }
      if (job == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return job_.load() != seen; });
        sleepers_.fetch_sub(1);
        job = job_.load(std::memory_order_acquire);
      }
      if (ending_.load()) return;
      seen = job;
      take_part(own, job);
    }
  }

  // Cache lines travel between cores more slowly than the tasks begin: what is read together lies together.
  alignas(kAlignment) std::atomic<std::uint64_t> job_{0};
  std::atomic<std::size_t> tasks_{0};
  std::atomic<Task> task_{nullptr};
  std::atomic<void*> context_{nullptr};
  alignas(kAlignment) std::atomic<std::size_t> pending_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> busy_{false}, ending_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  Vector<Share> shares_;
  Vector<std::thread> workers_;
};

Executor::Executor() noexcept = default;
Executor::Executor(const ParallelFor& engine) noexcept : engine_(engine) {}
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;
Executor::~Executor() = default;

Executor Executor::pool(std::size_t threads, const Allocator& allocator) {
  Executor executor;
  if (threads < 2) return executor;
  void* const memory = allocator.allocate(sizeof(Pool), alignof(Pool), allocator.user);
  if (memory == nullptr) throw std::bad_alloc();
  try {
    executor.pool_.reset(new (memory) Pool(threads - 1, allocator));
  } catch (...) {
    allocator.release(memory, allocator.user);
    throw;
  }
  return executor;
}

void Executor::Release::operator()(Pool* pool) const noexcept {
  const Allocator allocator = pool->allocator();
  pool->~Pool();
  allocator.release(pool, allocator.user);
}

std::size_t Executor::threads() const noexcept {
  if (pool_ != nullptr) return pool_->threads();
  return engine_.run != nullptr && engine_.threads > 0 ? engine_.threads : 1;
}

void Executor::run(std::size_t tasks, Task task, void* context) const noexcept {
  if (tasks == 0) return;
  if (tasks > 1) {
    if (pool_ != nullptr && pool_->try_run(tasks, task, context)) return;
    if (pool_ == nullptr && engine_.run != nullptr) return engine_.run(engine_.user, tasks, task, context);
  }
  for (std::size_t i = 0; i < tasks; ++i) task(context, i);
}

}  // namespace lf
