// A file as memory, for reading.
#pragma once

#include <cstddef>

#include "error.h"

namespace lf {

class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { close(); }

  // path: UTF-8. An empty file is mapped as no bytes.
  bool open(const char* path, Error& error) noexcept;
  void close() noexcept;

  const unsigned char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  const unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace lf
