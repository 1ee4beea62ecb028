/* The C interface of lamp_fast: plain C99, no exception, no abort, no output crosses it. */
#ifndef LAMP_FAST_H
#define LAMP_FAST_H

#include <stdint.h>

#if defined(_WIN32)
#if defined(LF_BUILDING_LIBRARY)
#define LF_API __declspec(dllexport)
#else
#define LF_API __declspec(dllimport)
#endif
#else
#define LF_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when a declared function or constant changes its meaning; additions leave it as it is. */
#define LF_ABI_VERSION 1

/* The LF_ABI_VERSION that the loaded library was built with. */
LF_API uint32_t lf_abi_version(void);

/* 0 is success, negative values are errors. */
typedef int32_t lf_status;
enum {
  LF_OK = 0,
  LF_ERROR_INVALID_ARGUMENT = -1,
  LF_ERROR_NOT_FINITE = -2
};

/* One English sentence, valid as long as the library is loaded; never NULL, also for unknown values. */
LF_API const char* lf_status_string(lf_status status);

/*
 * The nearest code of each vector by squared Euclidean distance; the lowest index wins a tie.
 *
 * x         rows * width values, row after row
 * codebook  codes * width values, row after row
 * indices   receives rows values in 0 .. codes - 1
 *
 * LF_ERROR_INVALID_ARGUMENT: a NULL pointer, no code or no width (rows may be 0); nothing is written.
 * LF_ERROR_NOT_FINITE: a vector holds NaN or an infinity; its index is -1, the other indices are right.
 */
LF_API lf_status lf_codebook_lookup(const float* x, uint64_t rows, const float* codebook, uint64_t codes,
                                    uint64_t width, int64_t* indices);

#ifdef __cplusplus
}
#endif

#endif
