#include "kernels.h"

#define LF_VNNI_BF16 1

namespace {
constexpr std::size_t kPanelVectors = 2;
constexpr int kTileRows = 14;  // 28 of 32 registers hold sums
}  // namespace
#define LF_UNROLL _Pragma("GCC unroll 16")
using std::int32_t;
using std::int8_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;
#include "simd_avx512.h"
#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsAvx512VnniBf16;
const Kernels kKernelsAvx512VnniBf16 = kernels_of<Dot32, Dot16, Dot8>(Isa::avx512_vnni_bf16);

}  // namespace lf
