// Philox-4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011. The same key and counter give the same four words on every backend.
#pragma once

#include <array>
#include <cstdint>

namespace lf {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) noexcept;

}  // namespace lf
