#include "kernels.h"
#include "simd_avx2.h"

#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsAvx2;
const Kernels kKernelsAvx2 = kernels_of<Dot32, void, Dot8, 4>(Isa::avx2);

}  // namespace lf
