#include "isa.h"

#if defined(__x86_64__) && (defined(LF_HAS_AVX2) || defined(LF_HAS_AVX512))
#include <cpuid.h>
#endif

namespace lf {
namespace {

struct Found {
  bool avx2 = false, avx512 = false, avx512_vnni_bf16 = false;
};

#if defined(__x86_64__) && (defined(LF_HAS_AVX2) || defined(LF_HAS_AVX512))

constexpr bool bit(unsigned word, unsigned index) { return (word >> index & 1) != 0; }

// Which registers the operating system saves.
unsigned saved_registers() noexcept {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

Found find() noexcept {
  Found found;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27) || !bit(c, 28) || !bit(c, 12) || !bit(c, 29)) return found;
  const unsigned saved = saved_registers();
  if ((saved & 0x6) != 0x6) return found;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = bit(b, 5) && bit(b, 8);
  // F, DQ, BW, VL
  found.avx512 = found.avx2 && (saved & 0xe0) == 0xe0 && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
  const bool vnni = bit(c, 11);
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return found;
  found.avx512_vnni_bf16 = found.avx512 && vnni && bit(a, 5);
  return found;
}

#else

Found find() noexcept { return {}; }

#endif

}  // namespace

const char* isa_name(Isa isa) noexcept {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_vnni_bf16:
      return "avx512_vnni_bf16";
    case Isa::neon:
      return "neon";
  }
  return "unknown";
}

bool isa_available(Isa isa) noexcept {
  static const Found found = find();
  static_cast<void>(found);  // of no use to a build for other machines
  switch (isa) {
    case Isa::portable:
      return true;
#if defined(LF_HAS_AVX2)
    case Isa::avx2:
      return found.avx2;
#endif
#if defined(LF_HAS_AVX512)
    case Isa::avx512:
      return found.avx512;
    case Isa::avx512_vnni_bf16:
      return found.avx512_vnni_bf16;
#endif
#if defined(LF_HAS_NEON)
    case Isa::neon:
      return true;
#endif
    default:
      return false;
  }
}

Isa best_isa() noexcept {
  constexpr Isa kBestFirst[] = {Isa::avx512_vnni_bf16, Isa::avx512, Isa::avx2, Isa::neon};
  for (const Isa isa : kBestFirst) {
    if (isa_available(isa)) return isa;
  }
  return Isa::portable;
}

}  // namespace lf
