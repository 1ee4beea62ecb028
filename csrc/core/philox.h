// Philox-4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011. The same key and counter give the same four words on every backend.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lf {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// A word as a number in [0, 1), of 24 random bits.
inline float philox_unit(std::uint32_t word) noexcept { return static_cast<float>(word >> 8) * 0x1p-24f; }

PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) noexcept;

// The noise of masked decoding: out[b][n][k] in [0, 1) with 24 random bits, keyed by seeds[b], counted by
// (samples[b], step, n, k / 4); k % 4 picks the word.
//
// seeds (batch), samples (batch), out (batch, positions, codes); all contiguous.
void philox_uniform(const std::int64_t* seeds, const std::int64_t* samples, std::uint32_t step, std::size_t batch,
                    std::size_t positions, std::size_t codes, float* out) noexcept;

}  // namespace lf
