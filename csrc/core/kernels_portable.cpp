#include "kernels.h"

namespace {
constexpr std::size_t kPanelVectors = 1;
constexpr int kTileRows = 4;
}  // namespace
#define LF_UNROLL
using std::int32_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint8_t;
#include "simd_portable.h"
#include "kernels_body.h"

namespace lf {

extern const Kernels kKernelsPortable;
const Kernels kKernelsPortable = {Isa::portable,
                                  {tile_kernel<Dot32>(1), {}, tile_kernel<Dot8>(4)},
                                  &finish, &prepare_row, &softmax, &pack_keys, &pack_values, &scale_rows, &convert, &exp_all, &log_all, &gelu_all, &dot};

}  // namespace lf
