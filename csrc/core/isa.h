// Which instructions the machine has.
#pragma once

#include <cstdint>

namespace lf {

enum class Isa : std::uint8_t { portable, avx2, avx512, avx512_vnni_bf16, neon };

constexpr Isa kIsas[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_vnni_bf16, Isa::neon};

const char* isa_name(Isa isa) noexcept;

// Whether this build holds code for it and both processor and operating system run it.
bool isa_available(Isa isa) noexcept;

// The best of those available; found once.
Isa best_isa() noexcept;

}  // namespace lf
