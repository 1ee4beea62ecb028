#include "kernels.h"

namespace {
constexpr std::size_t kPanelVectors = 1;
constexpr int kTileRows = 4;
}  // namespace
#define LF_UNROLL
using std::int32_t;
using std::int8_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;
#include "simd_portable.h"
#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsPortable;
const Kernels kKernelsPortable = kernels_of<Dot32, void, Dot8>(Isa::portable);

}  // namespace lf
