#include "kernels.h"

namespace {
constexpr std::size_t kPanelVectors = 2;
constexpr int kTileRows = 10;  // 20 of 32 registers hold sums
}  // namespace
#define LF_UNROLL _Pragma("GCC unroll 16")
using std::int32_t;
using std::int8_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;
#include "simd_neon.h"
#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsNeon;
const Kernels kKernelsNeon = kernels_of<Dot32, void, Dot8>(Isa::neon);

}  // namespace lf
