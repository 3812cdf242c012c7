// Matrix fragments, with the layouts of the PTX ISA (ldmatrix; mma.m16n8k16) written out.
#include "primitives.cuh"

// matrices: 4 of 8 x 8 halves. out: 4 words for each lane.
extern "C" __global__ void __launch_bounds__(32) load(unsigned* out, const half16* matrices) {
  __shared__ __align__(16) half16 stage[4][8][8];
  for (int i = threadIdx.x; i < 256; i += 32) (&stage[0][0][0])[i] = matrices[i];
  __syncwarp();
  unsigned fragment[4];
  load_matrices(fragment, &stage[threadIdx.x / 8][threadIdx.x % 8][0]);
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = fragment[i];
}

__device__ unsigned pair(const half16* first, int step) {
  return first[0].bits | static_cast<unsigned>(first[step].bits) << 16;
}

// d (16 x 8) = a (16 x 16) b (16 x 8) + d, all by rows.
extern "C" __global__ void __launch_bounds__(32)
    multiply(float* d, const half16* a, const half16* b) {
  int group = threadIdx.x / 4, member = threadIdx.x % 4;
  const half16* row = a + 16 * group + 2 * member;
  const half16* column = b + 8 * 2 * member + group;
  const unsigned left[4] = {pair(row, 1), pair(row + 16 * 8, 1), pair(row + 8, 1),
                            pair(row + 16 * 8 + 8, 1)};
  const unsigned right[2] = {pair(column, 8), pair(column + 8 * 8, 8)};
  float* corner = d + 8 * group + 2 * member;
  float sums[4] = {corner[0], corner[1], corner[64], corner[65]};
  multiply_add(sums, left, right);
  corner[0] = sums[0];
  corner[1] = sums[1];
  corner[64] = sums[2];
  corner[65] = sums[3];
}
