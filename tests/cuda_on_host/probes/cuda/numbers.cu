// Conversions and scalar functions, element by element.
#include "primitives.cuh"

__device__ int cell() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

extern "C" __global__ void from_half(float* out, const half16* in, int count) {
  if (cell() < count) out[cell()] = to_float(in[cell()]);
}
extern "C" __global__ void to_half(half16* out, const float* in, int count) {
  if (cell() < count) out[cell()] = from_float<half16>(in[cell()]);
}
// 0 + the float's bits as int, and back through unsigned.
extern "C" __global__ void reinterpreted(int* bits, float* back, const float* in, int count) {
  if (cell() >= count) return;
  bits[cell()] = __float_as_int(in[cell()]);
  back[cell()] = __uint_as_float(__float_as_uint(__int_as_float(bits[cell()])));
}
// Six exact functions of two floats.
extern "C" __global__ void pairs(float* out, const float* a, const float* b, int count) {
  if (cell() >= count) return;
  float x = a[cell()], y = b[cell()], *mine = out + 6 * cell();
  mine[0] = fminf(x, y);
  mine[1] = fmaxf(x, y);
  mine[2] = __fadd_rn(__fmul_rn(x, y), x);
  mine[3] = __fmaf_rn(x, y, x);
  mine[4] = __saturatef(x);
  mine[5] = __fdiv_rn(x, y);
}
extern "C" __global__ void counts(int* out, const int* in, int count) {
  if (cell() >= count) return;
  int x = in[cell()], *mine = out + 3 * cell();
  mine[0] = __popc(static_cast<unsigned>(x));
  mine[1] = __clz(x);
  mine[2] = __ffs(x);
}
extern "C" __global__ void whole(int* out, const float* in, int count) {
  if (cell() >= count) return;
  float x = in[cell()];
  int* mine = out + 4 * cell();
  mine[0] = __float2int_rn(x);
  mine[1] = __float2int_rz(x);
  mine[2] = __float2int_rd(x);
  mine[3] = __float2int_ru(x);
}
