#include "matching.cuh"

extern "C" __global__ void __launch_bounds__(GATHER_THREADS)
    gather_rows(const uint4* rows, const int* index, int count, int length, uint4* out) {
  gathered(rows, index, count, length, out);
}
