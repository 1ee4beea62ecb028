// Writes what the fuzzers begin with into FOLDER/model_file and FOLDER/config, which are there.
#include <cstdio>
#include <string>

#include "../tests/tiny_model.h"

namespace {

bool write(const std::string& path, const void* data, std::size_t bytes) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  const bool written = file != nullptr && std::fwrite(data, 1, bytes, file) == bytes;
  return (file == nullptr || std::fclose(file) == 0) && written;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::string folder = arguments[1];
  for (const lf::Dtype storage : {lf::Dtype::f32, lf::Dtype::bf16, lf::Dtype::i8}) {
    for (const bool whole : {true, false}) {
      lf::TinyModel model;
      model.storage = storage;
      model.generator = model.length = model.reads_motions = whole;
      model.motion_encoder = !whole;
      model.conv_width = 2;  // small files are changed more often
      const lf::TinyFile file(model);
      const std::string name = std::to_string(static_cast<int>(storage)) + (whole ? "-whole" : "-part");
      const std::vector<unsigned char> bytes = file.bytes();
      const std::string config = file.config();
      if (!write(folder + "/model_file/" + name, bytes.data(), bytes.size()) ||
          !write(folder + "/config/" + name, config.data(), config.size())) {
        return 1;
      }
    }
  }
  return 0;
}
