#include "../../python/bindings.h"

PYBIND11_MODULE(cuda_emulated, module) { bind_cuda(module); }
