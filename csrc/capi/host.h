// Where the memory of a model or of a session comes from: the caller's allocator, the caller's arena, or the system.
#pragma once

#include <cstdint>

#include "error.h"
#include "lamp_fast.h"
#include "memory.h"

namespace lf::capi {

inline bool is_whole(const lf_allocator* allocator, Error& error) noexcept {
  if (allocator == nullptr || (allocator->allocate != nullptr && allocator->release != nullptr)) return true;
  return fail(error, LF_ERROR_INVALID_ARGUMENT, "the allocator lacks allocate or release");
}

class Host {
 public:
  Host() noexcept : system_(system_allocator()) {}
  explicit Host(const lf_allocator& caller) noexcept : caller_(caller), system_(system_allocator()) {}
  Host(void* arena, std::uint64_t bytes) noexcept : system_(system_allocator()), has_arena_(true) {
    const auto address = reinterpret_cast<std::uintptr_t>(arena);
    const std::uintptr_t first = round_up(address, kAlignment);
    next_ = reinterpret_cast<unsigned char*>(first);
    left_ = bytes > first - address ? bytes - (first - address) : 0;
  }

  void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    const std::size_t whole = round_up(bytes, kAlignment);
    void* memory = nullptr;
    if (has_arena_) {
      if (whole <= left_) {
        memory = next_;
        next_ += whole;
        left_ -= whole;
      }
    } else if (caller_.allocate != nullptr) {
      memory = caller_.allocate(whole, alignment < kAlignment ? kAlignment : alignment, caller_.user_data);
    } else {
      memory = system_.allocate(whole, alignment, system_.user);
    }
    if (memory != nullptr) bytes_ += whole;
    return memory;
  }

  void release(void* memory) noexcept {
    if (has_arena_ || memory == nullptr) return;
    if (caller_.allocate == nullptr) return system_.release(memory, system_.user);
    caller_.release(memory, caller_.user_data);
  }

  // The host must stay where it is as long as the allocator is used.
  Allocator allocator() noexcept {
    return {[](std::size_t bytes, std::size_t alignment, void* user) {
              return static_cast<Host*>(user)->allocate(bytes, alignment);
            },
            [](void* memory, void* user) { static_cast<Host*>(user)->release(memory); }, this};
  }

  // All that was ever allocated.
  std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  lf_allocator caller_{};
  Allocator system_;
  bool has_arena_ = false;
  unsigned char* next_ = nullptr;
  std::uint64_t left_ = 0, bytes_ = 0;
};

}  // namespace lf::capi
