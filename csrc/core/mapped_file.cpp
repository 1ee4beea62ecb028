#include "mapped_file.h"

#include <utility>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#endif

namespace lf {
namespace {

bool cannot_read(Error& error, const char* path, const char* reason) noexcept {
  return fail(error, status::file, "cannot read %.150s: %s", path, reason);
}

}  // namespace

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

#if defined(_WIN32)

bool MappedFile::open(const char* path, Error& error) noexcept {
  close();
  wchar_t wide[4096];
  if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, 4096) == 0) {
    return cannot_read(error, path, "the name is not UTF-8, or too long");
  }
  const HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, 0, nullptr);
  if (file == INVALID_HANDLE_VALUE) return cannot_read(error, path, "there is no such file, or it may not be read");
  LARGE_INTEGER size;
  bool done = GetFileSizeEx(file, &size) != 0 && static_cast<ULONGLONG>(size.QuadPart) <= SIZE_MAX;
  if (done && size.QuadPart > 0) {
    const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
    if (mapping != nullptr) data_ = static_cast<unsigned char*>(MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0));
    if (mapping != nullptr) CloseHandle(mapping);
    done = data_ != nullptr;
  }
  CloseHandle(file);
  if (!done) return cannot_read(error, path, "it cannot be mapped into memory");
  size_ = static_cast<std::size_t>(size.QuadPart);
  return true;
}

void MappedFile::close() noexcept {
  if (data_ != nullptr) UnmapViewOfFile(data_);
  data_ = nullptr;
  size_ = 0;
}

#else

bool MappedFile::open(const char* path, Error& error) noexcept {
  close();
  // Without O_NONBLOCK, a pipe of that name would keep the caller waiting for its writer.
  const int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return cannot_read(error, path, errno == ENOENT ? "there is no such file" : std::strerror(errno));
  struct stat state;
  const char* reason = nullptr;
  if (::fstat(file, &state) != 0) {
    reason = std::strerror(errno);
  } else if (!S_ISREG(state.st_mode)) {
    reason = "it is not a file";
  } else if (static_cast<std::uintmax_t>(state.st_size) > SIZE_MAX) {
    reason = "it is larger than the memory of this machine";
  } else if (state.st_size > 0) {
    void* const data = ::mmap(nullptr, static_cast<std::size_t>(state.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
      reason = std::strerror(errno);
    } else {
      data_ = static_cast<unsigned char*>(data);
      size_ = static_cast<std::size_t>(state.st_size);
    }
  }
  ::close(file);
  return reason == nullptr || cannot_read(error, path, reason);
}

void MappedFile::close() noexcept {
  if (data_ != nullptr) ::munmap(const_cast<unsigned char*>(data_), size_);
  data_ = nullptr;
  size_ = 0;
}

#endif

}  // namespace lf
