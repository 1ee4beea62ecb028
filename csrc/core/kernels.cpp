#include "kernels.h"

namespace lf {

extern const Kernels kKernelsPortable;
#if defined(LF_HAS_AVX2)
extern const Kernels kKernelsAvx2;
#endif
#if defined(LF_HAS_AVX512)
extern const Kernels kKernelsAvx512;
extern const Kernels kKernelsAvx512VnniBf16;
#endif
#if defined(LF_HAS_NEON)
extern const Kernels kKernelsNeon;
#endif

const Kernels* find_kernels(Isa isa) noexcept {
  if (!isa_available(isa)) return nullptr;
  switch (isa) {
#if defined(LF_HAS_AVX2)
    case Isa::avx2:
      return &kKernelsAvx2;
#endif
#if defined(LF_HAS_AVX512)
    case Isa::avx512:
      return &kKernelsAvx512;
    case Isa::avx512_vnni_bf16:
      return &kKernelsAvx512VnniBf16;
#endif
#if defined(LF_HAS_NEON)
    case Isa::neon:
      return &kKernelsNeon;
#endif
    default:
      return &kKernelsPortable;
  }
}

const Kernels& best_kernels() noexcept { return *find_kernels(best_isa()); }

}  // namespace lf
