#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "accesses.h"
#include "emulation.h"

#if defined(LF_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif

namespace lf::cuda::emulation {
namespace {

constexpr int kLanes = 32;
constexpr std::size_t kSlot = 32;  // bytes a lane can hand to its warp at once
constexpr std::size_t kStack = 128 << 10;

enum class State { runs, at_barrier, in_exchange, done };

// What the lanes of a warp do together.
constexpr char kBarrier[] = "barrier", kShuffle[] = "shuffle", kLoad[] = "load of matrices",
               kHalf[] = "product of bfloat16", kTf32[] = "product of TF32";

struct Copy {
  void* shared;
  const void* global;
  std::size_t bytes;
  bool inside;
};

struct Fiber {
  Runner runner;
  State state = State::done;
  const char* what = "";
  int parity = 0;
  std::vector<Copy> copies;         // under way, oldest first
  std::vector<std::size_t> groups;  // of them in each that is committed
  std::size_t open = 0;             // in the one that is not
  void* resume[5];
  bool started = false;
  std::unique_ptr<unsigned char[]> stack;
};

struct Warp {
  alignas(16) unsigned char slots[2][kLanes * kSlot];
};

unsigned order_seed = 0;
std::minstd_rand shuffled;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Warp> warps;
std::unique_ptr<unsigned char[]> shared;
Fiber* running = nullptr;
int position[3];  // of the block
void (*kernel)(const void*) = nullptr;
const void* kernel_parameters = nullptr;
void* scheduler[5];
ucontext_t begin;

// Not longjmp, which calls the system under AddressSanitizer.
[[noreturn]] __attribute__((noinline)) void jump(void** to) { __builtin_longjmp(to, 1); }

// AddressSanitizer is told of each change of stacks.
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_size = 0;
#if defined(LF_ADDRESS_SANITIZER)
void leave(void*& own, const void* stack, std::size_t bytes) { __sanitizer_start_switch_fiber(&own, stack, bytes); }
void arrive_at(void* own, const void** from, std::size_t* bytes) { __sanitizer_finish_switch_fiber(own, from, bytes); }
#else
void leave(void*&, const void*, std::size_t) {}
void arrive_at(void*, const void**, std::size_t*) {}
#endif

void wait_as(State state, const char* what) {
  Fiber& self = *running;
  self.state = state;
  self.what = what;
  void* own = nullptr;
  leave(own, scheduler_stack, scheduler_stack_size);
  if (__builtin_setjmp(self.resume) == 0) jump(scheduler);
  arrive_at(own, &scheduler_stack, &scheduler_stack_size);
}

[[noreturn]] void fiber_main() {
  arrive_at(nullptr, &scheduler_stack, &scheduler_stack_size);
  while (true) {  // a turn for each block
    kernel(kernel_parameters);
    if (!running->runner.waited) refuse("it has not waited for the kernel in front of it");
    wait_as(State::done, "");
  }
}

void let_run(Fiber& fiber) {
  running = &fiber;
  let_touch(fiber.runner);
  void* own = nullptr;
  leave(own, fiber.stack.get(), kStack);
  if (__builtin_setjmp(scheduler) == 0) {
    if (fiber.started) jump(fiber.resume);
    fiber.started = true;
    getcontext(&begin);
    begin.uc_stack.ss_sp = fiber.stack.get();
    begin.uc_stack.ss_size = kStack;
    begin.uc_link = nullptr;
    makecontext(&begin, fiber_main, 0);
    setcontext(&begin);
  }
  arrive_at(own, nullptr, nullptr);
  let_touch({});
}

void prepare(Fiber& fiber, int thread, bool dependent) {
  if (!fiber.stack) fiber.stack.reset(new unsigned char[kStack]);
  fiber.runner = {thread, {fiber.stack.get(), kStack}, !dependent};
  fiber.state = State::runs;
  fiber.parity = 0;
  fiber.copies.clear();
  fiber.groups.clear();
  fiber.open = 0;
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
      if (running->what != fibers[first]->what) refuse("its warp does another thing: ", running->what);
      running->state = State::runs;
    }
  }
  bool all = true;
  for (unsigned i = 0; i < threads; ++i) all = all && fibers[i]->state == State::at_barrier;
  if (all) pass_barrier();
  for (unsigned i = 0; i < threads; ++i) {
    if (all) fibers[i]->state = State::runs;
    any = any || fibers[i]->state == State::runs;
  }
  return any;
}

void arrange(std::vector<unsigned>& order) {
  if (order_seed > 1) std::shuffle(order.begin(), order.end(), shuffled);
}

std::vector<unsigned> in_order(std::size_t count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (order_seed == 1) std::reverse(order.begin(), order.end());
  arrange(order);
  return order;
}

