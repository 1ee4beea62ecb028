#include "kernels.h"
#include "simd_avx512.h"

#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsAvx512;
const Kernels kKernelsAvx512 = kernels_of<Dot32, void, Dot8, 10>(Isa::avx512);

}  // namespace lf
