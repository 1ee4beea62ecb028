// Writes a model file of random weights for the tests that read one: write_tiny_model FILE
#include "tiny_model.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  lf::TinyModel model;
  model.max_tokens = 49;
  const std::vector<unsigned char> bytes = lf::tiny_model(model);
  std::FILE* file = std::fopen(argv[1], "wb");
  if (file == nullptr) return 1;
  const bool good = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return std::fclose(file) == 0 && good ? 0 : 1;
}
