#pragma once

#include <cstddef>
#include <cstdint>

namespace lf {

// indices[m] = the code nearest to x[m] by squared Euclidean distance; the lowest index wins a tie.
// Differences and sums are in double precision, so that rounding never decides between float inputs that differ.
// A row for which no distance is finite gets -1. Returns whether every row found its code.
//
// x (rows, width), codebook (codes, width), indices (rows); all contiguous.
bool codebook_lookup(const float* x, std::size_t rows, const float* codebook, std::size_t codes, std::size_t width,
                     std::int64_t* indices) noexcept;

}  // namespace lf
