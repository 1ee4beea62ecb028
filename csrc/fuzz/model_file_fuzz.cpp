// libFuzzer: any bytes as a model file.
#include "use_model.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  lf::use_model(data, size);
  return 0;
}
