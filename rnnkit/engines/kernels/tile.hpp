// A tile of a product, with its sums in vector registers.
#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class S>
struct Vector {
  typedef S type __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(S)), may_alias));
  static constexpr int lanes = VECTOR_BYTES / sizeof(S);
};

// The number of columns of a panel, in vectors: with 6 rows of sums they fill the 32 registers of AVX-512.
constexpr int PANEL = VECTOR_BYTES == 64 ? 4 : 2;

// c [ROWS, VECTORS] = (c +) a [ROWS, depth] times columns of a panel of b, which is WIDTH vectors wide.
template <class S, int ROWS, int VECTORS, int WIDTH = VECTORS>
static inline __attribute__((always_inline)) void tile(long depth, const S* a, long stride_m, long stride_k,
                                                       const S* __restrict b, S* __restrict c, long ldc, bool add) {
  typedef typename Vector<S>::type V;
  constexpr int L = Vector<S>::lanes;
  V sum[ROWS][VECTORS];
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = V{};
  for (long k = 0; k < depth; ++k) {
    V column[VECTORS];
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) column[n] = *(const V*)(b + (k * WIDTH + n) * L);
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; ++m) {
      const S value = a[m * stride_m + k * stride_k];
#pragma GCC unroll 8
      for (int n = 0; n < VECTORS; ++n) sum[m][n] += value * column[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < VECTORS; ++n) {
      V* const to = (V*)(c + m * ldc + n * L);
      *to = add ? *to + sum[m][n] : sum[m][n];
    }
}

