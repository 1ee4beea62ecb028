// longjmp between stacks is what fibers are made of; glibc's checked one refuses it.
#undef _FORTIFY_SOURCE
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "emulation.h"

#if defined(__SANITIZE_ADDRESS__)
#define LF_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LF_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(LF_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif

namespace lf::cuda::emulation {
namespace {

constexpr int kLanes = 32;
constexpr std::size_t kStack = 256 << 10;

enum class State { runs, at_barrier, in_exchange, done };

struct Copy {
  void* shared;
  const void* global;
  std::size_t bytes;
  bool inside;
};

struct Fiber {
  Position position{};
  State state = State::done;
  const char* what = "";
  int parity = 0;
  std::vector<Copy> open;                 // of the group that is not committed yet
  std::vector<std::vector<Copy>> groups;  // committed, oldest first
  ucontext_t begin{};
  jmp_buf resume;
  bool started = false;
  std::unique_ptr<unsigned char[]> stack;
};

struct Warp {
  alignas(16) unsigned char slots[2][kLanes * kSlot];
};

unsigned order_seed = 0;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Warp> warps;
std::unique_ptr<unsigned char[]> shared;
Fiber* running = nullptr;
const std::function<void()>* kernel = nullptr;
#if defined(LF_ADDRESS_SANITIZER)
ucontext_t scheduler_context;
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_size = 0;
#else
jmp_buf scheduler;
#endif

[[noreturn]] void refuse(const char* sentence, const char* detail = "") {
  const Position& at = running->position;
  std::fprintf(stderr, "emulation: block (%d, %d, %d), thread %d: %s%s\n", at.block[0], at.block[1], at.block[2],
               at.thread, sentence, detail);
  std::abort();
}

void back_to_scheduler(bool for_good) {
#if defined(LF_ADDRESS_SANITIZER)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_stack, scheduler_stack_size);
  if (for_good) setcontext(&scheduler_context);
  swapcontext(&running->begin, &scheduler_context);
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_size);
#else
  if (for_good) _longjmp(scheduler, 1);
  Fiber& self = *running;
  if (_setjmp(self.resume) == 0) _longjmp(scheduler, 1);
#endif
}

void fiber_main() {
#if defined(LF_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
#endif
  (*kernel)();
  running->state = State::done;
  back_to_scheduler(true);
}

void wait_as(State state, const char* what) {
  running->state = state;
  running->what = what;
  back_to_scheduler(false);
}

void let_run(Fiber& fiber) {
  running = &fiber;
#if defined(LF_ADDRESS_SANITIZER)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), kStack);
  swapcontext(&scheduler_context, &fiber.begin);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.begin);
#endif
}

void prepare(Fiber& fiber) {
  if (!fiber.stack) fiber.stack.reset(new unsigned char[kStack]);
  getcontext(&fiber.begin);
  fiber.begin.uc_stack.ss_sp = fiber.stack.get();
  fiber.begin.uc_stack.ss_size = kStack;
  fiber.begin.uc_link = nullptr;
  makecontext(&fiber.begin, fiber_main, 0);
  fiber.state = State::runs;
  fiber.started = false;
  fiber.parity = 0;
  fiber.open.clear();
  fiber.groups.clear();
}

// Lets go whoever has waited long enough; returns whether anybody can run.
bool release(unsigned threads) {
  bool any = false;
  for (unsigned first = 0; first < threads; first += kLanes) {
    bool together = true;
    for (unsigned i = first; i < first + kLanes; ++i) together = together && fibers[i]->state == State::in_exchange;
    if (!together) continue;
    for (unsigned i = first; i < first + kLanes; ++i) {
      running = fibers[i].get();
      if (std::strcmp(fibers[i]->what, fibers[first]->what) != 0)
        refuse("its warp does another thing: ", fibers[i]->what);
      fibers[i]->state = State::runs;
    }
  }
  bool all = true;
  for (unsigned i = 0; i < threads; ++i) all = all && fibers[i]->state == State::at_barrier;
  for (unsigned i = 0; i < threads; ++i) {
    if (all) fibers[i]->state = State::runs;
    any = any || fibers[i]->state == State::runs;
  }
  return any;
}

