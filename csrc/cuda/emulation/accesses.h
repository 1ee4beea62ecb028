// What kernels read and write, looked at as they do it: whether it is the GPU's memory, and whether a barrier, or the
// end of a kernel, lies between what one thread writes and another reads or writes.
#pragma once

#include <cstddef>

namespace lf::cuda::emulation {

struct Range {
  const unsigned char* begin = nullptr;
  std::size_t bytes = 0;
};

// dependent: before a thread has waited for the kernel in front, it writes nothing, and reads nothing of a kernel's.
void begin_launch(Range parameters, Range shared, bool dependent);
void begin_block();
void pass_barrier();
// What this block does from now on, it does behind all that other blocks of the launch have done.
void see_other_blocks();

// Who runs from now on; nobody with a thread below zero.
struct Runner {
  int thread = -1;
  Range stack;
  bool waited = false;
};
void let_touch(const Runner& runner);

// By whoever runs; nothing else is looked at.
void touch(const void* address, std::size_t bytes, bool writes);

// Prints a sentence about whoever runs, and aborts.
[[noreturn]] void refuse(const char* sentence, const char* detail = "");

}  // namespace lf::cuda::emulation
