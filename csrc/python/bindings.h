// The parts of lamp_fast._native, each in a file of its own.
#pragma once

#include <pybind11/pybind11.h>

void bind_cuda(pybind11::module_& module);  // where csrc/cuda is built
void bind_files(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_motion(pybind11::module_& module);
