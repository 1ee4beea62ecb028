// The nearest code of a vector, exactly.
#pragma once

#include <cstddef>
#include <cstdint>

#include "executor.h"
#include "kernels.h"

namespace lf {

// indices[m] = the code nearest to x[m] by squared Euclidean distance; the lowest index wins a tie.
// Float sums find the nearest; where their rounding could decide, distances in double precision do.
// A row for which no distance is finite gets -1. Returns whether every row found its code.
//
// x (rows, width), codebook (codes, width), indices (rows); all contiguous.
// scratch: codebook_scratch(kernels, executor, codes, width) bytes, aligned to kAlignment.
bool codebook_lookup(const Kernels& kernels, const Executor& executor, const float* x, std::size_t rows,
                     const float* codebook, std::size_t codes, std::size_t width, std::int64_t* indices,
                     void* scratch) noexcept;

std::size_t codebook_scratch(const Kernels& kernels, const Executor& executor, std::size_t codes, std::size_t width,
                             std::size_t levels = 1) noexcept;

// The same on the best instruction set, on this thread. It takes its scratch from the system, and without any is as
// exact and slower.
bool codebook_lookup(const float* x, std::size_t rows, const float* codebook, std::size_t codes, std::size_t width,
                     std::int64_t* indices) noexcept;

// Each level finds the nearest code of what the levels before it left, a difference in float.
// A row that finds no code on a level gets -1 there and goes on unchanged. Returns whether every row found all of them.
//
// codebooks (levels, codes, width), indices (rows, levels); quantized (rows, width) or nullptr: the sum of a row's
// codes.
bool residual_codebook_lookup(const Kernels& kernels, const Executor& executor, const float* x, std::size_t rows,
                              const float* codebooks, std::size_t levels, std::size_t codes, std::size_t width,
                              std::int64_t* indices, float* quantized, void* scratch) noexcept;

}  // namespace lf
