// What a test program asks: main returns whether `failures` is 0.
#pragma once

#include <cstdio>

inline int failures = 0;

inline void expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what);
  ++failures;
}
