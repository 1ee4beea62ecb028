// libFuzzer: any text as the configuration in a file whose tensors are whole.
#include <string>

#include "../tests/tiny_model.h"
#include "use_model.h"

namespace {

lf::TinyFile small_file() {
  lf::TinyModel model;
  model.storage = lf::Dtype::i8;
  model.conv_width = 2;  // as the seeds have it
  return lf::TinyFile(model);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const lf::TinyFile file = small_file();
  const std::vector<unsigned char> bytes = file.bytes(std::string(reinterpret_cast<const char*>(data), size));
  lf::use_model(bytes.data(), bytes.size());
  return 0;
}
