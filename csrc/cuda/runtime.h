// What the host asks of a GPU: memory, launches, graphs. A C++ compiler gets the same of the emulation, where memory is
// the CPU's and a graph is a list of launches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "device.h"
#include "error.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include <functional>
#include <vector>
#endif

namespace lf::cuda {

struct Launch {
  unsigned grid[3];
  unsigned threads;
  std::size_t shared_bytes;
  void* stream;
  bool dependent;  // may begin before the kernel in front of it ends; every kernel waits for that itself
};

#if defined(__CUDACC__)

inline bool succeeded(cudaError_t result, const char* what, Error& error) {
  if (result == cudaSuccess) return true;
  cudaGetLastError();  // what was not fatal must not be found by the next call
  if (result == cudaErrorInsufficientDriver || result == cudaErrorNoDevice || result == cudaErrorStubLibrary) {
    return fail(error, status::no_device, "There is no CUDA GPU that this library can use: %s.",
                cudaGetErrorString(result));
  }
  return fail(error, result == cudaErrorMemoryAllocation ? status::out_of_memory : status::device,
              "The GPU could not %s: %s.", what, cudaGetErrorString(result));
}

// The current one must know what device.h is written in.
inline bool find_device(Error& error) {
  int count = 0, device = 0, capability = 0;
  if (!succeeded(cudaGetDeviceCount(&count), "be found", error)) return false;
  if (count == 0) return fail(error, status::no_device, "There is no CUDA GPU in this machine.");
  if (!succeeded(cudaGetDevice(&device), "be found", error) ||
      !succeeded(cudaDeviceGetAttribute(&capability, cudaDevAttrComputeCapabilityMajor, device), "be asked", error)) {
    return false;
  }
  return capability >= 8 ||
         fail(error, status::no_device, "The GPU has compute capability %d.x; this library needs 8.0.", capability);
}

inline bool use_device(int device, Error& error) { return succeeded(cudaSetDevice(device), "be chosen", error); }

// Multiprocessors of the current device.
inline bool count_processors(int& count, Error& error) {
  int device = 0;
  return succeeded(cudaGetDevice(&device), "be found", error) &&
         succeeded(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "be asked", error);
}

// Whether the code that runs here has wait_for_previous_kernel: not what the driver makes of older PTX.
inline bool waits(const void* function) {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, function) == cudaSuccess && attributes.ptxVersion >= 90;
}

// As much shared memory as a block can have, never less than another thread or a graph has asked for.
inline bool allow_shared_memory(const void* function, Error& error) {
  int device = 0, most = 0;
  return succeeded(cudaGetDevice(&device), "be found", error) &&
         succeeded(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "be asked", error) &&
         succeeded(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
                   "give a kernel its shared memory", error);
}

template <typename... Arguments>
bool launch(void (*kernel)(Arguments...), const Launch& how, Error& error, Arguments... arguments) {
  const void* function = reinterpret_cast<const void*>(kernel);
  if (how.shared_bytes > 48 << 10 && !allow_shared_memory(function, error)) return false;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(how.grid[0], how.grid[1], how.grid[2]);
  config.blockDim = dim3(how.threads);
  config.dynamicSmemBytes = how.shared_bytes;
  config.stream = static_cast<cudaStream_t>(how.stream);
  config.attrs = &attribute;
  config.numAttrs = how.dependent && waits(function) ? 1 : 0;
  return succeeded(cudaLaunchKernelEx(&config, kernel, arguments...), "start a kernel", error);
}

inline bool allocate(void** memory, std::size_t bytes, Error& error) {
  return succeeded(cudaMalloc(memory, bytes), "allocate memory", error);
}
inline void release(void* memory) { cudaFree(memory); }

// From and to memory of either side, behind what the stream holds already.
inline bool copy(void* to, const void* from, std::size_t bytes, void* stream, Error& error) {
  return succeeded(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream)),
                   "copy memory", error);
}
inline bool clear(void* memory, std::size_t bytes, void* stream, Error& error) {
  return succeeded(cudaMemsetAsync(memory, 0, bytes, static_cast<cudaStream_t>(stream)), "clear memory", error);
}
inline bool synchronize(void* stream, Error& error) {
  return succeeded(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "finish", error);
}

