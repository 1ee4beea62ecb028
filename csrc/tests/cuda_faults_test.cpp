// That the emulation of csrc/cuda refuses what a GPU would not do or would do by chance: kernels with a fault each, run
// in processes of their own, since a refusal ends one.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "../cuda/runtime.h"

namespace {

using namespace lf::cuda;

struct Numbers {
  float* in;
  float* out;  // as many as threads
};

constexpr int kThreads = 64;

// Each thread hands its number to the one `step` further on.
template <bool kBarrier, int step>
LF_KERNEL(kThreads)
pass_on(const Numbers p) {
  float* const slots = reinterpret_cast<float*>(shared_memory());
  slots[thread()] = p.in[thread()];
  if (kBarrier) block_barrier();
  p.out[thread()] = slots[(thread() + step) % kThreads];
}

LF_KERNEL(kThreads) read_beyond(const Numbers p) { p.out[thread()] = p.in[thread() + 1]; }
LF_KERNEL(kThreads) write_beyond(const Numbers p) { p.out[thread() - 1] = p.in[thread()]; }
LF_KERNEL(kThreads) read_shared_beyond(const Numbers p) {
  p.out[thread()] = reinterpret_cast<float*>(shared_memory())[kThreads + thread()];
}

LF_KERNEL(kThreads) shuffle_alone(const Numbers p) {
  float x = p.in[thread()];
  if (thread() % 2 == 0) x += shuffle_xor(x, 2);
  p.out[thread()] = x;
}

LF_KERNEL(kThreads) barrier_of_some(const Numbers p) {
  if (thread() >= kWarp) block_barrier();
  p.out[thread()] = p.in[thread()];
}

// Of two blocks, both at the same numbers.
LF_KERNEL(kThreads) blocks_write_one_place(const Numbers p) { p.out[thread()] = p.in[thread()]; }
LF_KERNEL(kThreads) blocks_read_each_other(const Numbers p) {
  (block_x() == 0 ? p.out : p.in)[thread()] = (block_x() == 0 ? p.in : p.out)[thread()];
}

LF_KERNEL(kThreads) copy_is_not_awaited(const Numbers p) {
  float* const slots = reinterpret_cast<float*>(shared_memory());
  copy_async_word(slots + thread(), p.in + thread(), true);
  copy_async_commit();
  block_barrier();
  copy_async_wait<0>();
  p.out[thread()] = slots[thread() ^ 1];
}

// Launched so that they may begin before the kernel in front of them ends.
LF_KERNEL(kThreads) waits_too_late(const Numbers p) {
  const float x = p.in[thread()];
  wait_for_previous_kernel();
  p.out[thread()] = x;
}
LF_KERNEL(kThreads) lets_begin_too_early(const Numbers p) {
  let_next_kernel_begin();
  wait_for_previous_kernel();
  p.out[thread()] = p.in[thread()];
}
LF_KERNEL(kThreads) waits(const Numbers p) {
  wait_for_previous_kernel();
  let_next_kernel_begin();
  p.out[thread()] = p.in[thread()];
}

int failures = 0;

// What a process says that runs the kernel; "" where nothing is wrong.
std::string refusal(void (*kernel)(Numbers), unsigned blocks, bool dependent, bool of_host) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    dup2(ends[1], STDERR_FILENO);
    lf::Error error;
    Memory in, out;
    float numbers[kThreads] = {};
    if (!in.allocate(sizeof numbers, error) || !out.allocate(sizeof numbers, error)) _exit(2);
    const Numbers written{of_host ? numbers : in.at<float>(0), out.at<float>(0)};
    // A kernel in front, which writes what the next one reads.
    const Numbers front{out.at<float>(0), in.at<float>(0)};
    launch(blocks_write_one_place, {{1, 1, 1}, kThreads, 0, nullptr, false}, error, front);
    launch(kernel, {{blocks, 1, 1}, kThreads, sizeof numbers, nullptr, dependent}, error, written);
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char part[256];
  for (ssize_t size; (size = read(ends[0], part, sizeof part)) > 0;) said.append(part, static_cast<std::size_t>(size));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (said.empty() && status != 0) said = "ended with status " + std::to_string(status);
  return said;
}

void refused(const char* what, const char* sentence, void (*kernel)(Numbers), unsigned blocks = 1,
             bool dependent = false, bool of_host = false) {
  const std::string said = refusal(kernel, blocks, dependent, of_host);
  const bool good = *sentence == 0 ? said.empty() : said.find(sentence) != std::string::npos;
  if (good) return;
  std::printf("FAILED: %s: expected \"%s\", not \"%s\"\n", what, sentence, said.c_str());
  ++failures;
}

}  // namespace

int main() {
  for (const unsigned order : {0u, 1u, 5u}) {
    emulation::set_order(order);
    refused("a barrier between threads", "", pass_on<true, 1>);
    refused("a thread's own numbers", "", pass_on<false, 0>);
    refused("no barrier", "no barrier lies between", pass_on<false, 1>);
    refused("a read beyond the end", "no memory of the GPU where it reads", read_beyond);
    refused("a write before the beginning", "no memory of the GPU where it writes", write_beyond);
    refused("a read beyond shared memory", "no memory of the GPU where it reads", read_shared_beyond);
    refused("the host's memory", "no memory of the GPU where it reads", pass_on<true, 1>, 1, false, true);
    refused("a shuffle of half a warp", "it waits for threads that do not come: shuffle", shuffle_alone);
    refused("a barrier of half a block", "it waits for threads that do not come: barrier", barrier_of_some);
    refused("one block", "", blocks_write_one_place);
    refused("two blocks write", "another block of the launch has touched what it writes", blocks_write_one_place, 2);
    refused("two blocks read and write", "another block of the launch has touched", blocks_read_each_other, 2);
    refused("a copy behind the barrier", "no barrier lies between", copy_is_not_awaited);
    refused("a wait", "", waits, 1, true);
    refused("an early read", "it does not wait for the kernel in front of it", waits_too_late, 1, true);
    refused("no wait at all", "it does not wait for the kernel in front of it", pass_on<true, 1>, 1, true);
    refused("an early start of the next", "it lets the next kernel begin before", lets_begin_too_early, 1, true);
  }
  return failures == 0 ? 0 : 1;
}
