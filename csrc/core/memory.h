// Memory from the caller: an allocator for what is kept, an arena for what a call needs while it runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace lf {

constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

constexpr std::size_t round_up(std::size_t size, std::size_t multiple) noexcept {
  return (size + multiple - 1) / multiple * multiple;
}

// Where memory comes from. `allocate` returns nullptr when there is none; `alignment` is a power of two.
struct Allocator {
  void* (*allocate)(std::size_t bytes, std::size_t alignment, void* user);
  void (*release)(void* memory, void* user);
  void* user;
};

// operator delete must be told the alignment, so everything gets the same.
inline void* system_allocate(std::size_t bytes, std::size_t alignment, void*) noexcept {
  if (alignment > kAlignment) return nullptr;
  return ::operator new(bytes, std::align_val_t{kAlignment}, std::nothrow);
}
inline void system_release(void* memory, void*) noexcept { ::operator delete(memory, std::align_val_t{kAlignment}); }

inline Allocator system_allocator() noexcept { return {system_allocate, system_release, nullptr}; }

// An array of plain values that nobody else holds; its contents begin undefined. Throws std::bad_alloc when made.
template <class T>
class Buffer {
 public:
  Buffer() noexcept = default;
  Buffer(std::size_t size, const Allocator& allocator) : allocator_(allocator) {
    if (size == 0) return;
    if (size > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
    data_ = static_cast<T*>(allocator.allocate(size * sizeof(T), kAlignment, allocator.user));
    if (data_ == nullptr) throw std::bad_alloc();
    size_ = size;
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) allocator_.release(data_, allocator_.user);
  }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  T* begin() noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  const T* begin() const noexcept { return data_; }
  const T* end() const noexcept { return data_ + size_; }

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(allocator_, other.allocator_);
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  Allocator allocator_{};
};

// The same memory for the standard containers, which are for loading only.
template <class T>
class StlAllocator {
 public:
  using value_type = T;
  // What is moved keeps the memory that it has.
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  StlAllocator() noexcept : source(system_allocator()) {}
  explicit StlAllocator(const Allocator& allocator) noexcept : source(allocator) {}
  template <class U>
  StlAllocator(const StlAllocator<U>& other) noexcept : source(other.source) {}

  T* allocate(std::size_t count) {
    if (count > SIZE_MAX / 2 / sizeof(T)) throw std::bad_alloc();
    void* memory = source.allocate(count * sizeof(T), alignof(T), source.user);
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t) noexcept { source.release(memory, source.user); }
  template <class U>
  bool operator==(const StlAllocator<U>& other) const noexcept {
    return source.allocate == other.source.allocate && source.user == other.source.user;
  }
  template <class U>
  bool operator!=(const StlAllocator<U>& other) const noexcept {
    return !(*this == other);
  }

  Allocator source;
};

template <class T>
using Vector = std::vector<T, StlAllocator<T>>;

// Memory handed out from front to back, every piece aligned to a cache line. An arena without memory only measures:
// lay out with `Arena()`, allocate `used()` bytes aligned to kAlignment, lay out again with an arena over them.
class Arena {
 public:
  Arena() noexcept = default;
  Arena(void* memory, std::size_t size) noexcept : memory_(static_cast<unsigned char*>(memory)), size_(size) {}

  // `count` values, undefined; nullptr while measuring, or where the memory ends.
  template <class T>
  T* take(std::size_t count) noexcept {
    const std::size_t first = used_;
    used_ += round_up(count * sizeof(T), kAlignment);
    if (memory_ == nullptr || used_ > size_) return nullptr;
    return reinterpret_cast<T*>(memory_ + first);
  }

  std::size_t used() const noexcept { return used_; }

  // Gives back what was taken since `used()` was `mark`.
  void rewind(std::size_t mark) noexcept { used_ = mark; }

 private:
  unsigned char* memory_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

// A T beside the memory that its lay_out(arena, options...) takes. Throws std::bad_alloc when made.
template <class T>
struct Placed {
  Placed() noexcept = default;
  template <class... Options>
  explicit Placed(const Allocator& allocator, const Options&... options) {
    Arena measure;
    value.lay_out(measure, options...);
    memory = Buffer<unsigned char>(measure.used(), allocator);
    Arena arena(memory.data(), memory.size());
    value.lay_out(arena, options...);
  }

  Buffer<unsigned char> memory;
  T value;
};

}  // namespace lf