// The launches that `record` makes on the stream it is given, ready to be made again at once.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  }

  template <typename Record>
  bool capture(Record record, Error& error) {
    cudaStream_t stream = nullptr;
    if (!succeeded(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a stream", error)) return false;
    cudaGraph_t graph = nullptr;
    // Relaxed: the first launch of a kernel may load it.
    bool good = succeeded(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "record a graph", error);
    if (good) {
      good = record(stream);
      const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
      good = good && succeeded(ended, "record a graph", error) &&
             succeeded(cudaGraphInstantiate(&executable_, graph, 0), "build a graph", error);
      if (graph != nullptr) cudaGraphDestroy(graph);
    }
    cudaStreamDestroy(stream);
    return good;
  }

  bool launch(void* stream, Error& error) const {
    return succeeded(cudaGraphLaunch(executable_, static_cast<cudaStream_t>(stream)), "start a graph", error);
  }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

#else

namespace emulation {
inline std::vector<std::function<void()> >* recording = nullptr;
}

inline bool find_device(Error&) { return true; }
inline bool use_device(int, Error&) { return true; }
inline bool count_processors(int& count, Error&) {
  count = 4;
  return true;
}

// Refuses what some GPU of compute capability 8.x would refuse.
template <typename... Arguments>
bool launch(void (*kernel)(Arguments...), const Launch& how, Error& error, Arguments... arguments) {
  if (how.shared_bytes > 99 << 10 || how.grid[0] > 0x7fffffff || how.grid[1] > 65535 || how.grid[2] > 65535 ||
      how.grid[0] == 0 || how.grid[1] == 0 || how.grid[2] == 0) {
    return fail(error, status::device, "%u x %u x %u blocks with %llu bytes of shared memory do not fit on a GPU.",
                how.grid[0], how.grid[1], how.grid[2], static_cast<unsigned long long>(how.shared_bytes));
  }
  const auto body = [=] { kernel(arguments...); };
  const auto run = [=] {
    emulation::run(
        how.grid, how.threads, how.shared_bytes, how.dependent,
        [](const void* it) { (*static_cast<decltype(body)*>(it))(); }, &body, sizeof body);
  };
  if (emulation::recording != nullptr) {
    emulation::recording->push_back(run);
  } else {
    run();
  }
  return true;
}

inline bool allocate(void** memory, std::size_t bytes, Error&) {
  *memory = emulation::allocate(bytes);
  return true;
}
inline void release(void* memory) { emulation::release(memory); }
inline bool copy(void* to, const void* from, std::size_t bytes, void*, Error&) {
  const auto run = [=] { std::memcpy(to, from, bytes); };
  if (emulation::recording != nullptr) {
    emulation::recording->push_back(run);
  } else {
    run();
  }
  return true;
}
inline bool clear(void* memory, std::size_t bytes, void*, Error&) {
  std::memset(memory, 0, bytes);
  return true;
}
inline bool synchronize(void*, Error&) { return true; }

class Graph {
 public:
  template <typename Record>
  bool capture(Record record, Error&) {
    emulation::recording = &launches_;
    const bool good = record(static_cast<void*>(nullptr));
    emulation::recording = nullptr;
    return good;
  }
  bool launch(void*, Error&) const {
    for (const auto& run : launches_) run();
    return true;
  }

 private:
  std::vector<std::function<void()> > launches_;
};

#endif

// Memory of the GPU with one owner.
class Memory {
 public:
  Memory() = default;
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory() {
    if (data_ != nullptr) release(data_);
  }

  bool allocate(std::size_t bytes, Error& error) {
    *this = Memory();
    if (!cuda::allocate(&data_, bytes, error)) return false;
    bytes_ = bytes;
    return true;
  }
  std::size_t bytes() const { return bytes_; }
  template <typename T>
  T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(static_cast<unsigned char*>(data_) + offset);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lf::cuda
