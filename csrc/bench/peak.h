#pragma once

#include <cstddef>

#include "linear.h"

// Runs the machine's own instruction for products of this precision from registers; returns how many operations, two to
// a multiplication and addition, it did. 0 where the build has no such instruction.
std::size_t peak_operations(lf::Precision precision, std::size_t rounds);
