#include "kernels.h"

#define LF_VNNI_BF16 1
#include "simd_avx512.h"

#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsAvx512VnniBf16;
const Kernels kKernelsAvx512VnniBf16 = kernels_of<Dot32, Dot16, Dot8>(Isa::avx512_vnni_bf16);

}  // namespace lf
