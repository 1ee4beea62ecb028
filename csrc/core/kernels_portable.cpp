#include "kernels.h"
#include "simd_portable.h"

#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsPortable;
const Kernels kKernelsPortable = kernels_of<Dot32, void, Dot8>(Isa::portable);

}  // namespace lf
