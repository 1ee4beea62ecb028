#include "accesses.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "emulation.h"

namespace lf::cuda::emulation {
namespace {

// Who touched a byte last. Times count barriers and blocks, from 1.
struct Cell {
  std::uint32_t written, read;
  std::int16_t writer, reader;
};
constexpr std::int16_t kSeveral = -1;

struct Free {
  void operator()(Cell* cells) const { std::free(cells); }
};
using Cells = std::unique_ptr<Cell[], Free>;

Cells untouched(std::size_t bytes) {
  Cells cells(static_cast<Cell*>(std::calloc(bytes + 1, sizeof(Cell))));
  if (cells == nullptr) throw std::bad_alloc();
  return cells;
}

struct Memory {
  Range range;
  Cells cells;
};

std::mutex guard;
std::map<const unsigned char*, Memory> memories;  // by their begin

std::vector<Cell> shared_cells;
Range shared, parameters;
bool is_dependent = false, sees_others = false, knows_all_memory = true;
std::uint32_t now = 0, launch_began = 0, block_began = 0;
thread_local Runner running;

bool holds(const Range& range, const unsigned char* at, std::size_t bytes) {
  return at >= range.begin && static_cast<std::size_t>(at - range.begin) <= range.bytes &&
         bytes <= range.bytes - static_cast<std::size_t>(at - range.begin);
}

// Of the GPU's memory that holds all of it, or null.
Cell* find(const unsigned char* at, std::size_t bytes) {
  const std::lock_guard<std::mutex> lock(guard);
  auto above = memories.upper_bound(at);
  if (above == memories.begin()) return nullptr;
  const Memory& memory = std::prev(above)->second;
  return holds(memory.range, at, bytes) ? &memory.cells[at - memory.range.begin] : nullptr;
}

void look_at(Cell& cell, bool writes, bool of_block) {
  const auto thread = static_cast<std::int16_t>(running.thread);
  const bool written = cell.written == now && cell.writer != thread, read = cell.read == now && cell.reader != thread;
  if (written || (writes && read)) {
    refuse("no barrier lies between what it does and what another thread does: ",
           writes ? written ? "both write" : "one reads what it writes" : "it reads what the other writes");
  }
  if (!of_block && !sees_others) {
    const auto elsewhere = [](std::uint32_t time) { return time >= launch_began && time < block_began; };
    if (elsewhere(cell.written) || (writes && elsewhere(cell.read)))
      refuse("another block of the launch has touched what it ", writes ? "writes" : "reads");
  }
  if (!of_block && is_dependent && !running.waited && (writes || cell.written != 0))
    refuse("it does not wait for the kernel in front of it before it ",
           writes ? "writes" : "reads what that may write");
  if (writes) {
    cell.written = now, cell.writer = thread;
  } else {
    cell.reader = cell.read == now && cell.reader != thread ? kSeveral : thread;
    cell.read = now;
  }
}

}  // namespace

void begin_launch(Range given, Range block, bool dependent) {
  if (shared_cells.size() < block.bytes) shared_cells.resize(block.bytes);
  shared = block;
  parameters = given, is_dependent = dependent;
  launch_began = now + 1;
}

void begin_block() { block_began = ++now, sees_others = false; }
void pass_barrier() { ++now; }
void see_other_blocks() { sees_others = true; }
void let_touch(const Runner& runner) { running = runner; }

void touch(const void* address, std::size_t bytes, bool writes) {
  if (running.thread < 0) return;
  const auto* const at = static_cast<const unsigned char*>(address);
  if (holds(running.stack, at, bytes) || (!writes && holds(parameters, at, bytes))) return;
  const bool of_block = holds(shared, at, bytes);
  Cell* const cells = of_block ? &shared_cells[at - shared.begin] : find(at, bytes);
  if (cells == nullptr) {
    if (!knows_all_memory) return;
    refuse("there is no memory of the GPU where it ", writes ? "writes" : "reads");
  }
  for (std::size_t i = 0; i < bytes; ++i) look_at(cells[i], writes, of_block);
}

void allow_other_memory() { knows_all_memory = false; }

void* allocate(std::size_t bytes) {
  Cells cells = untouched(bytes);
  auto* const memory = static_cast<unsigned char*>(::operator new(bytes, std::align_val_t{kAligned}));
  std::memset(memory, 0xff, bytes);
  const std::lock_guard<std::mutex> lock(guard);
  memories[memory] = {{memory, bytes}, std::move(cells)};
  return memory;
}

void release(void* memory) {
  const std::lock_guard<std::mutex> lock(guard);
  memories.erase(static_cast<unsigned char*>(memory));
  ::operator delete(memory, std::align_val_t{kAligned});
}

}  // namespace lf::cuda::emulation

// What -fsanitize=thread makes a compiler call for each load and store; here in place of that sanitizer's own library.
#define LF_ACCESS(name, bytes, writes)                                                             \
  void __tsan_##name##bytes(void* address) { lf::cuda::emulation::touch(address, bytes, writes); } \
  void __tsan_unaligned_##name##bytes(void* address) { lf::cuda::emulation::touch(address, bytes, writes); }
#define LF_ACCESSES(bytes)      \
  LF_ACCESS(read, bytes, false) \
  LF_ACCESS(write, bytes, true)
extern "C" {
LF_ACCESSES(1)
LF_ACCESSES(2)
LF_ACCESSES(4)
LF_ACCESSES(8)
LF_ACCESSES(16)
void __tsan_read_range(void* address, unsigned long bytes) { lf::cuda::emulation::touch(address, bytes, false); }
void __tsan_write_range(void* address, unsigned long bytes) { lf::cuda::emulation::touch(address, bytes, true); }
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) {
  __tsan_read_range(const_cast<void*>(from), bytes);
  __tsan_write_range(to, bytes);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memset(void* to, int value, unsigned long bytes) {
  __tsan_write_range(to, bytes);
  return std::memset(to, value, bytes);
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
