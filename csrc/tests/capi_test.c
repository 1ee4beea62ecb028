/* The header and the library as a C99 program meets them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lamp_fast.h"

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  printf("FAILED: %s\n", what);
  ++failures;
}

int main(void) {
  const float codebook[] = {0.0f, 0.0f, 1.0f, 1.0f, 2.0f, 0.0f};
  float x[] = {1.9f, 0.2f, 0.1f, -0.1f};
  int64_t indices[2] = {-7, -7};

  expect(lf_abi_version() == LF_ABI_VERSION, "header and library agree");
  expect(strcmp(lf_status_string(LF_OK), "success") == 0, "a status has words");
  expect(strcmp(lf_status_string(12345), "unknown status") == 0, "an unknown status too");

  expect(lf_codebook_lookup(x, 2, codebook, 3, 2, indices) == LF_OK, "lookup succeeds");
  expect(indices[0] == 2 && indices[1] == 0, "lookup finds the nearest");
  expect(lf_codebook_lookup(NULL, 0, codebook, 3, 2, NULL) == LF_OK, "no rows is fine");

  indices[0] = -7;
  expect(lf_codebook_lookup(x, 2, codebook, 0, 2, indices) == LF_ERROR_INVALID_ARGUMENT, "no codes is an error");
  expect(lf_codebook_lookup(x, 2, codebook, 3, 0, indices) == LF_ERROR_INVALID_ARGUMENT, "no width is an error");
  expect(lf_codebook_lookup(NULL, 2, codebook, 3, 2, indices) == LF_ERROR_INVALID_ARGUMENT, "NULL is an error");
  expect(indices[0] == -7, "an error writes nothing");

  x[0] = NAN;
  expect(lf_codebook_lookup(x, 2, codebook, 3, 2, indices) == LF_ERROR_NOT_FINITE, "NaN is reported");
  expect(indices[0] == -1 && indices[1] == 0, "and harms its own row only");
  return failures == 0 ? 0 : 1;
}
