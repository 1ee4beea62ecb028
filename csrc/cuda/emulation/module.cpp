#include "../../python/bindings.h"
#include "emulation.h"

PYBIND11_MODULE(cuda_emulated, module) {
  lf::cuda::emulation::allow_other_memory();  // PyTorch's, of a CPU
  bind_cuda(module);
}
