#include "lamp_fast.h"

#include "codebook.h"

extern "C" {

uint32_t lf_abi_version(void) { return LF_ABI_VERSION; }

const char* lf_version(void) { return LAMP_FAST_VERSION; }

const char* lf_status_string(lf_status status) {
  switch (status) {
    case LF_OK:
      return "success";
    case LF_PENDING:
      return "the work is not done yet";
    case LF_UNDERRUN:
      return "the stream has no frame for that time and holds its pose";
    case LF_ERROR_INVALID_ARGUMENT:
      return "an argument is NULL or out of its range";
    case LF_ERROR_NOT_FINITE:
      return "the numbers given hold NaN or an infinity";
    case LF_ERROR_OUT_OF_MEMORY:
      return "there is not enough memory";
    case LF_ERROR_FILE:
      return "the file cannot be opened or read";
    case LF_ERROR_FORMAT:
      return "this is no model file, or a damaged one";
    case LF_ERROR_UNSUPPORTED:
      return "the model lacks the part that this needs, or is of another version";
    case LF_ERROR_TEXT:
      return "the model cannot read this text";
    case LF_ERROR_STRUCT_SIZE:
      return "struct_size is not the size of the struct that this library knows";
    case LF_ERROR_TOO_LONG:
      return "there are more frames than the model or the stream takes";
    case LF_ERROR_TOO_SMALL:
      return "an array of the caller is too small";
    case LF_ERROR_FULL:
      return "all requests or streams of the session are in use";
    case LF_ERROR_NO_REQUEST:
      return "the request was released or never was";
    case LF_ERROR_CANCELLED:
      return "the request was cancelled";
    case LF_ERROR_DEADLINE:
      return "the request was not done in time";
    case LF_ERROR_INTERNAL:
      return "a fault of the library; please report it";
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
