#define LF_VNNI_BF16 1
#include "kernels.h"

namespace {
constexpr std::size_t kPanelVectors = 2;
constexpr int kTileRows = 14;  // 28 of 32 registers hold sums
}  // namespace
#define LF_UNROLL _Pragma("GCC unroll 16")
using std::int32_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;
#include "simd_avx512.h"
#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsAvx512VnniBf16;
const Kernels kKernelsAvx512VnniBf16 = {Isa::avx512_vnni_bf16,
  {tile_kernel<Dot32>(1), tile_kernel<Dot16>(2), tile_kernel<Dot8>(4)},
  &finish, &prepare_row, &softmax, &pack_keys, &pack_values, &scale_rows, &convert, &exp_all, &log_all, &gelu_all, &dot};

}  // namespace lf
