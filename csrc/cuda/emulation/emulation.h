// Kernels on the CPU, for tests: blocks one after the other, the threads of a block as fibers that stop at barriers and
// where lanes of a warp exchange values. Slow, and stricter than a GPU: memory starts as NaN, copies in the background
// arrive as late as they may, fibers run in an order that the test chooses, and what a GPU would hang on is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace lf::cuda::emulation {

struct Position {
  int thread;
  int block[3];
};

constexpr std::size_t kSlot = 32;  // bytes a lane can hand to its warp at once

// In which order fibers run between two barriers: 0 as they are numbered, 1 from the last to the first, else shuffled.
void set_order(unsigned seed);

// body() once for each of `threads` threads of each block, by threads of this process that no other run uses. Prints a
// sentence and aborts where threads wait for each other in vain or do not agree on what they do.
void run(const unsigned (&grid)[3], unsigned threads, std::size_t shared_bytes, const std::function<void()>& body);

// For the fiber that runs.
const Position& current();
unsigned char* shared_memory();
void block_barrier();
// Every lane hands over `bytes`; returns the slots of all lanes, which stay until the exchange after the next.
const unsigned char* exchange(const void* value, std::size_t bytes, const char* what);
void copy_async(void* shared, const void* global, std::size_t bytes, bool inside);
void copy_async_commit();
void copy_async_wait(std::size_t pending);
void load_matrices(std::uint32_t (&matrix)[4], const void* row, bool transposed);
void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bool half);

}  // namespace lf::cuda::emulation
