// Tasks side by side: on a pool of its own threads, on an engine's, or one after the other.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "memory.h"

namespace lf {

// One of several independent tasks, told apart by the index.
using Task = void (*)(void* context, std::size_t index);

// What an engine offers instead of threads of ours: calls task(context, i) for each i below `tasks`, from any threads
// in any order, and returns when all of them have ended.
struct ParallelFor {
  void (*run)(void* user, std::size_t tasks, Task task, void* context);
  void* user;
  std::size_t threads;  // about how many run at a time; decides only how finely work is cut
};

// Never changes a result: tasks are independent, and none of them sums what another one computes.
// A pool cuts tasks alike in every run, so that a thread finds what it wrote before in its own core's caches: two that
// belong together have indices in the same proportion to their number. Whoever is through helps the others.
// `run` allocates nothing. Several callers may share one executor: one that comes while another one's tasks are
// running does its own itself.
class Executor {
 public:
  Executor() noexcept;  // one after the other, on the caller's thread
  explicit Executor(const ParallelFor& engine) noexcept;
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;
  ~Executor();

  // `threads` that work, the caller's among them. Where the system gives fewer, so many work; throws std::bad_alloc.
  // What the threads themselves take, stacks above all, comes from the system.
  static Executor pool(std::size_t threads, const Allocator& allocator = system_allocator());

  std::size_t threads() const noexcept;

  // Into how many tasks even work is best cut: a few for each thread, so that one that is held up leaves the others
  // something to do.
  std::size_t even_tasks() const noexcept { return threads() == 1 ? 1 : 4 * threads(); }

  // task(i) for each i below `tasks`; returns when all have ended.
  template <class F>
  void run(std::size_t tasks, F&& task) const noexcept {
    using Function = std::remove_reference_t<F>;
    if (tasks == 1) return task(std::size_t{0});
    run(
        tasks, [](void* context, std::size_t index) { (*static_cast<Function*>(context))(index); },
        const_cast<void*>(static_cast<const void*>(&task)));
  }

  void run(std::size_t tasks, Task task, void* context) const noexcept;

 private:
  class Pool;
  struct Release {
    void operator()(Pool* pool) const noexcept;
  };
  ParallelFor engine_{};
  std::unique_ptr<Pool, Release> pool_;
};

}  // namespace lf