void run_block(unsigned threads, std::size_t shared_bytes) {
  std::memset(shared.get(), 0xff, shared_bytes);
  for (unsigned i = 0; i < threads; ++i) prepare(*fibers[i]);
  std::vector<unsigned> order(threads);
  std::iota(order.begin(), order.end(), 0u);
  std::mt19937 random(order_seed);
  if (order_seed == 1) std::reverse(order.begin(), order.end());
  while (release(threads)) {
    if (order_seed > 1) std::shuffle(order.begin(), order.end(), random);
    for (const unsigned i : order) {
      if (fibers[i]->state == State::runs) let_run(*fibers[i]);
    }
  }
  for (unsigned i = 0; i < threads; ++i) {
    running = fibers[i].get();
    if (running->state != State::done) refuse("it waits for threads that do not come: ", running->what);
  }
}

void finish(std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    if (copy.inside) {
      std::memcpy(copy.shared, copy.global, copy.bytes);
    } else {
      std::memset(copy.shared, 0, copy.bytes);
    }
  }
}

float number(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace

void set_order(unsigned seed) { order_seed = seed; }

void run(const unsigned (&grid)[3], unsigned threads, std::size_t shared_bytes, const std::function<void()>& body) {
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  warps.resize(threads / kLanes);
  shared.reset(new unsigned char[shared_bytes + 1]);
  kernel = &body;
  for (unsigned z = 0; z < grid[2]; ++z) {
    for (unsigned y = 0; y < grid[1]; ++y) {
      for (unsigned x = 0; x < grid[0]; ++x) {
        for (unsigned i = 0; i < threads; ++i) {
          fibers[i]->position = {static_cast<int>(i), {static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)}};
        }
        run_block(threads, shared_bytes);
      }
    }
  }
}

const Position& current() { return running->position; }
unsigned char* shared_memory() { return shared.get(); }
void block_barrier() { wait_as(State::at_barrier, "barrier"); }

const unsigned char* exchange(const void* value, std::size_t bytes, const char* what) {
  Fiber& self = *running;
  unsigned char* slots = warps[self.position.thread / kLanes].slots[self.parity];
  std::memcpy(slots + kSlot * (self.position.thread % kLanes), value, bytes);
  self.parity ^= 1;
  wait_as(State::in_exchange, what);
  return slots;
}

void copy_async(void* to, const void* from, std::size_t bytes, bool inside) {
  const auto unaligned = [bytes](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % bytes != 0; };
  if (unaligned(to) || unaligned(from)) refuse("a copy in the background is not aligned to its size");
  running->open.push_back({to, from, bytes, inside});
}

void copy_async_commit() {
  running->groups.push_back(std::move(running->open));
  running->open.clear();
}

void copy_async_wait(std::size_t pending) {
  std::vector<std::vector<Copy>>& groups = running->groups;
  while (groups.size() > pending) {
    finish(groups.front());
    groups.erase(groups.begin());
  }
}

void load_matrices(std::uint32_t (&matrix)[4], const void* row, bool transposed) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) refuse("a row of a matrix is not aligned to 16 bytes");
  const unsigned char* slots = exchange(&row, sizeof row, "load of matrices");
  const auto row_of = [slots](int lane) {
    const unsigned char* address;
    std::memcpy(&address, slots + kSlot * lane, sizeof address);
    return address;
  };
  const int lane = running->position.thread % kLanes, g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    if (transposed) {
      std::uint16_t low, high;
      std::memcpy(&low, row_of(8 * i + 2 * t) + 2 * g, 2);
      std::memcpy(&high, row_of(8 * i + 2 * t + 1) + 2 * g, 2);
      matrix[i] = low | static_cast<std::uint32_t>(high) << 16;
    } else {
      std::memcpy(&matrix[i], row_of(8 * i + g) + 4 * t, 4);
    }
  }
}

void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bool half) {
  const std::uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const unsigned char* slots = exchange(mine, sizeof mine, half ? "product of bfloat16" : "product of TF32");
  const auto word = [slots](int lane, int index) {
    std::uint32_t value;
    std::memcpy(&value, slots + kSlot * lane + 4 * index, 4);
    return value;
  };
  // Of a word of a factor: its one or two numbers.
  const auto value = [half](std::uint32_t bits, int k) {
    return half ? number(k % 2 ? bits & 0xffff0000u : bits << 16) : number(bits & 0xffffe000u);
  };
  const int depth = half ? 16 : 8, part = depth / 2;
  const int lane = running->position.thread % kLanes, g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    double sum = c[i];
    for (int k = 0; k < depth; ++k) {
      const int holder = half ? k % 8 / 2 : k % 4;
      const float left = value(word(row % 8 * 4 + holder, row / 8 + 2 * (k / part)), k);
      const float right = value(word(column * 4 + holder, 4 + k / part), k);
      sum += static_cast<double>(left) * right;
    }
    c[i] = static_cast<float>(sum);
  }
}

}  // namespace lf::cuda::emulation
