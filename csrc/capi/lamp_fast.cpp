#include "lamp_fast.h"

#include "codebook.h"

extern "C" {

uint32_t lf_abi_version(void) { return LF_ABI_VERSION; }

const char* lf_status_string(lf_status status) {
  switch (status) {
    case LF_OK:
      return "success";
    case LF_ERROR_INVALID_ARGUMENT:
      return "an argument is NULL or has an impossible size";
    case LF_ERROR_NOT_FINITE:
      return "an input vector holds NaN or an infinity";
    default:
      return "unknown status";
  }
}

lf_status lf_codebook_lookup(const float* x, uint64_t rows, const float* codebook, uint64_t codes, uint64_t width,
                             int64_t* indices) {
  if (codes == 0 || width == 0 || codebook == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  if (rows > 0 && (x == nullptr || indices == nullptr)) return LF_ERROR_INVALID_ARGUMENT;
  return lf::codebook_lookup(x, rows, codebook, codes, width, indices) ? LF_OK : LF_ERROR_NOT_FINITE;
}

}  // extern "C"