void run_block(unsigned threads, std::size_t shared_bytes, bool dependent) {
  std::memset(shared.get(), 0xff, shared_bytes);
  for (unsigned i = 0; i < threads; ++i) prepare(*fibers[i], static_cast<int>(i), dependent);
  std::vector<unsigned> order = in_order(threads);
  begin_block();
  while (release(threads)) {
    for (const unsigned i : order) {
      if (fibers[i]->state == State::runs) let_run(*fibers[i]);
    }
    arrange(order);
  }
  for (unsigned i = 0; i < threads; ++i) {
    running = fibers[i].get();
    if (running->state != State::done) refuse("it waits for threads that do not come: ", running->what);
  }
}

// Every lane hands over `bytes`; returns the slots of all lanes, which stay until the exchange after the next.
const unsigned char* exchange(const void* value, std::size_t bytes, const char* what) {
  Fiber& self = *running;
  unsigned char* const slots = warps[self.runner.thread / kLanes].slots[self.parity];
  std::memcpy(slots + kSlot * (self.runner.thread % kLanes), value, bytes);
  self.parity ^= 1;
  wait_as(State::in_exchange, what);
  return slots;
}

float number(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace

void refuse(const char* sentence, const char* detail) {
  std::fprintf(stderr, "emulation: block (%d, %d, %d), thread %d: %s%s\n", position[0], position[1], position[2],
               running->runner.thread, sentence, detail);
  std::abort();
}

void set_order(unsigned seed) { order_seed = seed, shuffled.seed(seed); }

void run(const unsigned (&grid)[3], unsigned threads, std::size_t shared_bytes, bool dependent,
         void (*body)(const void*), const void* parameters, std::size_t parameter_bytes) {
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  warps.resize(threads / kLanes);
  shared.reset(new unsigned char[shared_bytes]);
  kernel = body, kernel_parameters = parameters;
  begin_launch({static_cast<const unsigned char*>(parameters), parameter_bytes}, {shared.get(), shared_bytes},
               dependent);
  for (const unsigned index : in_order(static_cast<std::size_t>(grid[0]) * grid[1] * grid[2])) {
    position[0] = static_cast<int>(index % grid[0]), position[1] = static_cast<int>(index / grid[0] % grid[1]);
    position[2] = static_cast<int>(index / grid[0] / grid[1]);
    run_block(threads, shared_bytes, dependent);
  }
}

int thread() { return running->runner.thread; }
int block(int axis) { return position[axis]; }
unsigned char* shared_memory() { return shared.get(); }
void block_barrier() { wait_as(State::at_barrier, kBarrier); }

void shuffle(void* value, std::size_t bytes, int from) {
  std::memcpy(value, exchange(value, bytes, kShuffle) + kSlot * from, bytes);
}

int arrive(int* counter) {
  see_other_blocks();
  return (*counter)++;
}

void wait_for_previous_kernel() {
  running->runner.waited = true;
  let_touch(running->runner);
}

void let_next_kernel_begin() {
  if (!running->runner.waited) refuse("it lets the next kernel begin before it has waited for the one in front of it");
}

void copy_async(void* to, const void* from, std::size_t bytes, bool inside) {
  const auto unaligned = [bytes](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % bytes != 0; };
  if (unaligned(to) || unaligned(from)) refuse("a copy in the background is not aligned to its size");
  if (inside) touch(from, bytes, false);
  touch(to, bytes, true);
  running->copies.push_back({to, from, bytes, inside});
  ++running->open;
}

void copy_async_commit() {
  running->groups.push_back(running->open);
  running->open = 0;
}

void copy_async_wait(std::size_t pending) {
  Fiber& self = *running;
  if (self.groups.size() <= pending) return;
  const auto end = self.groups.end() - static_cast<std::ptrdiff_t>(pending);
  const auto done = self.copies.begin() + std::accumulate(self.groups.begin(), end, std::ptrdiff_t{0});
  for (auto copy = self.copies.begin(); copy != done; ++copy) {
    touch(copy->shared, copy->bytes, true);
    if (copy->inside) {
      std::memcpy(copy->shared, copy->global, copy->bytes);
    } else {
      std::memset(copy->shared, 0, copy->bytes);
    }
  }
  self.copies.erase(self.copies.begin(), done);
  self.groups.erase(self.groups.begin(), end);
}

void load_matrices(std::uint32_t (&matrix)[4], const void* row, bool transposed) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) refuse("a row of a matrix is not aligned to 16 bytes");
  touch(row, 16, false);
  const unsigned char* slots = exchange(&row, sizeof row, kLoad);
  const auto row_of = [slots](int lane) {
    const unsigned char* address;
    std::memcpy(&address, slots + kSlot * lane, sizeof address);
    return address;
  };
  const int lane = running->runner.thread % kLanes, g = lane / 4, t = lane % 4;
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
  const unsigned char* slots = exchange(mine, sizeof mine, half ? kHalf : kTf32);
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
  const int lane = running->runner.thread % kLanes, g = lane / 4, t = lane % 4;
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
