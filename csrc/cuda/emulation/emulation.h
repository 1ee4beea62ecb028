// Kernels on the CPU, for tests: blocks one after the other, the threads of a block as fibers that stop at barriers and
// where lanes of a warp exchange values. Slow, and stricter than a GPU: memory starts as NaN, copies in the background
// arrive as late as they may, blocks and fibers run in an order that the test chooses, what a GPU would hang on is an
// error, and so is what accesses.h finds where kernels are compiled with -fsanitize=thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lf::cuda::emulation {

// In which order blocks run, and fibers between two barriers: 0 as they are numbered, 1 from the last to the first,
// else shuffled.
void set_order(unsigned seed);

// The GPU's memory, which alone kernels may touch, unless there is other memory that plays it.
constexpr std::size_t kAligned = 256;
void* allocate(std::size_t bytes);
void release(void* memory);
void allow_other_memory();

// kernel(parameters) once for each of `threads` threads of each block, one run at a time. Prints a sentence and aborts
// where threads wait for each other in vain, do not agree on what they do, or touch what they must not.
// dependent: each thread has to wait for the kernel in front of it.
void run(const unsigned (&grid)[3], unsigned threads, std::size_t shared_bytes, bool dependent,
         void (*kernel)(const void* parameters), const void* parameters, std::size_t parameter_bytes);

// For the fiber that runs.
int thread();
int block(int axis);
unsigned char* shared_memory();
void block_barrier();
// Every lane of a warp gives a value and takes that of the lane `from`.
void shuffle(void* value, std::size_t bytes, int from);
int arrive(int* counter);
void copy_async(void* shared, const void* global, std::size_t bytes, bool inside);
void copy_async_commit();
void copy_async_wait(std::size_t pending);
void load_matrices(std::uint32_t (&matrix)[4], const void* row, bool transposed);
void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1, bool half);
void wait_for_previous_kernel();
void let_next_kernel_begin();

}  // namespace lf::cuda::emulation
