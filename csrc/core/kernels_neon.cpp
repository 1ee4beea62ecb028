#include "kernels.h"
#include "simd_neon.h"

#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsNeon;
const Kernels kKernelsNeon = kernels_of<Dot32, void, Dot8>(Isa::neon);

}  // namespace lf
